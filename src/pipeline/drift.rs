//! What becomes of records with fields that the table has no column for, as `schema_drift` says.
//!
//! Takes the columns that a record asks for, gives what to do with it. Runs nothing: the table watch adds the columns.

use std::collections::HashSet;

use crate::clickhouse::{Table, TableName, sql};
use crate::columns::RowPlan;
use crate::config::{Mapping, NameStyle, SchemaDrift};
use crate::decode::{DecodeError, ErrorCode, NewColumn};
use crate::protocol::halt::HaltReason;
use crate::types::Offset;

/// The server makes files of these names, escaped to three times their length at most.
const NAME_BYTES_MAX: usize = 80;

/// What a lane does with new fields.
#[derive(Debug)]
pub struct Drift {
    table: TableName,
    /// How many columns may be added; `None` where the partition stops.
    room: Option<usize>,
    columns_max: u32,
    /// How records write names, where columns are written in another way.
    style: Option<NameStyle>,
}

/// What becomes of a record with new fields.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its partition stops there.
    Halt(HaltReason),
    /// It cannot become a row.
    Dead(DecodeError),
    /// It is read again when the table has these columns.
    Wait(Vec<NewColumn>),
}

impl Drift {
    /// What is to be done, and the plan of rows that reports what there is to do something about.
    ///
    /// Of a topic with routes nothing is reported: the configuration refuses that.
    pub(super) fn of(
        table: &Table,
        policy: SchemaDrift,
        mapping: &Mapping,
        mut plans: Vec<RowPlan>,
    ) -> (Option<Self>, Vec<RowPlan>) {
        let (room, columns_max) = match policy {
            SchemaDrift::Ignore => return (None, plans),
            SchemaDrift::Halt => (None, 0),
            SchemaDrift::AddColumns { columns_max } => {
                let most = usize::try_from(columns_max).unwrap_or(usize::MAX);
                (Some(most.saturating_sub(table.columns.len())), columns_max)
            }
        };
        let style = mapping.field_names;
        // A column that the server computes, or that is filled from elsewhere, is there all the same.
        let names = table.columns.iter().map(|column| &column.name);
        let styled = names.clone().filter_map(|name| style.map(|style| style.of(name)));
        let overlooked: HashSet<String> = names.cloned().chain(styled).collect();
        let drift = Self { table: table.name.clone(), room, columns_max, style };
        let reporting = plans.pop().map(|rows| rows.reporting_unknown_fields(overlooked));
        plans.extend(reporting);
        (Some(drift), plans)
    }

    /// What becomes of the record at `offset`.
    pub(crate) fn judge(&self, offset: Offset, fields: Vec<NewColumn>) -> Verdict {
        let unnamed = fields.iter().find(|field| !is_name(&field.name)).map(|field| field.name.clone());
        let first = fields.first().map(|field| field.name.clone()).unwrap_or_default();
        let columns: Vec<NewColumn> =
            fields.into_iter().map(|field| NewColumn { name: self.column_of(field.name), ..field }).collect();
        let Some(room) = self.room else {
            let fix = statement(&self.table, &columns);
            return Verdict::Halt(HaltReason::NewFields { offset, field: first, fix });
        };
        if let Some(name) = unnamed {
            let why =
                format!("its name is empty, longer than {NAME_BYTES_MAX} bytes, or has a dot or a control character");
            return Verdict::Dead(DecodeError::of_new_fields(ErrorCode::UnknownField, &name, &why));
        }
        if columns.len() > room {
            let why = format!(
                "{} has {} columns less than `columns_max`, {}, and the record has {} new fields, the first {first:?}",
                self.table,
                room,
                self.columns_max,
                columns.len()
            );
            return Verdict::Dead(DecodeError::of_new_fields(ErrorCode::TooManyColumns, &first, &why));
        }
        Verdict::Wait(columns)
    }

    /// The column that will take a field: in the style of columns, where the field is found again by it.
    fn column_of(&self, field: String) -> String {
        let Some(style) = self.style else { return field };
        let name = NameStyle::Snake.of(&field);
        if style.of(&name) == field { name } else { field }
    }
}

/// The statement that adds columns which are not there yet.
pub(super) fn statement(table: &TableName, columns: &[NewColumn]) -> String {
    let added = columns
        .iter()
        .map(|column| format!("ADD COLUMN IF NOT EXISTS {} {}", sql::identifier(&column.name), column.type_text));
    format!("ALTER TABLE {} {}", table.quoted(), sql::joined(added, ", "))
}

/// A dot would make it a part of another column.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(|c: char| c == '.' || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> NewColumn {
        NewColumn { name: name.to_owned(), type_text: "Nullable(Int64)".to_owned() }
    }

    #[test]
    fn records_with_new_fields_are_judged() {
        let check = |room: Option<usize>, style: Option<NameStyle>, fields: &[&str], expected: &str| {
            let drift = Drift { table: TableName::new("iot", "readings"), room, columns_max: 9, style };
            let said = match drift.judge(Offset::new(7), fields.iter().map(|name| field(name)).collect()) {
                Verdict::Halt(reason) => format!("halt: {reason}"),
                Verdict::Dead(error) => format!("{} {:?}: {}", error.code, error.field, error.reason),
                Verdict::Wait(columns) => statement(&drift.table, &columns),
            };
            assert!(said.contains(expected), "{said}");
        };
        let add = "ALTER TABLE `iot`.`readings` ADD COLUMN IF NOT EXISTS ";
        check(Some(1), None, &["x"], &format!("{add}`x` Nullable(Int64)"));
        check(
            Some(2),
            None,
            &["x", "it's `"],
            &format!("{add}`x` Nullable(Int64), ADD COLUMN IF NOT EXISTS `it's \\`` "),
        );
        check(Some(1), Some(NameStyle::Camel), &["deviceId"], &format!("{add}`device_id` "));
        check(Some(1), Some(NameStyle::Camel), &["DeviceID"], &format!("{add}`DeviceID` "));
        check(
            Some(1),
            None,
            &["x", "y"],
            "too_many_columns Some(\"x\"): the table may have no more columns: iot.readings has 1 columns less than \
             `columns_max`, 9, and the record has 2 new fields, the first \"x\"",
        );
        let long = "n".repeat(81);
        for name in ["", "a.b", "a\nb", &long] {
            check(Some(9), None, &["x", name], "unknown_field Some(");
        }
        check(Some(9), None, &[&long[1..]], add);
        check(None, None, &["x", "a.b"], "halt: the record at offset 7 has a field `x` that no column takes");
        check(None, None, &["x"], &format!("{add}`x` Nullable(Int64)"));
    }
}
