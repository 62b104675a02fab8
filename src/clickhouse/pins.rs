//! Settings that a profile must not change under us: one that does can make a fence pass or a look fall short.
//!
//! Takes what `system.settings` says for our user, gives what has to be sent: only settings that the server knows and
//! only where its value differs, because a constraint refuses even to hear a setting that it forbids.
//! Never sends `enable_analyzer`: newer servers refuse to turn it off, and both analyzers act alike here.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use serde::Deserialize;

use super::error::ControlError;
use super::sql;

/// Without these an insert can be cut, delayed, filtered or acknowledged while rows are missing.
const INSERT: &[(&str, &str)] = &[
    ("async_insert", "0"),
    ("max_insert_threads", "1"),
    ("optimize_on_insert", "0"),
    ("max_execution_time", "0"),
    ("timeout_overflow_mode", "throw"),
    ("empty_result_for_aggregation_by_empty_set", "0"),
    ("read_overflow_mode", "throw"),
    ("read_overflow_mode_leaf", "throw"),
    ("max_rows_to_read", "0"),
    ("max_bytes_to_read", "0"),
    ("max_rows_to_read_leaf", "0"),
    ("max_bytes_to_read_leaf", "0"),
    ("additional_table_filters", "{}"),
    ("additional_result_filter", ""),
    ("limit", "0"),
    ("offset", "0"),
    ("max_parallel_replicas", "1"),
    ("allow_experimental_parallel_reading_from_replicas", "0"),
    ("insert_null_as_default", "0"),
    ("implicit_transaction", "0"),
    ("use_query_cache", "0"),
    ("materialized_views_ignore_errors", "0"),
    ("throw_on_max_partitions_per_insert_block", "1"),
    ("use_strict_insert_block_limits", "0"),
    ("max_insert_block_size_bytes", "0"),
    ("input_format_connection_handling", "0"),
    ("input_format_max_block_wait_ms", "0"),
    // A DEFAULT finds the values of other columns by their aliases.
    ("prefer_column_name_to_alias", "0"),
    ("dialect", "clickhouse"),
    ("force_primary_key", "0"),
    ("force_index_by_date", "0"),
    ("force_data_skipping_indices", ""),
    ("data_type_default_nullable", "0"),
    ("max_columns_to_read", "0"),
    ("max_temporary_columns", "0"),
    ("max_temporary_non_const_columns", "0"),
    ("output_format_binary_encode_types_in_binary_format", "0"),
    ("input_format_binary_decode_types_in_binary_format", "0"),
    ("query_plan_optimize_join_order_algorithm", "greedy"),
    ("max_rows_in_set", "0"),
    ("max_bytes_in_set", "0"),
    ("set_overflow_mode", "throw"),
];

/// What would make a control SELECT answer with less than there is, besides [`INSERT`].
const CONTROL: &[(&str, &str)] = &[
    ("final", "0"),
    ("result_overflow_mode", "throw"),
    ("max_result_rows", "0"),
    ("max_result_bytes", "0"),
    ("apply_deleted_mask", "1"),
    ("max_rows_to_group_by", "0"),
    ("group_by_overflow_mode", "throw"),
    ("max_rows_to_sort", "0"),
    ("max_bytes_to_sort", "0"),
    ("sort_overflow_mode", "throw"),
    ("max_rows_in_distinct", "0"),
    ("max_bytes_in_distinct", "0"),
    ("distinct_overflow_mode", "throw"),
    ("max_rows_in_join", "0"),
    ("max_bytes_in_join", "0"),
    ("join_overflow_mode", "throw"),
    ("max_rows_to_transfer", "0"),
    ("max_bytes_to_transfer", "0"),
    ("transfer_overflow_mode", "throw"),
    ("join_use_nulls", "0"),
    ("transform_null_in", "0"),
    ("aggregate_functions_null_for_empty", "0"),
];

/// Settings that bound a statement's text or its values. What our statements need is far below the server's own defaults; 0 is
/// no bound.
const BOUNDS: &[(&str, u64)] = &[
    ("format_binary_max_string_size", 1 << 30),
    ("format_binary_max_array_size", 1 << 30),
    ("max_query_size", 262_144),
    ("max_parser_depth", 1_000),
    ("max_parser_backtracks", 1_000_000),
    ("max_ast_depth", 1_000),
    ("max_ast_elements", 50_000),
    ("max_expanded_ast_elements", 500_000),
    ("max_subquery_depth", 100),
];

/// Sent with the question for settings itself: a profile with `limit = 1` would otherwise show us one setting. So the
/// answer tells nothing of these, and they are sent always; a constraint lets a value pass that it has anyway. All are
/// older than any server that we support.
pub(super) const OF_THE_QUESTION: &[(&str, &str)] = &[
    ("limit", "0"),
    ("offset", "0"),
    ("additional_result_filter", ""),
    ("additional_table_filters", "{}"),
    ("max_execution_time", "0"),
    ("max_rows_to_read", "0"),
    ("max_bytes_to_read", "0"),
    ("max_result_rows", "0"),
    ("max_result_bytes", "0"),
];

/// Sent with the first questions beside [`OF_THE_QUESTION`] where the server refuses or garbles those alone. No server has to
/// know them: one that does not says which.
pub(super) const OF_A_REFUSED_QUESTION: &[(&str, &str)] = &[
    ("dialect", "clickhouse"),
    ("implicit_transaction", "0"),
    ("output_format_binary_encode_types_in_binary_format", "0"),
    ("format_binary_max_string_size", "1073741824"),
    ("max_columns_to_read", "0"),
    ("max_temporary_columns", "0"),
    ("max_temporary_non_const_columns", "0"),
    ("max_rows_in_set", "0"),
    ("max_bytes_in_set", "0"),
    ("max_query_size", "262144"),
    ("max_parser_depth", "1000"),
    ("max_parser_backtracks", "1000000"),
    ("max_ast_depth", "1000"),
    ("max_ast_elements", "50000"),
    ("max_expanded_ast_elements", "500000"),
    ("max_subquery_depth", "100"),
];

/// Settings that must lie above the rows of a block; 0 turns the limit off where the flag says so.
const ABOVE_ROWS: &[(&str, bool)] = &[
    ("max_partitions_per_insert_block", true),
    ("min_insert_block_size_rows", false),
    ("max_insert_block_size", false),
    ("max_block_size", false),
];

/// Above any block: the server counts its own memory for a block, which we can only guess at.
const MIN_INSERT_BLOCK_SIZE_BYTES: (&str, u64) = ("min_insert_block_size_bytes", 1 << 40);

/// Types that the server takes in the structure of a block only with a setting, as in `CREATE TABLE`. The table is there
/// already, so whoever made it had the setting.
const TYPES: &[(&str, &str)] = &[
    ("LowCardinality", "allow_suspicious_low_cardinality_types"),
    ("FixedString", "allow_suspicious_fixed_string_types"),
    ("Variant", "allow_suspicious_variant_types"),
    ("Variant", "allow_experimental_variant_type"),
    ("Dynamic", "allow_experimental_dynamic_type"),
    ("JSON", "allow_experimental_json_type"),
    ("BFloat16", "allow_experimental_bfloat16_type"),
    ("Time", "enable_time_time64_type"),
    ("Time64", "enable_time_time64_type"),
];

/// What `system.settings` says of one setting.
#[derive(Debug, Clone, Row, Deserialize)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
    /// 1: our user's profile does not let it be changed.
    pub(super) readonly: u8,
}

/// The settings to send with inserts and control statements, for one server and user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pins {
    insert: Vec<(String, String)>,
    control: Vec<(String, String)>,
    limits: BTreeMap<&'static str, u64>,
    /// Types with the setting that allows them and is off.
    types: Vec<(&'static str, &'static str)>,
}

impl Pins {
    /// The question whose answer [`Pins::from_settings`] takes.
    pub(super) fn question() -> String {
        let names = INSERT
            .iter()
            .chain(CONTROL)
            .map(|(name, _)| *name)
            .chain(ABOVE_ROWS.iter().map(|(name, _)| *name))
            .chain([MIN_INSERT_BLOCK_SIZE_BYTES.0])
            .chain(BOUNDS.iter().map(|(name, _)| *name))
            .chain(["readonly"])
            .chain(TYPES.iter().map(|(_, name)| *name));
        format!(
            "SELECT name, value, toUInt8(readonly) AS readonly FROM system.settings WHERE name IN ({})",
            sql::joined(names.map(sql::string), ", ")
        )
    }

    /// What has to be sent, given what the server says. A setting that differs and may not be changed is an error. `always`
    /// was sent with the question, so that the answer tells nothing of it.
    pub(super) fn from_settings(
        server: &str,
        settings: &[Setting],
        always: &[(String, String)],
    ) -> Result<Self, ControlError> {
        let known: BTreeMap<&str, &Setting> = settings.iter().map(|setting| (setting.name.as_str(), setting)).collect();
        if let Some(readonly) = known.get("readonly").filter(|readonly| readonly.value != "0") {
            return Err(ControlError::Unusable {
                what: format!(
                    "the profile of our user at {server} has readonly = {}: nothing can be written",
                    readonly.value
                ),
                fix: "set readonly to 0 in the profile, or use another user".to_owned(),
            });
        }
        let differing = |wanted: &[(&str, &str)]| -> Result<Vec<(String, String)>, ControlError> {
            let mut pins = Vec::new();
            for (name, value) in wanted {
                let Some(setting) = known.get(name) else {
                    continue;
                };
                let hidden = OF_THE_QUESTION.iter().any(|(asked, _)| asked == name);
                if setting.value == *value && !hidden {
                    continue;
                }
                if setting.readonly != 0 && setting.value != *value {
                    return Err(Self::forbidden(server, name, &setting.value, value));
                }
                pins.push(((*name).to_owned(), (*value).to_owned()));
            }
            Ok(pins)
        };
        let mut insert = differing(INSERT)?;
        for (name, least) in BOUNDS {
            let Some(setting) = known.get(name) else { continue };
            // One that may not be raised is left to the server, which names it if a statement is too long for it.
            if setting.readonly == 0 && setting.value.parse::<u64>().is_ok_and(|value| value != 0 && value < *least) {
                insert.push(((*name).to_owned(), least.to_string()));
            }
        }
        for (name, value) in always {
            if insert.iter().all(|(known, _)| known != name) {
                insert.push((name.clone(), value.clone()));
            }
        }
        let mut control = insert.clone();
        control.extend(differing(CONTROL)?);
        let mut limits = BTreeMap::new();
        for name in ABOVE_ROWS.iter().map(|(name, _)| *name).chain([MIN_INSERT_BLOCK_SIZE_BYTES.0]) {
            if let Some(setting) = known.get(name) {
                let value = setting.value.parse().map_err(|_| ControlError::Malformed {
                    doing: "reading settings".to_owned(),
                    server: server.to_owned(),
                    why: format!("setting {name} is {:?}, not a number", setting.value),
                })?;
                limits.insert(name, value);
            }
        }
        // One that may not be turned on is left to the server, which names it if it is needed.
        let is_off = |name: &str| known.get(name).is_some_and(|setting| setting.value == "0" && setting.readonly == 0);
        let types = TYPES.iter().copied().filter(|(_, name)| is_off(name)).collect();
        Ok(Self { insert, control, limits, types })
    }

    /// The settings of every insert.
    pub fn insert(&self) -> &[(String, String)] {
        &self.insert
    }

    /// The settings of every control statement.
    pub fn control(&self) -> &[(String, String)] {
        &self.control
    }

    /// The settings that keep a block of `rows` rows one block on the server.
    pub fn block(&self, rows: u64) -> Vec<(String, String)> {
        let needed = rows.saturating_add(1);
        let mut pins = Vec::new();
        for (name, zero_is_unlimited) in ABOVE_ROWS {
            if let Some(value) = self.limits.get(name)
                && *value < needed
                && !(*zero_is_unlimited && *value == 0)
            {
                pins.push(((*name).to_owned(), needed.to_string()));
            }
        }
        let (name, needed) = MIN_INSERT_BLOCK_SIZE_BYTES;
        if self.limits.get(name).is_some_and(|value| *value < needed) {
            pins.push((name.to_owned(), needed.to_string()));
        }
        pins
    }

    /// The settings that allow the types of a block, each once. `texts` are types, and expressions that name some.
    pub fn types<'a>(&self, texts: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
        let words = texts.flat_map(|text| text.split(|letter: char| !letter.is_ascii_alphanumeric()));
        let words: BTreeSet<&str> = words.collect();
        let needed: BTreeSet<&str> =
            self.types.iter().filter(|(word, _)| words.contains(word)).map(|(_, name)| *name).collect();
        needed.into_iter().map(|name| (name.to_owned(), "1".to_owned())).collect()
    }

    fn forbidden(server: &str, name: &str, value: &str, wanted: &str) -> ControlError {
        ControlError::Unusable {
            what: format!(
                "the profile of our user at {server} holds setting {name} at {value:?} and lets nobody change it, \
                 but exactly-once needs {wanted:?}"
            ),
            fix: format!("remove the constraint on {name} from the profile, or set it to {wanted:?} there"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, value: &str) -> Setting {
        Setting { name: name.to_owned(), value: value.to_owned(), readonly: 0 }
    }

    #[test]
    fn only_known_settings_that_differ_are_sent() {
        let check = |settings: &[(&str, &str)], insert: &[(&str, &str)], control: &[(&str, &str)]| {
            let settings: Vec<_> = settings.iter().map(|(n, v)| setting(n, v)).collect();
            let pins = Pins::from_settings("s", &settings, &[]).unwrap();
            let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
                pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
            };
            assert_eq!(pins.insert(), owned(insert), "{settings:?}");
            assert_eq!(pins.control(), owned(control), "{settings:?}");
        };
        check(&[], &[], &[]);
        check(&[("async_insert", "0")], &[], &[]);
        check(&[("async_insert", "1")], &[("async_insert", "0")], &[("async_insert", "0")]);
        check(&[("final", "1")], &[], &[("final", "0")]);
        check(&[("limit", "0")], &[("limit", "0")], &[("limit", "0")]);
        check(&[("max_rows_to_read", "0")], &[("max_rows_to_read", "0")], &[("max_rows_to_read", "0")]);
        check(
            &[("timeout_overflow_mode", "break"), ("limit", "5")],
            &[("timeout_overflow_mode", "throw"), ("limit", "0")],
            &[("timeout_overflow_mode", "throw"), ("limit", "0")],
        );
        check(&[("enable_analyzer", "1")], &[], &[]);
    }

    #[test]
    fn types_that_need_a_setting_get_it() {
        let check = |value: &str, readonly: u8, texts: &[&str], expected: &[&str]| {
            let one = |name: &str| Setting { name: name.to_owned(), value: value.to_owned(), readonly };
            let settings = [one("enable_time_time64_type"), one("allow_suspicious_low_cardinality_types")];
            let pins = Pins::from_settings("s", &settings, &[]).unwrap();
            let sent: Vec<String> = pins.types(texts.iter().copied()).into_iter().map(|(name, _)| name).collect();
            assert_eq!(sent, expected, "{texts:?}");
        };
        let time = "enable_time_time64_type";
        check("0", 0, &["DateTime", "DateTime64(3)", "Variant(String, UInt8)"], &[]);
        check("0", 0, &["Time", "Array(Time64(3))"], &[time]);
        check("0", 0, &["Map(LowCardinality(Int8), Time)"], &["allow_suspicious_low_cardinality_types", time]);
        check("1", 0, &["Time"], &[]);
        check("0", 1, &["Time"], &[]);
    }

    #[test]
    fn a_constraint_is_named() {
        let check = |value: &str, refused: bool| {
            let mut constrained = setting("async_insert", value);
            constrained.readonly = 1;
            let result = Pins::from_settings("s", &[constrained], &[]);
            assert_eq!(result.is_err(), refused, "{value}");
            if let Err(error) = result {
                assert!(error.to_string().contains("async_insert"), "{error}");
            }
        };
        check("1", true);
        check("0", false);
    }

    #[test]
    fn a_block_stays_one_block() {
        let check = |name: &str, value: &str, rows: u64, expected: Option<&str>| {
            let pins = Pins::from_settings("s", &[setting(name, value)], &[]).unwrap();
            let sent = pins.block(rows);
            let sent = sent.first().map(|(name, value)| (name.as_str(), value.as_str()));
            assert_eq!(sent, expected.map(|value| (name, value)), "{name} {value} {rows}");
        };
        check("min_insert_block_size_rows", "1048449", 1_048_448, None);
        check("min_insert_block_size_rows", "1048449", 1_048_449, Some("1048450"));
        check("min_insert_block_size_rows", "0", 10, Some("11"));
        check("max_partitions_per_insert_block", "100", 99, None);
        check("max_partitions_per_insert_block", "100", 100, Some("101"));
        check("max_partitions_per_insert_block", "0", 100, None);
        check("max_block_size", "65409", 500_000, Some("500001"));
        check("min_insert_block_size_bytes", "268402944", 1, Some("1099511627776"));
    }
}
