//! Columns whose type in a block is not their own: the server makes their values of what the block holds.
//!
//! `JSON` and `Dynamic` have forms of their own in a block, which change from release to release. So `JSON` is sent as text,
//! of which a `CAST` makes what JSONEachRow does; for `Dynamic` see [`super::dynamic`].

use super::dynamic;
use super::types::ColumnType;
use crate::clickhouse::sql;

/// How a column is sent, where that is not as its own type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// Type of the block's column.
    pub body_type: String,
    /// What makes the value of the block's column; `None` where that is the value already.
    pub expression: Option<String>,
}

impl Conversion {
    /// Of a column of this name and type.
    pub(super) fn new(name: &str, column_type: &ColumnType, type_text: &str, body_type: String) -> Self {
        let expression = column_type.is_made_from_json().then(|| {
            let name = sql::identifier(name);
            let value = converted(column_type, &name, 0).unwrap_or(name);
            format!("CAST({value}, {})", sql::string(type_text))
        });
        Self { body_type, expression }
    }
}

/// An expression in which all is made that becomes `Dynamic`; `None` where nothing of `value` does. `depth` makes the names of
/// parameters differ.
fn converted(column_type: &ColumnType, value: &str, depth: u32) -> Option<String> {
    let item = format!("_item{depth}");
    match column_type {
        ColumnType::Dynamic => Some(dynamic::expression(value)),
        ColumnType::Array(inner) => {
            let item_value = converted(inner, &item, depth + 1)?;
            Some(format!("arrayMap({item} -> {item_value}, {value})"))
        }
        ColumnType::Map(_, inner) => {
            let (key, item_value) = (format!("_key{depth}"), converted(inner, &item, depth + 1)?);
            Some(format!("mapApply(({key}, {item}) -> ({key}, {item_value}), {value})"))
        }
        ColumnType::Tuple(fields) => {
            let mut any = false;
            let fields: Vec<String> = (1..)
                .zip(fields)
                .map(|(place, field)| {
                    let element = format!("tupleElement({value}, {place})");
                    let converted = converted(&field.field_type, &element, depth + 1);
                    any |= converted.is_some();
                    converted.unwrap_or(element)
                })
                .collect();
            any.then(|| format!("tuple({})", fields.join(", ")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::dynamic;
    use crate::columns::{ColumnSpec, DefaultValue};

    fn check(type_text: &str, body_type: &str, expression: &str) {
        let spec = ColumnSpec::new("a b", type_text, DefaultValue::TypeZero).unwrap();
        let found = spec.conversion.map(|found| (found.body_type, found.expression.unwrap_or_default()));
        let expected = (!body_type.is_empty()).then(|| (body_type.to_owned(), expression.to_owned()));
        assert_eq!(found, expected, "{type_text}");
    }

    #[test]
    fn texts_are_sent_where_the_server_makes_values_of_them() {
        let any = dynamic::BODY_TYPE;
        let dynamic = dynamic::expression;
        check("String", "", "");
        check("Variant(Array(String), UInt64)", "", "");
        check("JSON", "String", "CAST(`a b`, 'JSON')");
        check("Nullable(JSON(a.`b)` UInt8))", "Nullable(String)", "CAST(`a b`, 'Nullable(JSON(a.`b)` UInt8))')");
        check(
            "JSON(max_dynamic_paths=8, `a.b` UInt32, SKIP REGEXP 'x)')",
            "String",
            "CAST(`a b`, 'JSON(max_dynamic_paths=8, `a.b` UInt32, SKIP REGEXP \\'x)\\')')",
        );
        check("Map(String, JSON)", "Map(String, String)", "CAST(`a b`, 'Map(String, JSON)')");
        check("Dynamic", any, &format!("CAST({}, 'Dynamic')", dynamic("`a b`")));
        check(
            "Array(Tuple(a Dynamic(max_types=3), JSON Int8, b Array(JSON)))",
            &format!("Array(Tuple(a {any}, JSON Int8, b Array(String)))"),
            &format!(
                "CAST(arrayMap(_item0 -> tuple({}, tupleElement(_item0, 2), tupleElement(_item0, 3)), `a b`), \
                 'Array(Tuple(a Dynamic(max_types=3), JSON Int8, b Array(JSON)))')",
                dynamic("tupleElement(_item0, 1)")
            ),
        );
        check(
            "Map(String, Array(Dynamic))",
            &format!("Map(String, Array({any}))"),
            &format!(
                "CAST(mapApply((_key0, _item0) -> (_key0, arrayMap(_item1 -> {}, _item0)), `a b`), \
                 'Map(String, Array(Dynamic))')",
                dynamic("_item1")
            ),
        );
        check("Nested(a UInt8, b String)", "Array(Tuple(a UInt8, b String))", "");
        check(
            "Nested(a JSON, b Nested(c UInt8))",
            "Array(Tuple(a String, b Array(Tuple(c UInt8))))",
            "CAST(`a b`, 'Nested(a JSON, b Nested(c UInt8))')",
        );
    }
}
