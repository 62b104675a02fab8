//! What the server makes of a row before it stores it, where a DEFAULT reads other columns.
//!
//! An expression may read any column of its table: one that records fill, one that the server computes, one that is only
//! there to be read (EPHEMERAL), one that the configuration leaves to the table. The insert has to have them all.

use std::collections::{BTreeMap, BTreeSet};

use crate::clickhouse::{Column, ControlError, DefaultKind, Session, Table, expression, sql};
use crate::columns::{DefaultValue, RowPlan};
use crate::insert::{ComputedColumn, InputColumn, ServerDefault, selection, structure};

/// What a statement has beside the columns of records.
#[derive(Debug, Clone, Default)]
pub struct ServerValues {
    /// The expressions of columns that records may lack, by column.
    pub defaults: BTreeMap<String, String>,
    /// Columns that no record fills and that expressions read.
    pub computed: Vec<ComputedColumn>,
}

impl ServerValues {
    /// Of the columns in a plan. Gives what cannot be had too, each with column and reason.
    pub(super) fn of(table: &Table, plan: &RowPlan) -> (Self, Vec<String>) {
        let mut values = Self::default();
        let mut unfit = Vec::new();
        let filled: BTreeSet<&str> = plan
            .columns()
            .iter()
            .map(|spec| spec.name.as_str())
            .chain(plan.coordinates().iter().map(|spec| spec.name.as_str()))
            .collect();
        for spec in plan.columns().iter().filter(|spec| spec.default == DefaultValue::ServerSide) {
            let Some(column) = table.column(&spec.name) else { continue };
            values.defaults.insert(column.name.clone(), column.default_value());
            for read in all_read(table, column) {
                if filled.contains(read.name.as_str()) {
                    continue;
                }
                if read.default_kind == DefaultKind::Materialized && expression::is_random(&read.default_expression) {
                    unfit.push(random(table, column, read));
                }
                if values.computed.iter().all(|known| known.name != read.name) {
                    values.computed.push(ComputedColumn {
                        name: read.name.clone(),
                        value: read.default_value(),
                        // The table's own expressions get the same value then.
                        inserted: read.is_insertable(),
                    });
                }
            }
        }
        for (_, presence) in plan.presences() {
            if values.computed.iter().any(|column| column.name == presence) {
                unfit.push(format!(
                    "column {presence} of {}: the name is taken, by the mark of rows that lack another column; rename it",
                    table.name
                ));
            }
        }
        (values, unfit)
    }

    /// Has the server evaluate all expressions, over no rows. Gives each column whose value cannot be had, with what the
    /// server says of it.
    pub async fn refused(
        &self,
        session: &Session,
        table: &Table,
        plan: &RowPlan,
    ) -> Result<Vec<(String, String)>, ControlError> {
        let columns = self.input_columns(plan);
        let mut refused = Vec::new();
        let all: Vec<&String> = self.defaults.keys().collect();
        let mut open = vec![all.as_slice()];
        while let Some(some) = open.pop().filter(|some| !some.is_empty()) {
            let read: Vec<&Column> =
                some.iter().filter_map(|name| table.column(name)).flat_map(|column| all_read(table, column)).collect();
            let is_read = |computed: &&ComputedColumn| read.iter().any(|read| read.name == computed.name);
            let computed: Vec<ComputedColumn> = self.computed.iter().filter(is_read).cloned().collect();
            let only = columns.iter().map(|column| InputColumn {
                default: column.default.clone().filter(|_| some.contains(&&column.name)),
                ..column.clone()
            });
            let only: Vec<InputColumn> = only.collect();
            let Some(reason) = try_over_nothing(session, &only, &computed).await? else { continue };
            if let [name] = some {
                refused.push(((*name).clone(), reason));
            } else {
                let (left, right) = some.split_at(some.len() / 2);
                open.extend([left, right]);
            }
        }
        refused.sort();
        Ok(refused)
    }

    /// The columns of a statement whose block lacks some value in each column that may.
    fn input_columns(&self, plan: &RowPlan) -> Vec<InputColumn> {
        let presences: BTreeMap<&str, &str> = plan.presences().collect();
        let default = |name: &str| {
            let (presence, expression) = (presences.get(name)?, self.defaults.get(name)?);
            Some(ServerDefault { presence: (*presence).to_owned(), expression: expression.clone() })
        };
        let data = plan.columns().iter().map(|spec| InputColumn {
            name: spec.name.clone(),
            kind: spec.body_type().to_owned(),
            conversion: spec.conversion.as_ref().and_then(|conversion| conversion.expression.clone()),
            default: default(&spec.name),
        });
        let coordinates = plan.coordinates().iter().map(|spec| InputColumn {
            name: spec.name.clone(),
            kind: spec.type_text.clone(),
            conversion: None,
            default: None,
        });
        data.chain(coordinates).collect()
    }
}

/// What the server says against the SELECT of an insert; `None` where it takes it.
async fn try_over_nothing(
    session: &Session,
    columns: &[InputColumn],
    computed: &[ComputedColumn],
) -> Result<Option<String>, ControlError> {
    let values = structure(columns)
        .into_iter()
        .map(|(name, kind)| format!("materialize(defaultValueOfTypeName({})) AS {name}", sql::string(kind)));
    let nothing = format!("(SELECT {} WHERE 0)", sql::joined(values, ", "));
    let (_, select) = selection(columns, computed, &nothing);
    // A count alone would need no column.
    let question = format!("SELECT count() FROM ({select}) WHERE NOT ignore(*)");
    match session.fetch::<u64>("trying the defaults of columns", &question).await {
        Ok(_) => Ok(None),
        // What follows is the whole statement.
        Err(ControlError::Refused { text, .. }) => {
            Ok(Some(text.split("In scope").next().unwrap_or_default().trim_end_matches([' ', ':', '.']).to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// The columns that the expression of a column reads, and what they are made of in their turn.
fn all_read<'t>(table: &'t Table, column: &'t Column) -> Vec<&'t Column> {
    let mut found: Vec<&Column> = Vec::new();
    let mut open = vec![column];
    while let Some(column) = open.pop().filter(|column| column.has_expression()) {
        let names = table.columns.iter().map(|column| column.name.as_str());
        for name in expression::columns_read(&column.default_expression, names) {
            let Some(read) = table.column(name) else { continue };
            if found.iter().all(|known| known.name != read.name) {
                found.push(read);
                open.push(read);
            }
        }
    }
    found
}

fn random(table: &Table, column: &Column, read: &Column) -> String {
    format!(
        "column {name} of {table}: its DEFAULT reads {read}, which the server makes anew each time (MATERIALIZED {how}), so \
         that the two would differ; make {read} a DEFAULT column, or leave {name} to the server: \
         `columns: {{ {name}: $none }}`",
        name = column.name,
        table = table.name,
        read = read.name,
        how = read.default_expression,
    )
}
