//! Where the values of a record go: a tree of field names over the columns of the table.
//!
//! Takes the sources of a plan's columns, gives what decoders walk beside the record. Knows nothing of formats.

use crate::columns::{Carried, Path, RowPlan, Source, Step};

/// What becomes of the value at one place of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// The columns that take the value as a whole.
    pub(crate) columns: Vec<usize>,
    /// What becomes of its fields.
    pub(crate) fields: Vec<(String, Target)>,
    /// What becomes of its elements.
    pub(crate) elements: Vec<(usize, Target)>,
    /// Which column of a flattened Nested takes a field of all its elements, where the value is a list of objects.
    pub(crate) nested: Vec<(String, usize)>,
    /// It is the row in a change event.
    pub(crate) is_image: bool,
    /// It may be a text that holds the object, as MongoDB's are: the row in a change event, or the one before.
    pub(crate) is_document: bool,
}

impl Target {
    /// The tree of the columns that are filled from the record's value.
    pub(crate) fn of_values(plan: &RowPlan) -> Self {
        let mut root = Self::of(plan, |source| match source {
            Source::Value(path) => Some(path),
            _ => None,
        });
        // Routes look into changes as well, though they do not ask for rows.
        if plan.changes().envelope || plan.changes().carried == Carried::Maybe {
            root.mark_images();
            root.fields.iter_mut().filter(|(name, _)| name == "payload").for_each(|(_, payload)| payload.mark_images());
        }
        root
    }

    /// The row is below `after`. Who takes that only as a whole takes it as it is.
    fn mark_images(&mut self) {
        for (name, image) in self.fields.iter_mut().filter(|(name, _)| name == "after" || name == "before") {
            image.is_document = image.has_children();
            image.is_image = image.is_document && name == "after";
        }
    }

    /// Whether columns are filled from the row in a change event.
    pub(crate) fn has_image(&self) -> bool {
        self.is_image || self.fields.iter().any(|(_, child)| child.has_image())
    }

    /// The tree of the columns that are filled from around the rows.
    pub(crate) fn of_surroundings(plan: &RowPlan) -> Self {
        Self::of(plan, |source| match source {
            Source::Record(path) => Some(path),
            _ => None,
        })
    }

    /// The tree of the columns that are filled from a place inside the record's key.
    pub(crate) fn of_keys(plan: &RowPlan) -> Self {
        Self::of(plan, |source| match source {
            Source::Key(path) => Some(path),
            _ => None,
        })
    }

    fn of(plan: &RowPlan, path: impl Fn(&Source) -> Option<&Path>) -> Self {
        let mut root = Self::default();
        for (column, spec) in plan.columns().iter().enumerate() {
            for path in std::iter::once(&spec.source).chain(&spec.aliases).filter_map(&path) {
                root.place(path).columns.push(column);
                if let Some((outer, field)) = spec.nested_field(path) {
                    root.place(&outer).nested.push((field.to_owned(), column));
                }
            }
        }
        root
    }

    /// The place that a path leads to, which is there from now on.
    pub(crate) fn place(&mut self, path: &Path) -> &mut Self {
        path.0.iter().fold(self, |target, step| match step {
            Step::Field(name) => child(&mut target.fields, name),
            Step::Element(number) => child(&mut target.elements, number),
        })
    }

    /// Gives a field another name; what that name has already stays.
    pub(crate) fn rename_field(&mut self, from: &str, to: &str) {
        if let Some(at) = self.fields.iter().position(|(name, _)| name == from) {
            let (_, moved) = self.fields.remove(at);
            child(&mut self.fields, &to.to_owned()).absorb(moved);
        }
    }

    fn absorb(&mut self, other: Self) {
        self.columns.extend(other.columns);
        self.nested.extend(other.nested);
        self.is_image |= other.is_image;
        self.is_document |= other.is_document;
        for (name, target) in other.fields {
            child(&mut self.fields, &name).absorb(target);
        }
        for (number, target) in other.elements {
            child(&mut self.elements, &number).absorb(target);
        }
    }

    /// Whether no column takes anything of the value.
    pub(crate) fn is_empty(&self) -> bool {
        self.columns.is_empty() && !self.has_children()
    }

    /// Whether columns take parts of the value.
    pub(crate) fn has_children(&self) -> bool {
        !self.fields.is_empty() || !self.elements.is_empty()
    }

    /// The columns that take the value, and behind them those that take parts of it.
    pub(crate) fn all_columns(&self) -> Vec<usize> {
        let fields = self.fields.iter().map(|(_, child)| child);
        let children = fields.chain(self.elements.iter().map(|(_, child)| child));
        self.columns.iter().copied().chain(children.flat_map(Self::all_columns)).collect()
    }

    /// The columns that take parts of the value; of a list without those that take a field of each element.
    pub(crate) fn part_columns(&self, is_list: bool) -> Vec<usize> {
        let is_of_each = |column: &usize| is_list && self.nested.iter().any(|(_, nested)| nested == column);
        let below = self.all_columns().into_iter().skip(self.columns.len());
        below.filter(|column| !self.columns.contains(column) && !is_of_each(column)).collect()
    }

    /// What becomes of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, target)| target)
    }

    /// What becomes of an element.
    pub(crate) fn element(&self, number: usize) -> Option<&Self> {
        self.elements.iter().find(|(known, _)| *known == number).map(|(_, target)| target)
    }
}

fn child<'a, K: Clone + PartialEq>(children: &'a mut Vec<(K, Target)>, key: &K) -> &'a mut Target {
    let at = children.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
        children.push((key.clone(), Target::default()));
        children.len() - 1
    });
    &mut children[at].1
}
