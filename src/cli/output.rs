//! How the commands print: tables for people, JSON for scripts.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

/// For whom the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For scripts: one JSON document
    Json,
}

/// Writes to stdout. A reader that has gone away is no error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a value as JSON.
pub(super) fn print_json(value: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
    text.push('\n');
    print(&text)
}

/// A table: the first line is the heading, numbers go to the right.
pub(super) fn table(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let is_number = |text: &str| text == "-" || text.starts_with(|first: char| first.is_ascii_digit());
    let numeric: Vec<bool> = (0..columns)
        .map(|column| lines.iter().skip(1).filter_map(|line| line.get(column)).all(|cell| is_number(cell)))
        .collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, cell) in line.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            row.push_str("  ");
            if numeric[column] {
                row.push_str(&padding);
                row.push_str(cell);
            } else {
                row.push_str(cell);
                row.push_str(&padding);
            }
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// A line on a terminal that is written over: nothing where stderr is none.
#[derive(Debug)]
pub(super) struct Progress {
    shown: bool,
    is_terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { shown: false, is_terminal: io::stderr().is_terminal() }
    }

    pub(super) fn show(&mut self, text: &str) {
        if self.is_terminal {
            self.shown = true;
            eprint!("\r\x1b[K{text}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let check = |lines: &[&[&str]], expected: &str| {
            let lines: Vec<Vec<String>> =
                lines.iter().map(|line| line.iter().map(|cell| (*cell).to_owned()).collect()).collect();
            assert_eq!(table(&lines), expected);
        };
        check(&[], "");
        check(
            &[&["name", "count"], &["a", "5"], &["longer", "-"], &["b", "12345678"]],
            "  name       count\n  a              5\n  longer         -\n  b       12345678\n",
        );
    }
}
