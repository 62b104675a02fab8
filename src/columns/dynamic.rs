//! What a `Dynamic` column is sent as: one of the kinds of values that JSON has, each with the type that JSONEachRow finds for
//! it.
//!
//! The server's own ways from text to `Dynamic` lose values: `JSONExtract` and a path of a `JSON` column take a value for
//! the type of its neighbours where they can, and drop digits then. From `Variant` to `Dynamic` every value keeps its type.

/// The types, sorted as the server sorts those of a `Variant`. The tuple is the text of an object, of which the server
/// makes `JSON`.
pub(super) const BODY_TYPE: &str = "Variant(Array(Bool), Array(Float64), Array(Int64), Array(Nullable(Bool)), \
    Array(Nullable(Float64)), Array(Nullable(Int64)), Array(Nullable(String)), Array(String), Bool, Date, DateTime, \
    DateTime64(9), Float64, Int64, String, Tuple(String), UInt64)";

/// A kind of value, by its place among the types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DynamicKind {
    Bools,
    Floats,
    Integers,
    BoolsAndNulls,
    FloatsAndNulls,
    IntegersAndNulls,
    TextsAndNulls,
    Texts,
    Bool,
    Date,
    DateTime,
    DateTime64,
    Float,
    Integer,
    Text,
    Object,
    Unsigned,
}

impl DynamicKind {
    /// The number of the try for it.
    pub(crate) fn place(self) -> usize {
        self as usize
    }
}

/// The `Dynamic` of the block's `value`.
pub(super) fn expression(value: &str) -> String {
    let text = format!("tupleElement(variantElement({value}, 'Tuple(String)'), 1)");
    format!(
        "if(variantType({value}) = 'Tuple(String)', CAST(CAST(if(empty({text}), '{{}}', {text}), 'JSON'), 'Dynamic'), \
         CAST({value}, 'Dynamic'))"
    )
}
