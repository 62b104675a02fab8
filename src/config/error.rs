//! Where something stands in the configuration file, and what is wrong there.
//!
//! Takes reasons and fixes from every part that reads the configuration (also from outside this module: the
//! detector compiler reports through [`ConfigError::at`]). Gives one list, sorted by line. Never shows a value
//! that came from the environment or from a secret key.

use std::fmt;
use std::sync::Arc;

/// A place in the configuration file. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    file: Arc<str>,
    line: usize,
    column: usize,
}

impl Location {
    /// A place in `file`.
    pub fn new(file: Arc<str>, line: usize, column: usize) -> Self {
        Self { file, line, column }
    }

    /// The file's name as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, from 1.
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A value and the place it was written at, for parts that check it later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands; for a default, the section that could have held it.
    pub location: Location,
}

/// One thing that is wrong in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    location: Location,
    reason: String,
    fix: String,
}

impl ConfigError {
    /// An error at `location`. `reason` says what is wrong, `fix` what to write instead; both lowercase, no final stop.
    pub fn at(location: Location, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { location, reason: reason.into(), fix: fix.into() }
    }

    /// Where it is wrong.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// What is wrong.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What to do about it.
    pub fn fix(&self) -> &str {
        &self.fix
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  fix: {}", self.location, self.reason, self.fix)
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong in the configuration, sorted by place. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The errors, sorted; `None` where there are none.
    pub fn from_list(mut errors: Vec<ConfigError>) -> Option<Self> {
        errors.sort_by(|a, b| a.location.cmp(&b.location));
        (!errors.is_empty()).then_some(Self(errors))
    }

    /// The errors in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// What a value's own parser finds wrong with it; the reader adds the place, the key and, where it may be shown, the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Continues the sentence "`key`: `value` ...".
    pub(super) reason: String,
    pub(super) fix: String,
    /// What was probably meant, made from the value, and therefore not shown for one from the environment.
    pub(super) guess: Option<String>,
    /// False where the value is a secret or holds one: the sentence is then "`key` ...".
    pub(super) shows_value: bool,
}

impl Problem {
    pub(super) fn new(reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { reason: reason.into(), fix: fix.into(), guess: None, shows_value: true }
    }

    /// The same, with what was probably meant.
    pub(super) fn guessing(self, guess: String) -> Self {
        Self { guess: Some(guess), ..self }
    }

    /// The same, without the value.
    pub(super) fn hiding_value(self) -> Self {
        Self { shows_value: false, ..self }
    }
}
