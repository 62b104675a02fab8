//! Descriptors of messages: from files, or from what a schema registry keeps.
//!
//! Takes a descriptor set (`protoc --include_imports --descriptor_set_out`), files in Protobuf's own language, or a
//! registry's text with those that it imports; gives the messages in them. Google's well-known types are always there, and
//! so are the files that Confluent's registry lets schemas import without a reference. Errors name the file and the line.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::wire::{Cursor, unzigzag};

/// Messages that an error names at most.
const NAMES_MAX: usize = 8;
/// Deepest nesting of one message's definition in others that the registry's framing may name.
const INDEXES_MAX: usize = 16;

/// Files that Confluent's registry knows by itself: its annotations, by their published field numbers.
const CONFLUENT_META: (&str, &str) = (
    "confluent/meta.proto",
    r#"syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
"#,
);

/// A number whose digits and scale are apart; its meaning is that of [`super::shape::WellKnown::Decimal`].
const CONFLUENT_DECIMAL: (&str, &str) = (
    "confluent/type/decimal.proto",
    r#"syntax = "proto3";
package confluent.type;
message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }
"#,
);

/// Messages and the types that they are made of.
#[derive(Debug, Clone)]
pub struct ProtobufSchema {
    pool: DescriptorPool,
    /// The file whose messages the registry's framing counts.
    file: Option<FileDescriptor>,
}

impl ProtobufSchema {
    /// Reads a compiled descriptor set, which has to hold all imports.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn from_descriptor_set(bytes: &[u8]) -> Result<Self, String> {
        let pool = DescriptorPool::decode(bytes).map_err(|error| format!("{error:?}"))?;
        Ok(Self { pool, file: None })
    }

    /// Compiles files, which are looked for, as what they import, in the folders `include`; in the present one without any.
    ///
    /// # Errors
    /// Names the file and the line.
    pub fn from_files(files: &[impl AsRef<Path>], include: &[impl AsRef<Path>]) -> Result<Self, String> {
        let here = [Path::new(".")];
        let include: Vec<_> = include.iter().map(AsRef::as_ref).collect();
        let include = if include.is_empty() { here.as_slice() } else { include.as_slice() };
        let mut compiler = Compiler::new(include).map_err(|error| format!("{error:?}"))?;
        compiler.open_files(files).map_err(|error| format!("{error:?}"))?;
        Ok(Self { pool: compiler.descriptor_pool(), file: None })
    }

    /// Compiles what a registry gives: a file, and those that it imports by the names under which it does. Each is in
    /// Protobuf's own language, or a descriptor in base64.
    ///
    /// # Errors
    /// Names the file and the line; the first file is called `schema.proto`.
    pub fn from_registry(text: &str, references: &[(&str, &str)]) -> Result<Self, String> {
        let mut name = "schema.proto".to_owned();
        while references.iter().any(|(taken, _)| *taken == name) {
            name.insert(0, '_');
        }
        let own = [(name.as_str(), text), CONFLUENT_META, CONFLUENT_DECIMAL];
        let sources = references.iter().chain(&own).map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let mut resolver = ChainFileResolver::new();
        resolver.add(Sources(sources.collect()));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.open_file(&name).map_err(|error| format!("{error:?}"))?;
        let pool = compiler.descriptor_pool();
        let file = pool.get_file_by_name(&name);
        Ok(Self { pool, file })
    }

    /// The message of this full name.
    ///
    /// # Errors
    /// Names messages that there are.
    pub fn message(&self, name: &str) -> Result<MessageDescriptor, String> {
        self.pool.get_message_by_name(name).ok_or_else(|| {
            let is_own =
                |message: &MessageDescriptor| !message.is_map_entry() && message.package_name() != "google.protobuf";
            let mut names: Vec<_> =
                self.pool.all_messages().filter(is_own).map(|message| message.full_name().to_owned()).collect();
            names.sort_by_key(|known| strsim::levenshtein(known, name));
            names.truncate(NAMES_MAX);
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            format!("there is no message {name}; there are {names}")
        })
    }

    /// The message that the registry's framing names.
    ///
    /// # Errors
    /// Where the schema has fewer messages.
    pub fn message_at(&self, indexes: &MessageIndexes) -> Result<MessageDescriptor, String> {
        let places = &indexes.places[..indexes.count];
        let none = || format!("the schema has no message {places:?}");
        let (first, nested) = places.split_first().ok_or_else(none)?;
        let mut found = self.file.as_ref().and_then(|file| file.messages().nth(*first)).ok_or_else(none)?;
        for place in nested {
            // Entries of maps are messages that nobody has written, and Confluent's serializers do not count them.
            let mut written = found.child_messages().filter(|message| !message.is_map_entry());
            let next = written.nth(*place).ok_or_else(none)?;
            drop(written);
            found = next;
        }
        Ok(found)
    }
}

/// Files by their names.
struct Sources(Vec<(String, String)>);

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let found = self.0.iter().find(|(known, _)| known == name);
        let (_, text) = found.ok_or_else(|| protox::Error::file_not_found(name))?;
        match descriptor(text) {
            Some(descriptor) => {
                let descriptor = FileDescriptorProto { name: Some(name.to_owned()), ..descriptor };
                Ok(File::from_file_descriptor_proto(descriptor))
            }
            None => File::from_source(name, text),
        }
    }
}

/// The descriptor in a text, if it is one: no file in Protobuf's own language is made of the signs of base64 alone.
fn descriptor(text: &str) -> Option<FileDescriptorProto> {
    let text: String = text.split_ascii_whitespace().collect();
    let bytes = BASE64_STANDARD.decode(text).ok().filter(|bytes| !bytes.is_empty())?;
    FileDescriptorProto::decode(bytes.as_slice()).ok()
}

/// Which message of a file a record is: its number, then the number of the one inside, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageIndexes {
    places: [usize; INDEXES_MAX],
    count: usize,
}

impl MessageIndexes {
    /// Reads what Confluent's framing has behind the schema's id: a count and so many numbers, or a single 0 for the first
    /// message. Gives where the message begins.
    ///
    /// # Errors
    /// Gives the byte of the record at which they are bad.
    pub fn read(record: &[u8], at: usize) -> Result<(Self, usize), usize> {
        let mut cursor = Cursor::new(record, at, record.len());
        let mut next = |greatest: usize| {
            let at = cursor.at;
            let number = cursor.varint().map_err(|_| at)?;
            let number = usize::try_from(unzigzag(number)).map_err(|_| at)?;
            if number <= greatest { Ok((number, cursor.at)) } else { Err(at) }
        };
        let (count, mut end) = next(INDEXES_MAX)?;
        let mut indexes = Self { places: [0; INDEXES_MAX], count: count.max(1) };
        for place in &mut indexes.places[..count] {
            (*place, end) = next(usize::from(u16::MAX))?;
        }
        Ok((indexes, end))
    }
}
