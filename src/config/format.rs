//! How records are encoded: the format, and what each needs to know.
//!
//! Takes the section of a topic, or that of its key, gives [`Format`]. Schema files are read here, so that a missing one is
//! an error with a line; what stands in them is compiled by `decode`, which reports through [`super::ConfigError::at`].

use std::sync::Arc;

use super::error::{Located, Location, Problem};
use super::keys;
use super::secret_file::read_bytes;
use super::section::{Found, Section};
use crate::columns::{Path, Source};

/// How records are encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per record; fields go to the columns of the same name.
    Json(JsonSettings),
    /// Avro by the schema that a record names, or by one from a file.
    Avro(AvroSettings),
    /// Protobuf by the schema that a record names, or by one from files.
    Protobuf(ProtobufSettings),
    /// Comma separated values, or with another delimiter.
    Csv(CsvSettings),
    /// The bytes as they are, to one column.
    Raw,
}

impl Format {
    /// What is read without configuration.
    pub const DEFAULT: Self = Self::Json(JsonSettings { framing: Framing::None, records: Records::One });

    /// Its name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Avro(_) => "avro",
            Self::Protobuf(_) => "protobuf",
            Self::Csv(_) => "csv",
            Self::Raw => "raw",
        }
    }

    /// Whether schemas come from the registry.
    pub fn needs_registry(&self) -> bool {
        let framing = match self {
            Self::Avro(avro) => avro.framing,
            Self::Protobuf(protobuf) => protobuf.framing,
            // The schema of JSON is not needed to read it.
            Self::Json(_) | Self::Csv(_) | Self::Raw => return false,
        };
        matches!(framing, Framing::Registry | Framing::RegistryHeaders)
    }
}

/// What stands in front of a record's bytes and says which schema they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Nothing: the schema is configured.
    None,
    /// A zero byte and the schema's id in the registry, as Confluent's serializers write it.
    Registry,
    /// The same, where a header does not name the schema.
    RegistryHeaders,
    /// Avro's own: two magic bytes and the schema's fingerprint.
    SingleObject,
    /// The length of a message of Protobuf; a record may hold several.
    Length,
}

/// What a JSON record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    /// One object: one row.
    One,
    /// A list of objects: a row for each.
    Array,
    /// Objects one after the other, one on each line: a row for each.
    Lines,
    /// A list at this place of the value: a row for each element.
    Inside(Path),
}

/// JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonSettings {
    /// What stands in front of the text. Default nothing.
    pub framing: Framing,
    /// What a record holds. Default one object.
    pub records: Records,
}

/// A file that was read with the configuration.
#[derive(Debug, Clone)]
pub struct SchemaFile {
    /// Its path, as it was written.
    pub path: String,
    /// What stands in it.
    pub content: Arc<[u8]>,
    /// Where the configuration names it.
    pub location: Location,
}

/// Where it is named does not matter.
impl PartialEq for SchemaFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.content == other.content
    }
}

impl Eq for SchemaFile {}

/// Avro.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroSettings {
    /// What stands in front of a record. Default the schema's id in the registry.
    pub framing: Framing,
    /// The schemas that records are written with, where the registry does not give them; those that others refer to first.
    /// Without framing the last one is that of all records.
    pub schemas: Vec<SchemaFile>,
    /// The schema that records are read as, by Avro's rules of schema resolution. Default the writer's own.
    pub reader_schema: Option<SchemaFile>,
}

/// Protobuf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtobufSettings {
    /// What stands in front of a record. Default the schema's id in the registry and the message's place in it.
    pub framing: Framing,
    /// Compiled descriptors, where the registry does not give them.
    pub descriptor_set: Option<SchemaFile>,
    /// Files in Protobuf's own language instead, by their paths below `include`.
    pub proto_files: Vec<Located<String>>,
    /// Where imports of these files are looked for.
    pub include: Vec<Located<String>>,
    /// The full name of the message that a record is, where the registry's framing does not say it.
    pub message: Option<Located<String>>,
}

/// Comma separated values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvSettings {
    /// Between two fields. Default a comma; of TSV a tab.
    pub delimiter: u8,
    /// Around fields that hold a delimiter. Default a double quote, of TSV none; `None` for no quoting.
    pub quote: Option<u8>,
    /// Before a quote inside quotes; without quoting, before any character. Default none: the quote is doubled; of TSV a
    /// backslash.
    pub escape: Option<u8>,
    /// What stands for NULL, without quotes. Default `\N`.
    pub null: String,
    /// The names of the fields, in order. Default none: columns name theirs by number, as `$[0]`.
    pub columns: Vec<String>,
    /// Whether blanks around fields are taken away. Default not.
    pub trim: bool,
    /// Whether fields behind the last name are ignored. Default refused: the record is a dead letter.
    pub extra_fields_ignored: bool,
    /// Whether columns whose fields are missing at the end get their defaults. Default refused.
    pub missing_fields_default: bool,
}

const FRAMINGS: [(&str, Framing); 5] = [
    ("none", Framing::None),
    ("registry", Framing::Registry),
    ("registry_headers", Framing::RegistryHeaders),
    ("single_object", Framing::SingleObject),
    ("length", Framing::Length),
];

/// The formats, each with the section that holds its options.
const FORMATS: [(&str, Option<&str>); 6] = [
    ("json", Some("json")),
    ("avro", Some("avro")),
    ("protobuf", Some("protobuf")),
    ("csv", Some("csv")),
    ("tsv", Some("csv")),
    ("raw", None),
];

/// The key `format` of `section` and the options that belong to it; `None` where something was bad.
pub(super) fn read_format(section: &Section<'_>, default: &'static str) -> Option<Format> {
    let what = "`json`, `avro`, `protobuf`, `csv`, `tsv` or `raw`";
    let format = section.value("format", what, parse_format).or(default, &section.location)?;
    let own = FORMATS.iter().find(|(name, _)| *name == format.value).and_then(|(_, options)| *options);
    let mut good = true;
    for options in ["json", "avro", "protobuf", "csv"] {
        if let Some(entry) = section.entry(options).filter(|_| own != Some(options)) {
            let (path, format) = (section.path_of(options), format.value);
            let reason = format!("`{path}` is given, but the format is `{format}`");
            section.report.add(
                &entry.key_location,
                reason,
                format!("write `format: {options}`, or remove `{options}`"),
            );
            good = false;
        }
    }
    let read = match format.value {
        "json" => read_json(section),
        "avro" => read_avro(section),
        "protobuf" => read_protobuf(section),
        "csv" => read_csv(section, Quoting { delimiter: b',', quote: Some(b'"'), escape: None }),
        "tsv" => read_csv(section, Quoting { delimiter: b'\t', quote: None, escape: Some(b'\\') }),
        _ => Some(Format::Raw),
    };
    read.filter(|_| good)
}

fn parse_format(text: &str) -> Result<&'static str, Problem> {
    let names = || FORMATS.iter().map(|(name, _)| *name);
    if let Some(known) = names().find(|name| *name == text) {
        return Ok(known);
    }
    let near = keys::nearest(text, names());
    let fix = near.map_or_else(
        || "write `json`, `avro`, `protobuf`, `csv`, `tsv` or `raw`".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Err(Problem::new("is not a format known here", fix))
}

/// `framing`, of which a format knows some.
fn read_framing(section: &Section<'_>, known: &[Framing], default: Framing) -> Option<Located<Framing>> {
    let choices: Vec<_> = FRAMINGS.into_iter().filter(|(_, framing)| known.contains(framing)).collect();
    section.choice("framing", &choices).or(default, &section.location)
}

fn read_json(parent: &Section<'_>) -> Option<Format> {
    let section = match parent.section("json", keys::JSON) {
        Found::Absent => return Some(Format::DEFAULT),
        Found::Bad => return None,
        Found::Value(section) => section.value,
    };
    let framing = read_framing(&section, &[Framing::None, Framing::Registry, Framing::RegistryHeaders], Framing::None);
    let records = section.value("records", RECORDS, parse_records).or(Records::One, &section.location);
    Some(Format::Json(JsonSettings { framing: framing?.value, records: records?.value }))
}

const RECORDS: &str = "`one`, `array`, `lines` or a path such as `$.items`";

fn parse_records(text: &str) -> Result<Records, Problem> {
    match text {
        "one" => return Ok(Records::One),
        "array" => return Ok(Records::Array),
        "lines" => return Ok(Records::Lines),
        "$" => return Err(Problem::new("is the whole value", "write `array` where the value is the list")),
        _ => {}
    }
    let fix = || format!("write {RECORDS}");
    if !text.starts_with('$') {
        let near = keys::nearest(text, ["one", "array", "lines"].into_iter());
        let fix = near.map_or_else(fix, |near| format!("did you mean `{near}`?"));
        return Err(Problem::new("is not one of the values known here", fix));
    }
    match Source::parse(text) {
        Ok(Source::Value(path)) => Ok(Records::Inside(path)),
        Ok(_) => Err(Problem::new("is no place in the value", fix())),
        Err(reason) => Err(Problem::new(reason, fix())),
    }
}

fn read_avro(parent: &Section<'_>) -> Option<Format> {
    let section = match parent.section("avro", keys::AVRO) {
        Found::Absent => {
            let framing = Framing::Registry;
            return Some(Format::Avro(AvroSettings { framing, schemas: Vec::new(), reader_schema: None }));
        }
        Found::Bad => return None,
        Found::Value(section) => section.value,
    };
    let known = [Framing::None, Framing::Registry, Framing::RegistryHeaders, Framing::SingleObject];
    let framing = read_framing(&section, &known, Framing::Registry);
    let schemas = read_files(&section, "schema_files");
    let reader_schema = read_file(&section, "reader_schema_file");
    let (framing, schemas, reader_schema) = (framing?, schemas?, reader_schema?);
    let from_registry = matches!(framing.value, Framing::Registry | Framing::RegistryHeaders);
    match (from_registry, section.entry("schema_files")) {
        (true, Some(entry)) => {
            let reason =
                format!("`{}` is given, but the schemas come from the registry", section.path_of("schema_files"));
            let fix = "remove it, or write `framing: none` or `framing: single_object`";
            section.report.add(&entry.key_location, reason, fix);
            return None;
        }
        (false, None) => {
            section
                .report_missing("schema_files", "name the file of the schema: without a registry nothing else says it");
            return None;
        }
        _ => {}
    }
    Some(Format::Avro(AvroSettings { framing: framing.value, schemas, reader_schema }))
}

fn read_protobuf(parent: &Section<'_>) -> Option<Format> {
    let from_registry = ProtobufSettings {
        framing: Framing::Registry,
        descriptor_set: None,
        proto_files: Vec::new(),
        include: Vec::new(),
        message: None,
    };
    let section = match parent.section("protobuf", keys::PROTOBUF) {
        Found::Absent => return Some(Format::Protobuf(from_registry)),
        Found::Bad => return None,
        Found::Value(section) => section.value,
    };
    let known = [Framing::None, Framing::Length, Framing::Registry, Framing::RegistryHeaders];
    let framing = read_framing(&section, &known, Framing::Registry);
    let descriptor_set = read_file(&section, "descriptor_set");
    let proto_files = section.texts("proto_files", "the path of a file");
    let include = section.texts("include", "the path of a folder");
    let message = section.text("message", "the full name of a message").optional();
    let framing = framing?.value;
    let settings = ProtobufSettings {
        framing,
        descriptor_set: descriptor_set?,
        proto_files: proto_files?,
        include: include?,
        message: message?,
    };
    let mut good = true;
    if matches!(framing, Framing::None | Framing::Length) {
        let files = ["descriptor_set", "proto_files"].map(|key| section.entry(key));
        match files {
            [None, None] => {
                let fix = "name compiled descriptors, or write `proto_files` with files in Protobuf's own language";
                section.report_missing("descriptor_set", fix);
                good = false;
            }
            [Some(_), Some(entry)] => {
                let reason = "`descriptor_set` and `proto_files` are both given";
                section.report.add(&entry.key_location, reason, "keep one of them");
                good = false;
            }
            _ => {}
        }
        if settings.message.is_none() {
            section.report_missing("message", "write the full name of the message, such as `iot.v1.Reading`");
            good = false;
        }
    } else {
        for key in ["descriptor_set", "proto_files", "include", "message"] {
            if let Some(entry) = section.entry(key) {
                let reason = format!("`{}` is given, but the schemas come from the registry", section.path_of(key));
                section.report.add(&entry.key_location, reason, "remove it, or write `framing: none`");
                good = false;
            }
        }
    }
    good.then_some(Format::Protobuf(settings))
}

/// The characters that mean something, where nothing is configured.
struct Quoting {
    delimiter: u8,
    quote: Option<u8>,
    escape: Option<u8>,
}

fn read_csv(parent: &Section<'_>, default: Quoting) -> Option<Format> {
    let mut settings = CsvSettings {
        delimiter: default.delimiter,
        quote: default.quote,
        escape: default.escape,
        null: "\\N".to_owned(),
        columns: Vec::new(),
        trim: false,
        extra_fields_ignored: false,
        missing_fields_default: false,
    };
    let section = match parent.section("csv", keys::CSV) {
        Found::Absent => return Some(Format::Csv(settings)),
        Found::Bad => return None,
        Found::Value(section) => section.value,
    };
    let here = &section.location;
    let what = "one character, or `\\t`";
    let delimiter = section.value("delimiter", what, parse_character).or(default.delimiter, here);
    let quote = section
        .value("quote", "one character, or `none`", |text| match text {
            "none" => Ok(None),
            other => parse_character(other).map(Some),
        })
        .or(default.quote, here);
    let escape = section.value("escape", what, parse_character).optional();
    let null = section.value("null", "a text", |text| Ok(text.to_owned())).or(settings.null.clone(), here);
    let columns = section.texts("columns", "the name of a field");
    let trim = section.truth("trim").or(false, here);
    let extra_fields = section.choice("extra_fields", &[("refuse", false), ("ignore", true)]).or(false, here);
    let missing_fields = section.choice("missing_fields", &[("refuse", false), ("default", true)]).or(false, here);
    settings.delimiter = delimiter?.value;
    let quote = quote?;
    settings.quote = quote.value;
    // Backslashes are for text without quotes.
    let usual = default.escape.filter(|_| quote.value == default.quote);
    settings.escape = escape?.map(|escape| escape.value).or(usual);
    settings.null = null?.value;
    settings.columns = columns?.into_iter().map(|name| name.value).collect();
    settings.trim = trim?.value;
    settings.extra_fields_ignored = extra_fields?.value;
    settings.missing_fields_default = missing_fields?.value;
    let characters = [Some(settings.delimiter), settings.quote, settings.escape];
    let [delimiter, quote, escape] = characters;
    if quote == delimiter || (escape.is_some() && (escape == delimiter || escape == quote)) {
        let reason = "two of `delimiter`, `quote` and `escape` are the same character";
        section.report.add(here, reason, "give each its own");
        return None;
    }
    Some(Format::Csv(settings))
}

fn parse_character(text: &str) -> Result<u8, Problem> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Ok(*byte),
        _ => Err(Problem::new("is not one character", "write one ASCII character, in quotes, or `\\t` for a tab")),
    }
}

/// The outer `None` where it was bad.
fn read_file(section: &Section<'_>, key: &str) -> Option<Option<SchemaFile>> {
    let path = section.text(key, "the path of a file").optional()?;
    match path {
        None => Some(None),
        Some(path) => read_schema_file(section, key, path).map(Some),
    }
}

fn read_files(section: &Section<'_>, key: &str) -> Option<Vec<SchemaFile>> {
    let paths = section.texts(key, "the path of a file")?;
    let files: Vec<_> = paths.into_iter().map(|path| read_schema_file(section, key, path)).collect();
    files.into_iter().collect()
}

fn read_schema_file(section: &Section<'_>, key: &str, path: Located<String>) -> Option<SchemaFile> {
    match read_bytes(&path.value) {
        Ok(bytes) => Some(SchemaFile { path: path.value, content: bytes.into(), location: path.location }),
        Err(problem) => {
            let reason = format!("`{}`: `{}` {}", section.path_of(key), path.value, problem.reason);
            section.report.add(&path.location, reason, problem.fix);
            None
        }
    }
}
