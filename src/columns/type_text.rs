//! The words of a ClickHouse type text: names, numbers, quoted strings and brackets.

/// A position in a type text.
#[derive(Debug)]
pub(crate) struct TypeText<'a> {
    text: &'a str,
    at: usize,
    /// Where other text shall stand, in order.
    replacements: Vec<(usize, usize, &'static str)>,
}

impl<'a> TypeText<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, replacements: Vec::new() }
    }

    /// The whole text, for messages.
    pub(crate) fn whole(&self) -> &'a str {
        self.text
    }

    pub(crate) fn position(&mut self) -> usize {
        self.skip_space();
        self.at
    }

    pub(crate) fn at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.text.len()
    }

    /// The type that starts at `start`: its name and all its brackets.
    pub(crate) fn type_from(&self, start: usize) -> &'a str {
        let bytes = self.text.as_bytes();
        let mut open = 0_u32;
        let mut end = start;
        let mut quote = None;
        while let Some(&byte) = bytes.get(end) {
            match byte {
                b'\\' if quote.is_some() => end += 1,
                _ if quote == Some(byte) => quote = None,
                _ if quote.is_some() => {}
                b'\'' | b'`' => quote = Some(byte),
                b'(' => open += 1,
                b')' if open == 0 => break,
                b')' => open -= 1,
                b',' if open == 0 => break,
                _ => {}
            }
            end += 1;
        }
        self.text.get(start..end.min(bytes.len())).unwrap_or("").trim_end()
    }

    /// Takes the type that starts at `start`, whatever its brackets hold, and gives its end.
    pub(crate) fn skip_type(&mut self, start: usize) -> usize {
        self.at = start + self.type_from(start).len();
        self.at
    }

    /// Has other text stand in a place that begins where the one before ends, or later.
    pub(crate) fn replace(&mut self, start: usize, end: usize, with: &'static str) {
        self.replacements.push((start, end, with));
    }

    /// The whole text with the replacements, if there are any.
    pub(crate) fn replaced(&self) -> Option<String> {
        if self.replacements.is_empty() {
            return None;
        }
        let (mut replaced, mut from) = (String::new(), 0);
        for (start, end, with) in &self.replacements {
            replaced.push_str(&self.text[from..*start]);
            replaced.push_str(with);
            from = *end;
        }
        replaced.push_str(&self.text[from..]);
        Some(replaced)
    }

    /// An identifier; empty where there is none.
    pub(crate) fn word(&mut self) -> &'a str {
        self.skip_space();
        let start = self.at;
        while self.byte().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// Takes the byte where it is next.
    pub(crate) fn eat(&mut self, wanted: u8) -> bool {
        self.skip_space();
        let found = self.byte() == Some(wanted);
        if found {
            self.at += 1;
        }
        found
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        self.word().parse().ok()
    }

    /// A string in single quotes with backslash escapes.
    pub(crate) fn quoted(&mut self) -> Option<String> {
        self.skip_space();
        self.delimited(b'\'')
    }

    /// The name before a tuple field's type: an identifier or one in backticks. Left alone where
    /// the field has no name, which shows by what follows the first word.
    pub(crate) fn field_name(&mut self) -> Option<String> {
        self.skip_space();
        if self.byte() == Some(b'`') {
            return self.delimited(b'`');
        }
        let start = self.at;
        let name = self.word();
        self.skip_space();
        let named = !name.is_empty() && self.byte().is_some_and(|b| b.is_ascii_alphabetic());
        if named {
            return Some(name.to_owned());
        }
        self.at = start;
        None
    }

    fn delimited(&mut self, quote: u8) -> Option<String> {
        if self.byte() != Some(quote) {
            return None;
        }
        let mut content = Vec::new();
        let mut at = self.at + 1;
        let bytes = self.text.as_bytes();
        loop {
            let byte = *bytes.get(at)?;
            at += 1;
            if byte == quote {
                break;
            }
            if byte != b'\\' {
                content.push(byte);
                continue;
            }
            let escaped = *bytes.get(at)?;
            at += 1;
            content.push(match escaped {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'0' => 0,
                b'b' => 8,
                b'f' => 12,
                b'a' => 7,
                b'v' => 11,
                b'e' => 27,
                b'x' => {
                    let digits = self.text.get(at..at + 2)?;
                    at += 2;
                    u8::from_str_radix(digits, 16).ok()?
                }
                other => other,
            });
        }
        self.at = at;
        String::from_utf8(content).ok()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.byte().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }
}
