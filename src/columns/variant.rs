//! `Variant`: a value of one of several types, or NULL. A `Dynamic` is one while it is in a block.
//!
//! A value is tried with one type after the other, in an empty column beside the ones that are sent, so that a failed try
//! leaves nothing behind. The order of a `Variant` is the one in which ClickHouse tries them: the more nested a type the earlier, then
//! by how few texts it takes.

use std::cmp::Reverse;

use super::builder::ColumnBuilder;
use super::dynamic;
use super::plan::PlanError;
use super::types::ColumnType;

/// Stands for NULL where a row's type is counted.
const NULL: u8 = 255;

/// A type per row, and each type's values.
#[derive(Debug)]
pub(crate) struct VariantColumn {
    /// Per row the place of its type, or [`NULL`].
    pub(crate) discriminators: Vec<u8>,
    pub(crate) values: Vec<ColumnBuilder>,
    /// Per type an empty column, for a value that may fit.
    trials: Vec<ColumnBuilder>,
    /// The places in the order of trying.
    order: Vec<u8>,
    dynamic: bool,
    pub(super) mark: usize,
}

impl VariantColumn {
    pub(crate) fn new(types: &[ColumnType], server_zone: &str) -> Result<Self, PlanError> {
        let mut column = Self::in_order(types, server_zone)?;
        column.order.sort_by_key(|place| Reverse(precedence(&types[usize::from(*place)], 0)));
        Ok(column)
    }

    /// A `Dynamic`, whose tries are numbered as its kinds.
    pub(crate) fn of_dynamic(server_zone: &str) -> Result<Self, PlanError> {
        let Ok(ColumnType::Variant(types)) = ColumnType::parse(dynamic::BODY_TYPE) else {
            unreachable!("the type of all kinds is a Variant");
        };
        Ok(Self { dynamic: true, ..Self::in_order(&types, server_zone)? })
    }

    fn in_order(types: &[ColumnType], server_zone: &str) -> Result<Self, PlanError> {
        let columns = || types.iter().map(|one| ColumnBuilder::new(one, server_zone)).collect::<Result<Vec<_>, _>>();
        let order = (0..NULL).take(types.len()).collect();
        Ok(Self { discriminators: Vec::new(), values: columns()?, trials: columns()?, order, dynamic: false, mark: 0 })
    }

    /// Whether the kind of a value decides, and not what takes it first.
    pub(crate) fn is_dynamic(&self) -> bool {
        self.dynamic
    }

    /// How many types there are.
    pub(crate) fn types(&self) -> usize {
        self.order.len()
    }

    /// The column for the try of this number.
    pub(crate) fn trial(&mut self, number: usize) -> &mut ColumnBuilder {
        &mut self.trials[usize::from(self.order[number])]
    }

    /// Ends a try: the row has the value, or the value did not fit.
    pub(crate) fn end_trial(&mut self, number: usize, fits: bool) {
        let discriminator = self.order[number];
        let place = usize::from(discriminator);
        if fits {
            self.values[place].append_all(&self.trials[place]);
            self.discriminators.push(discriminator);
        }
        self.trials[place].clear();
    }

    pub(crate) fn push_null(&mut self) {
        self.discriminators.push(NULL);
    }

    pub(super) fn mark(&mut self) {
        self.mark = self.discriminators.len();
        self.values.iter_mut().for_each(ColumnBuilder::mark);
    }

    pub(super) fn rollback(&mut self) {
        self.discriminators.truncate(self.mark);
        self.values.iter_mut().for_each(ColumnBuilder::rollback);
        self.trials.iter_mut().for_each(ColumnBuilder::clear);
    }

    pub(super) fn clear(&mut self) {
        self.discriminators.clear();
        self.values.iter_mut().for_each(ColumnBuilder::clear);
    }

    pub(super) fn append_all(&mut self, other: &Self) {
        self.discriminators.extend_from_slice(&other.discriminators);
        for (to, from) in self.values.iter_mut().zip(&other.values) {
            to.append_all(from);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let columns = self.values.iter().chain(&self.trials);
        self.discriminators.capacity() + columns.map(ColumnBuilder::heap_bytes).sum::<usize>()
    }

    /// The place of a row's type; `None` for NULL.
    pub(super) fn place(discriminator: u8) -> Option<usize> {
        (discriminator != NULL).then_some(usize::from(discriminator))
    }
}

/// How early a type is tried: its depth, its rank, and how often it is wrapped in `Nullable` or `LowCardinality`.
fn precedence(column_type: &ColumnType, depth: u32) -> (u32, u32, u32) {
    let parts = |types: &[&ColumnType], rank: u32| {
        types
            .iter()
            .map(|one| precedence(one, depth + 1))
            .fold((0, rank, 0), |all, part| (all.0.max(part.0), all.1 + part.1, all.2.max(part.2)))
    };
    match column_type {
        ColumnType::Nullable(inner) | ColumnType::LowCardinality(inner) => {
            let (depth, rank, wraps) = precedence(inner, depth);
            (depth, rank, wraps + 1)
        }
        ColumnType::Array(inner) => parts(&[inner], 33),
        ColumnType::Tuple(fields) => parts(&fields.iter().map(|field| &field.field_type).collect::<Vec<_>>(), 32),
        ColumnType::Map(key, value) => parts(&[key, value], 31),
        ColumnType::Variant(types) => types
            .iter()
            .map(|one| precedence(one, depth))
            .fold((0, 0, 0), |all, one| (all.0.max(one.0), all.1.max(one.1), all.2.max(one.2))),
        leaf => (depth, leaf_rank(leaf), 0),
    }
}

fn leaf_rank(leaf: &ColumnType) -> u32 {
    match leaf {
        ColumnType::Enum8(_) => 29,
        ColumnType::Enum16(_) => 28,
        ColumnType::Uuid => 27,
        ColumnType::Ipv4 => 26,
        ColumnType::Ipv6 => 25,
        ColumnType::Bool => 25,
        ColumnType::Int8 => 24,
        ColumnType::UInt8 => 23,
        ColumnType::Int16 => 22,
        ColumnType::UInt16 => 21,
        ColumnType::Int32 => 20,
        ColumnType::UInt32 => 19,
        ColumnType::Int64 => 18,
        ColumnType::UInt64 => 17,
        ColumnType::Int128 => 16,
        ColumnType::UInt128 => 15,
        ColumnType::Int256 => 14,
        ColumnType::UInt256 => 13,
        ColumnType::Decimal { precision: ..=9, .. } => 12,
        ColumnType::Decimal { precision: ..=18, .. } => 11,
        ColumnType::Decimal { precision: ..=38, .. } => 10,
        ColumnType::Decimal { .. } => 9,
        ColumnType::Float32 => 8,
        ColumnType::Float64 => 7,
        ColumnType::Date => 6,
        ColumnType::Date32 => 5,
        ColumnType::DateTime { .. } => 4,
        ColumnType::DateTime64 { .. } => 3,
        ColumnType::FixedString(_) => 2,
        ColumnType::String => 1,
        _ => 0,
    }
}
