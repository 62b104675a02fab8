//! The YAML text as a tree in which every node and key knows its place.
//!
//! Takes text, gives mappings, sequences and scalars as written; typing is left to the schema. Promises that a key
//! stands once in a mapping and that the tree is no deeper than [`DEPTH_MAX`]. Never expands anything: anchors,
//! aliases, merge keys, tags and several documents are refused, because a reader of the file (and of an error's line)
//! should see each value where it is used.

use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::error::{ConfigError, Location};

/// The deepest nesting accepted. The schema itself needs 8.
const DEPTH_MAX: usize = 16;

// No `Debug` on these: a tree holds secrets as plain text until the schema has wrapped them.

/// A value and its place.
pub(super) struct Node {
    pub(super) location: Location,
    pub(super) kind: NodeKind,
}

pub(super) enum NodeKind {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
    /// Something already reported, so that no second error is made of it.
    Broken,
}

impl NodeKind {
    /// The kind in the user's words.
    pub(super) fn name(&self) -> &'static str {
        match self {
            NodeKind::Scalar(scalar) if scalar.is_null() => "nothing",
            NodeKind::Scalar(_) => "a single value",
            NodeKind::Sequence(items) if items.is_empty() => "an empty list",
            NodeKind::Sequence(_) => "a list",
            NodeKind::Mapping(_) => "a mapping",
            NodeKind::Broken => "an unreadable value",
        }
    }
}

/// One `key: value` of a mapping.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_location: Location,
    pub(super) value: Node,
}

/// A single value as text.
pub(super) struct Scalar {
    /// The text after quotes, escapes and `${..}` are resolved.
    pub(super) text: String,
    /// The text as it stood before `${..}` was resolved, where it was: this is what errors show.
    pub(super) template: Option<String>,
    /// Written without quotes, so that it may be a number, a truth value or nothing.
    pub(super) plain: bool,
}

impl Scalar {
    /// Whether YAML reads it as "no value". Text from the environment is nothing only when it is empty.
    pub(super) fn is_null(&self) -> bool {
        if self.template.is_some() {
            return self.text.is_empty();
        }
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The text that an error may show.
    pub(super) fn shown(&self) -> &str {
        self.template.as_deref().unwrap_or(&self.text)
    }
}

/// A collection that is still open.
enum Frame {
    Sequence(Location, Vec<Node>),
    Mapping {
        location: Location,
        entries: Vec<Entry>,
        /// The key whose value comes next; the inner `None` stands for a key that was refused.
        key: Option<Option<(String, Location)>>,
    },
}

/// Reads `text` into a tree. Everything wrong goes to `errors`; `None` where nothing can be read on from.
pub(super) fn parse_tree(file: &Arc<str>, text: &str, errors: &mut Vec<ConfigError>) -> Option<Node> {
    Builder { file: Arc::clone(file), text, errors, frames: Vec::new(), root: None }.build()
}

struct Builder<'a> {
    file: Arc<str>,
    text: &'a str,
    errors: &'a mut Vec<ConfigError>,
    frames: Vec<Frame>,
    root: Option<Node>,
}

impl Builder<'_> {
    fn build(mut self) -> Option<Node> {
        let mut parser = Parser::new_from_str(self.text);
        let mut documents: usize = 0;
        loop {
            let (event, span) = match parser.next_event()? {
                Ok(event) => event,
                Err(error) => {
                    let location = self.location(error.marker());
                    let fix = self.fix_for_syntax(location.line());
                    let reason = format!("this is not YAML: {}", error.info());
                    self.refuse(location, reason, fix);
                    return None;
                }
            };
            let location = self.location(&span.start);
            match event {
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => return self.finish(),
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        self.refuse(
                            location,
                            "a second YAML document starts here",
                            "keep one document per file: remove the `---` and what follows it",
                        );
                        return self.finish();
                    }
                }
                Event::Alias(_) => {
                    self.refuse_alias(location.clone());
                    self.push(Node { location, kind: NodeKind::Broken });
                }
                Event::Scalar(text, style, anchor, tag) => {
                    self.check_properties(&location, anchor, tag.is_some());
                    let scalar = Scalar { text: text.into_owned(), template: None, plain: style == ScalarStyle::Plain };
                    self.push(Node { location, kind: NodeKind::Scalar(scalar) });
                }
                Event::SequenceStart(anchor, tag) => {
                    self.check_properties(&location, anchor, tag.is_some());
                    self.open(Frame::Sequence(location, Vec::new()))?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.check_properties(&location, anchor, tag.is_some());
                    self.open(Frame::Mapping { location, entries: Vec::new(), key: None })?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(),
            }
        }
    }

    fn finish(self) -> Option<Node> {
        if self.root.is_none() && self.errors.is_empty() {
            self.errors.push(ConfigError::at(
                Location::new(self.file, 1, 1),
                "the file holds no configuration",
                "start from config/minimal.yaml",
            ));
        }
        self.root
    }

    fn open(&mut self, frame: Frame) -> Option<()> {
        if self.frames.len() == DEPTH_MAX {
            let location = match frame {
                Frame::Sequence(location, _) | Frame::Mapping { location, .. } => location,
            };
            self.refuse(
                location,
                format!("nested more than {DEPTH_MAX} levels deep"),
                "no key of this file needs that depth: check brackets and indentation",
            );
            return None;
        }
        self.frames.push(frame);
        Some(())
    }

    fn close(&mut self) {
        let node = match self.frames.pop() {
            Some(Frame::Sequence(location, items)) => Node { location, kind: NodeKind::Sequence(items) },
            Some(Frame::Mapping { location, entries, .. }) => Node { location, kind: NodeKind::Mapping(entries) },
            None => return,
        };
        self.push(node);
    }

    /// Puts a finished node where it belongs: as the root, an item, a key or a value.
    fn push(&mut self, node: Node) {
        let (entries, key) = match self.frames.last_mut() {
            None => {
                self.root.get_or_insert(node);
                return;
            }
            Some(Frame::Sequence(_, items)) => {
                items.push(node);
                return;
            }
            Some(Frame::Mapping { entries, key, .. }) => (entries, key),
        };
        match key.take() {
            Some(Some((name, key_location))) => entries.push(Entry { key: name, key_location, value: node }),
            Some(None) => {}
            None => {
                let refused = match node.kind {
                    NodeKind::Scalar(scalar) => refused_key(&scalar.text, entries)
                        .map_or_else(|| Ok((scalar.text, node.location.clone())), |(reason, fix)| Err((reason, fix))),
                    NodeKind::Sequence(_) | NodeKind::Mapping(_) => Err((
                        "a key must be a single word".to_owned(),
                        "write `key: value`; quote the value where it starts with `[` or `{`".to_owned(),
                    )),
                    NodeKind::Broken => {
                        *key = Some(None);
                        return;
                    }
                };
                match refused {
                    Ok(accepted) => *key = Some(Some(accepted)),
                    Err((reason, fix)) => {
                        *key = Some(None);
                        self.refuse(node.location, reason, fix);
                    }
                }
            }
        }
    }

    fn check_properties(&mut self, location: &Location, anchor: usize, tagged: bool) {
        if anchor != 0 {
            self.refuse_alias(location.clone());
        }
        if tagged {
            self.refuse(
                location.clone(),
                "YAML tags such as `!!str` are not supported",
                "remove the tag; put the value in quotes where it must be text",
            );
        }
    }

    fn refuse_alias(&mut self, location: Location) {
        self.refuse(
            location,
            "YAML anchors and aliases (`&name`, `*name`) are not supported",
            "write the value out where it is used; quote a text that starts with `&` or `*`",
        );
    }

    fn fix_for_syntax(&self, line: usize) -> &'static str {
        let written = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        if written.contains("${") {
            "put a value that holds `${..}` in quotes where it stands inside `{ }` or `[ ]`"
        } else if written.contains('\t') {
            "indent with spaces: YAML allows no tabs there"
        } else {
            "check indentation, quotes and brackets on this line and the one before"
        }
    }

    fn refuse(&mut self, location: Location, reason: impl Into<String>, fix: impl Into<String>) {
        self.errors.push(ConfigError::at(location, reason, fix));
    }

    fn location(&self, marker: &Marker) -> Location {
        Location::new(Arc::clone(&self.file), marker.line(), marker.col() + 1)
    }
}

/// Why `key` may not stand in a mapping that already holds `entries`.
fn refused_key(key: &str, entries: &[Entry]) -> Option<(String, String)> {
    if key == "<<" {
        return Some((
            "YAML merge keys (`<<`) are not supported".to_owned(),
            "write the keys out where they are used".to_owned(),
        ));
    }
    let first = entries.iter().find(|entry| entry.key == key)?;
    Some((format!("`{key}` stands twice, first on line {}", first.key_location.line()), "keep one of them".to_owned()))
}
