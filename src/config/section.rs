//! Reading one mapping of the file against the list of keys.
//!
//! Takes a node, gives typed values with their places. Every reader reports what is wrong and goes on, so that one
//! pass finds everything; a value that was reported comes back as [`Found::Bad`] and is never reported again. Never
//! shows a secret or what came from the environment.

use std::cell::RefCell;

use super::error::{ConfigError, Located, Location, Problem};
use super::keys;
use super::tree::{Entry, Node, NodeKind, Scalar};

/// How much of a value an error shows, in characters.
const SHOWN_MAX: usize = 60;

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(super) struct Report(RefCell<Vec<ConfigError>>);

impl Report {
    pub(super) fn new(errors: Vec<ConfigError>) -> Self {
        Self(RefCell::new(errors))
    }

    pub(super) fn add(&self, location: &Location, reason: impl Into<String>, fix: impl Into<String>) {
        let error = ConfigError::at(location.clone(), reason, fix);
        self.0.borrow_mut().push(error);
    }

    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.0.into_inner()
    }
}

/// What a reader found under a key.
#[derive(Debug)]
pub(super) enum Found<T> {
    Absent,
    /// Something is there and was reported.
    Bad,
    Value(Located<T>),
}

impl<T> Found<T> {
    /// The value or `default`; `None` where it was bad.
    pub(super) fn or(self, default: T, location: &Location) -> Option<Located<T>> {
        match self {
            Found::Absent => Some(Located { value: default, location: location.clone() }),
            Found::Bad => None,
            Found::Value(value) => Some(value),
        }
    }

    /// The value where there is one; the outer `None` where it was bad.
    pub(super) fn optional(self) -> Option<Option<Located<T>>> {
        match self {
            Found::Absent => Some(None),
            Found::Bad => None,
            Found::Value(value) => Some(Some(value)),
        }
    }
}

/// One mapping of the file.
pub(super) struct Section<'a> {
    pub(super) report: &'a Report,
    /// Where errors about missing keys point.
    pub(super) location: Location,
    /// The section's path as errors show it, with indices; empty for the top level.
    path: String,
    entries: &'a [Entry],
    /// Keys that an unknown key was probably meant to be: they are not called missing as well.
    suggested: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Opens `node` as the section `rules` and reports every key that does not belong there; `None` where it is no mapping.
    pub(super) fn open(
        report: &'a Report,
        node: &'a Node,
        location: &Location,
        path: String,
        rules: &'static str,
    ) -> Option<Self> {
        let mut section = Self::open_free(report, node, location, path)?;
        for entry in section.entries {
            if keys::find(rules, &entry.key).is_none() {
                section.report_unknown(entry, rules);
            }
        }
        Some(section)
    }

    /// Opens `node` as a mapping with keys that are not ours to list.
    pub(super) fn open_free(report: &'a Report, node: &'a Node, location: &Location, path: String) -> Option<Self> {
        match &node.kind {
            NodeKind::Mapping(entries) => {
                Some(Self { report, location: location.clone(), path, entries, suggested: Vec::new() })
            }
            NodeKind::Broken => None,
            other => {
                let place = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
                let reason = format!("{place} must be a mapping of keys, found {}", other.name());
                let fix = "write `key: value` lines below it, indented by two spaces";
                report.add(location, reason, fix);
                None
            }
        }
    }

    fn report_unknown(&mut self, entry: &Entry, rules: &'static str) {
        let written = entry.key.as_str();
        let elsewhere = keys::sections_of(written, rules);
        let near = keys::nearest(written, keys::accepted_in(rules));
        let fix = match (near, elsewhere.as_slice()) {
            (Some(near), _) => {
                self.suggested.push(near);
                format!("did you mean `{near}`?")
            }
            (None, []) => {
                let names: Vec<_> = keys::accepted_in(rules).map(|n| format!("`{n}`")).collect();
                format!("the keys here are {}", names.join(", "))
            }
            (None, [keys::TOP, ..]) => format!("`{written}` belongs at the top level of the file"),
            (None, [section, ..]) => format!("`{written}` belongs under `{section}`"),
        };
        let reason = format!("unknown key `{}`", self.path_of(&shorten(written)));
        self.report.add(&entry.key_location, reason, fix);
    }

    /// The path of `key` in this section as errors show it.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Reports an absent key, unless a misspelt one was already reported.
    pub(super) fn require<T>(&self, key: &str, found: Found<T>, fix: &str) -> Option<Located<T>> {
        match found {
            Found::Value(value) => Some(value),
            Found::Bad => None,
            Found::Absent => {
                self.report_missing(key, fix);
                None
            }
        }
    }

    /// Whether an unknown key was probably meant to be `key`.
    pub(super) fn is_misspelt(&self, key: &str) -> bool {
        self.suggested.contains(&key)
    }

    /// Reports that `key` is missing, unless a misspelt one was already reported.
    pub(super) fn report_missing(&self, key: &str, fix: &str) {
        if !self.is_misspelt(key) {
            let reason = format!("`{}` is missing", self.path_of(key));
            self.report.add(&self.location, reason, fix);
        }
    }

    /// The scalar under `key`, whatever its type.
    pub(super) fn scalar(&self, key: &str, what: &str) -> Found<&'a Scalar> {
        match self.entry(key) {
            Some(entry) => self.scalar_of(entry, what),
            None => Found::Absent,
        }
    }

    /// The scalar that `entry` holds; `what` names what is expected, as in "must be a duration".
    pub(super) fn scalar_of(&self, entry: &'a Entry, what: &str) -> Found<&'a Scalar> {
        let path = self.path_of(&entry.key);
        match &entry.value.kind {
            NodeKind::Broken => Found::Bad,
            NodeKind::Scalar(scalar) if scalar.is_null() => {
                let fix = format!("give {what}, or remove the line where the key is optional");
                let reason = format!("`{path}` has no value");
                self.report.add(&entry.key_location, reason, fix);
                Found::Bad
            }
            NodeKind::Scalar(scalar) => Found::Value(Located { value: scalar, location: entry.value.location.clone() }),
            other => {
                let reason = format!("`{path}` must be {what}, found {}", other.name());
                let fix = format!("write {what} on the same line: `{}: ..`", entry.key);
                self.report.add(&entry.value.location, reason, fix);
                Found::Bad
            }
        }
    }

    /// The value under `key`, read by `parse`.
    pub(super) fn value<T>(&self, key: &str, what: &str, parse: impl FnOnce(&str) -> Result<T, Problem>) -> Found<T> {
        match self.scalar(key, what) {
            Found::Absent => Found::Absent,
            Found::Bad => Found::Bad,
            Found::Value(scalar) => self.parsed(key, scalar, parse),
        }
    }

    /// The values under `key`: one text or a list of texts, each read by `parse`. `fix` says how a list is written.
    pub(super) fn values<T>(
        &self,
        key: &str,
        what: &str,
        fix: &str,
        parse: impl Fn(&str) -> Result<T, Problem>,
    ) -> Found<Vec<Located<T>>> {
        let (items, location) = match self.entry(key).map(|entry| (&entry.value.kind, &entry.value.location)) {
            Some((NodeKind::Sequence(items), location)) if !items.is_empty() => (items, location),
            _ => {
                return match self.value(key, what, parse) {
                    Found::Absent => Found::Absent,
                    Found::Bad => Found::Bad,
                    Found::Value(one) => {
                        let location = one.location.clone();
                        Found::Value(Located { value: vec![one], location })
                    }
                };
            }
        };
        let read = items.iter().map(|item| match &item.kind {
            NodeKind::Scalar(scalar) => {
                let scalar = Located { value: scalar, location: item.location.clone() };
                self.parsed(key, scalar, &parse).optional()?
            }
            NodeKind::Broken => None,
            other => {
                let reason = format!("`{}` must list {what}, found {}", self.path_of(key), other.name());
                self.report.add(&item.location, reason, fix);
                None
            }
        });
        // Collected before it is judged: what is wrong with the second item is said where the first was wrong too.
        let read: Vec<Option<Located<T>>> = read.collect();
        match read.into_iter().collect() {
            Some(value) => Found::Value(Located { value, location: location.clone() }),
            None => Found::Bad,
        }
    }

    /// `scalar` read by `parse`, what is wrong reported under `key`.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        scalar: Located<&Scalar>,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Found<T> {
        match parse(&scalar.value.text) {
            Ok(value) => Found::Value(Located { value, location: scalar.location }),
            Err(problem) => {
                let (path, what) = (self.path_of(key), problem.reason);
                let fix = match problem.guess {
                    Some(guess) if scalar.value.template.is_none() => {
                        format!("write `{guess}` if that is meant, otherwise {}", problem.fix)
                    }
                    _ => problem.fix,
                };
                let reason = if problem.shows_value {
                    format!("`{path}`: `{}` {what}", shorten(scalar.value.shown()))
                } else {
                    format!("`{path}` {what}")
                };
                self.report.add(&scalar.location, reason, fix);
                Found::Bad
            }
        }
    }

    /// The text under `key`, as it is, but not empty.
    pub(super) fn text(&self, key: &str, what: &str) -> Found<String> {
        self.value(key, what, |text| not_empty(text, what))
    }

    /// `true` or `false` under `key`.
    pub(super) fn truth(&self, key: &str) -> Found<bool> {
        let what = "`true` or `false`";
        let scalar = match self.scalar(key, what) {
            Found::Absent => return Found::Absent,
            Found::Bad => return Found::Bad,
            Found::Value(scalar) => scalar,
        };
        let plain = scalar.value.plain;
        self.parsed(key, scalar, |text| match text {
            "true" | "false" if !plain => {
                Err(Problem::new("is a text, not a truth value", format!("remove the quotes: `{key}: {text}`")))
            }
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Problem::new(
                "is neither `true` nor `false`",
                format!("write {what}, in lower case and without quotes"),
            )),
        })
    }

    /// The texts under `key`: one, or a list of them; none where it is absent. `None` where something was bad.
    pub(super) fn texts(&self, key: &str, what: &str) -> Option<Vec<Located<String>>> {
        let fix = format!("write `- ..` lines, each with {what}");
        let texts = self.values(key, what, &fix, |text| not_empty(text, what)).optional()?;
        Some(texts.map_or_else(Vec::new, |texts| texts.value))
    }

    /// One of the named values under `key`.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&'static str, T)]) -> Found<T> {
        self.value(key, &list_choices(choices), |text| choose(text, choices))
    }

    /// The section under `key`: `None` where it is absent or was reported.
    pub(super) fn section(&self, key: &str, rules: &'static str) -> Found<Section<'a>> {
        let Some(entry) = self.entry(key) else {
            return Found::Absent;
        };
        let path = self.path_of(key);
        match Section::open(self.report, &entry.value, &entry.key_location, path, rules) {
            Some(section) => Found::Value(Located { location: section.location.clone(), value: section }),
            None => Found::Bad,
        }
    }

    /// The sections of the list under `key`; an item that is no mapping is reported and left out.
    pub(super) fn list(&self, key: &str, rules: &'static str) -> Found<Vec<Option<Section<'a>>>> {
        let Some(entry) = self.entry(key) else {
            return Found::Absent;
        };
        let path = self.path_of(key);
        let items = match &entry.value.kind {
            NodeKind::Sequence(items) if !items.is_empty() => items,
            NodeKind::Broken => return Found::Bad,
            other => {
                let found = other.name();
                let reason = format!("`{path}` must be a list of at least one item, found {found}");
                let fix = "write each item as a line that starts with `- `, or remove the key where it is optional";
                self.report.add(&entry.key_location, reason, fix);
                return Found::Bad;
            }
        };
        let sections = items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let path = format!("{path}[{index}]");
                Section::open(self.report, item, &item.location, path, rules)
            })
            .collect();
        Found::Value(Located { value: sections, location: entry.key_location.clone() })
    }
}

fn not_empty(text: &str, what: &str) -> Result<String, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::new("is empty", format!("give {what}")));
    }
    Ok(text.to_owned())
}

fn list_choices<T>(choices: &[(&'static str, T)]) -> String {
    let names: Vec<_> = choices.iter().map(|(n, _)| format!("`{n}`")).collect();
    names.join(" or ")
}

/// The choice that `text` names.
fn choose<T: Copy>(text: &str, choices: &[(&'static str, T)]) -> Result<T, Problem> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let near = keys::nearest(text, choices.iter().map(|(name, _)| *name));
    let fix = near.map_or_else(|| format!("write {}", list_choices(choices)), |near| format!("did you mean `{near}`?"));
    Err(Problem::new("is not one of the values known here", fix))
}

/// `text` cut to what fits into an error, without line breaks.
pub(super) fn shorten(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(SHOWN_MAX).map(clean).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        short.push_str("..");
    }
    short
}
