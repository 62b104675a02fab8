//! The syntax tree of an expression in, a typed program out.
//!
//! Types are checked here, once, so that evaluating never meets a wrong one. What the program cannot do is refused
//! with its place in the text; nothing is left for the first row to find out.

use std::fmt;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, LiteralValue, SourceInfo, operators};

use super::column::{Column, ColumnKind};
use super::expression::ExpressionError;
use super::number::{Arithmetic, Comparison, Number};
use super::operators::{arithmetic, comparison, search, sign};
use super::program::{Condition, NumberExpression, Pattern, Program, Search, TextExpression};

pub(super) const SUPPORTED: &str = "use columns, numbers, texts, true, false, null, == != < <= > >=, + - * / %, && || !, ? :, \
    `in [..]`, contains, startsWith, endsWith, matches, size and string";

/// Evaluating recurses as deep as the expression nests.
const DEPTH_MAX: usize = 100;

/// Longest list of column names in an error.
const NAMES_SHOWN_MAX: usize = 12;

/// An expression and its type.
#[derive(Debug)]
pub(super) enum Typed {
    Condition(Condition),
    Integer(NumberExpression),
    Float(NumberExpression),
    SingleFloat(NumberExpression),
    Text(TextExpression),
    /// The literal `null`.
    Null,
    /// Of a type that is not known because the table's columns are not.
    Unknown,
}

impl Typed {
    pub(super) fn into_program(self) -> Program {
        match self {
            Self::Condition(condition) => Program::Condition(condition),
            Self::Integer(number) | Self::Float(number) => Program::Number(number),
            Self::SingleFloat(number) => Program::SingleFloat(number),
            Self::Text(text) => Program::Text(text),
            Self::Null | Self::Unknown => Program::Null,
        }
    }
}

impl fmt::Display for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Condition(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) | Self::SingleFloat(_) => "a number",
            Self::Text(_) => "a text",
            Self::Null => "null",
            Self::Unknown => "of unknown type",
        })
    }
}

/// Two sides brought to one type.
enum Pair {
    Conditions(Option<Condition>, Option<Condition>),
    Numbers { sides: [NumberExpression; 2], whole: bool },
    Texts([TextExpression; 2]),
    Nulls,
    Unknown,
}

/// Compiles one expression and gathers all that is wrong with it.
pub(super) struct Compiler<'a> {
    /// The table's columns; `None` while they are not known.
    columns: Option<&'a [Column]>,
    source: &'a SourceInfo,
    used: Vec<&'a Column>,
    errors: Vec<ExpressionError>,
    depth: usize,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(columns: Option<&'a [Column]>, source: &'a SourceInfo) -> Self {
        Self { columns, source, used: Vec::new(), errors: Vec::new(), depth: 0 }
    }

    /// The columns read so far, in the order of the text.
    pub(super) fn columns_used(&self) -> Vec<(String, Program)> {
        self.used.iter().map(|column| (column.name.clone(), typed_column(column).into_program())).collect()
    }

    /// What was found wrong.
    pub(super) fn into_errors(self) -> Vec<ExpressionError> {
        self.errors
    }

    pub(super) fn report(&mut self, reason: impl Into<String>, fix: impl Into<String>) {
        self.errors.push(ExpressionError::new(reason, fix));
    }

    /// The expression, or `None` where an error was reported.
    pub(super) fn compile(&mut self, node: &IdedExpr) -> Option<Typed> {
        if self.depth == DEPTH_MAX {
            let reason = format!("the expression is nested more than {DEPTH_MAX} deep{}", self.place(node));
            self.report(reason, "split it into several detectors");
            return None;
        }
        self.depth += 1;
        let typed = self.compile_node(node);
        self.depth -= 1;
        typed
    }

    fn compile_node(&mut self, node: &IdedExpr) -> Option<Typed> {
        let what = match &node.expr {
            Expr::Literal(LiteralValue::Boolean(value)) => {
                return Some(Typed::Condition(Condition::Constant(*value.inner())));
            }
            Expr::Literal(LiteralValue::Int(value)) => return Some(integer(i128::from(*value.inner()))),
            Expr::Literal(LiteralValue::UInt(value)) => return Some(integer(i128::from(*value.inner()))),
            Expr::Literal(LiteralValue::Double(value)) => {
                return Some(Typed::Float(NumberExpression::Literal(Number::Float(*value.inner()))));
            }
            Expr::Literal(LiteralValue::String(value)) => {
                return Some(Typed::Text(TextExpression::Literal(value.inner().to_owned())));
            }
            Expr::Literal(LiteralValue::Null) => return Some(Typed::Null),
            Expr::Ident(name) => return self.column(node, name),
            Expr::Call(call) => return self.call(node, call),
            Expr::Literal(LiteralValue::Bytes(_)) => "a byte string".to_owned(),
            Expr::Comprehension(_) => "a loop (`all`, `exists`, `map`, `filter`)".to_owned(),
            Expr::List(_) => "a list anywhere but right of `in`".to_owned(),
            Expr::Map(_) => "a map".to_owned(),
            Expr::Struct(literal) => format!("an object of type `{}`", literal.type_name),
            Expr::Select(select) if select.test => format!("`has(..{})`", select.field),
            Expr::Select(select) => format!("the field access `.{}`", select.field),
            Expr::Unspecified => "an empty expression".to_owned(),
        };
        self.refuse(node, &what)
    }

    /// The two sides where the whole expression is one comparison: the observed one and the threshold, which is the
    /// right one unless only the left one is constant.
    pub(super) fn comparison_sides(&mut self, tree: &IdedExpr) -> Option<(Program, Program)> {
        let Expr::Call(CallExpr { func_name, target: None, args }) = &tree.expr else { return None };
        let (Some(_), [left, right]) = (comparison(func_name), args.as_slice()) else { return None };
        if !self.errors.is_empty() {
            return None;
        }
        let used = self.used.len();
        let left = self.compile(left)?.into_program();
        let left_is_constant = self.used.len() == used && is_literal(&left);
        let right = self.compile(right)?.into_program();
        Some(if left_is_constant && !is_literal(&right) { (right, left) } else { (left, right) })
    }

    fn column(&mut self, node: &IdedExpr, name: &str) -> Option<Typed> {
        let Some(columns) = self.columns else { return Some(Typed::Unknown) };
        let Some(column) = columns.iter().find(|column| column.name == name) else {
            let reason = format!("`{name}`{} is not a column of the table that records fill", self.place(node));
            let fix = unknown_column_fix(name, columns);
            self.report(reason, fix);
            return None;
        };
        if column.kind == ColumnKind::Unusable {
            let place = self.place(node);
            let reason = format!("column `{name}`{place} is {}, which expressions cannot read", column.type_text);
            let fix = "use a column of type Bool, String, Enum, DateTime, Float, Decimal or integer, the last two of \
                at most 64 bits";
            self.report(reason, fix);
            return None;
        }
        if !self.used.iter().any(|used| used.index == column.index) {
            self.used.push(column);
        }
        Some(typed_column(column))
    }

    fn call(&mut self, node: &IdedExpr, call: &CallExpr) -> Option<Typed> {
        let name = call.func_name.as_str();
        if let (Some(search), Some(target), [part]) = (search(name), call.target.as_deref(), call.args.as_slice()) {
            return self.search(node, search, target, part);
        }
        match (name, call.target.as_deref(), call.args.as_slice()) {
            ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => {
                self.matches(node, text, pattern)
            }
            ("size", Some(text), []) | ("size", None, [text]) => self.size(node, text),
            ("string", None, [value]) => self.string(value),
            (operators::LOGICAL_NOT, None, [inner]) => {
                Some(Typed::Condition(Condition::Not(Box::new(self.condition(inner, "!")?))))
            }
            (operators::LOGICAL_AND, None, [left, right]) => {
                let sides = (self.condition(left, "&&"), self.condition(right, "&&"));
                Some(Typed::Condition(Condition::And(Box::new([sides.0?, sides.1?]))))
            }
            (operators::LOGICAL_OR, None, [left, right]) => {
                let sides = (self.condition(left, "||"), self.condition(right, "||"));
                Some(Typed::Condition(Condition::Or(Box::new([sides.0?, sides.1?]))))
            }
            (operators::CONDITIONAL, None, [condition, then, otherwise]) => {
                self.ternary(node, condition, then, otherwise)
            }
            (operators::NEGATE, None, [inner]) => self.negate(node, inner),
            (operators::IN, None, [item, list]) => self.is_in(node, item, list),
            (name, None, [left, right]) if comparison(name).is_some() => {
                self.compare(node, comparison(name)?, left, right)
            }
            (name, None, [left, right]) if arithmetic(name).is_some() => {
                self.calculate(node, arithmetic(name)?, left, right)
            }
            (operators::INDEX, ..) => self.refuse(node, "the element access `[..]`"),
            (name, ..) => self.refuse(node, &format!("the function `{name}` with such arguments")),
        }
    }

    fn compare(&mut self, node: &IdedExpr, comparison: Comparison, left: &IdedExpr, right: &IdedExpr) -> Option<Typed> {
        let sign = sign(node);
        let sides = (self.compile(left), self.compile(right));
        let (left, right) = (sides.0?, sides.1?);
        if matches!(left, Typed::Null) || matches!(right, Typed::Null) {
            let place = self.place(node);
            let reason = format!("`{sign}`{place} compares with null, which is always false");
            self.report(reason, "leave it out: a comparison with a null value is false already");
            return None;
        }
        let condition = match self.pair(node, left, right)? {
            Pair::Numbers { sides, .. } => Condition::Numbers(comparison, Box::new(sides)),
            Pair::Texts(sides) => Condition::Texts(comparison, Box::new(sides)),
            Pair::Conditions(..) if comparison.orders() => {
                let reason = format!("`{sign}`{} puts booleans in an order", self.place(node));
                self.report(reason, "compare booleans with == or !=");
                return None;
            }
            Pair::Conditions(left, right) => Condition::Booleans(comparison, Box::new([left, right])),
            Pair::Nulls | Pair::Unknown => Condition::Constant(false),
        };
        Some(Typed::Condition(condition))
    }

    fn calculate(&mut self, node: &IdedExpr, operator: Arithmetic, left: &IdedExpr, right: &IdedExpr) -> Option<Typed> {
        let sides = (self.compile(left), self.compile(right));
        match self.pair(node, sides.0?, sides.1?)? {
            Pair::Numbers { whole: false, .. } if operator == Arithmetic::Remainder => {
                let reason = format!("`%`{} takes the remainder of a number that is not an integer", self.place(node));
                self.report(reason, "use % with integer columns only");
                None
            }
            Pair::Numbers { sides, whole } => {
                let number = NumberExpression::Calculate(operator, Box::new(sides));
                Some(if whole { Typed::Integer(number) } else { Typed::Float(number) })
            }
            Pair::Texts(sides) if operator == Arithmetic::Add => {
                Some(Typed::Text(TextExpression::Concatenate(Box::new(sides))))
            }
            Pair::Unknown => Some(Typed::Unknown),
            Pair::Texts(_) => self.refuse_operand(node, "texts", "join texts with +"),
            Pair::Conditions(..) => self.refuse_operand(node, "booleans", "combine booleans with && and ||"),
            Pair::Nulls => self.refuse_operand(node, "null", "leave it out: the result would be null"),
        }
    }

    fn negate(&mut self, node: &IdedExpr, inner: &IdedExpr) -> Option<Typed> {
        let negated = |number| match number {
            NumberExpression::Literal(value) => {
                value.negate().map_or(NumberExpression::Null, NumberExpression::Literal)
            }
            other => NumberExpression::Negate(Box::new(other)),
        };
        match self.compile(inner)? {
            Typed::Integer(number) => Some(Typed::Integer(negated(number))),
            Typed::Float(number) | Typed::SingleFloat(number) => Some(Typed::Float(negated(number))),
            Typed::Unknown => Some(Typed::Unknown),
            other => self.refuse_operand(node, &other.to_string(), "use - with numbers, ! with booleans"),
        }
    }

    fn ternary(
        &mut self,
        node: &IdedExpr,
        condition: &IdedExpr,
        then: &IdedExpr,
        otherwise: &IdedExpr,
    ) -> Option<Typed> {
        let condition = self.condition(condition, "? :");
        let sides = (self.compile(then), self.compile(otherwise));
        let (condition, then, otherwise) = (condition?, sides.0?, sides.1?);
        Some(match self.pair(node, then, otherwise)? {
            Pair::Numbers { sides, whole: true } => {
                Typed::Integer(NumberExpression::If(Box::new(condition), Box::new(sides)))
            }
            Pair::Numbers { sides, whole: false } => {
                Typed::Float(NumberExpression::If(Box::new(condition), Box::new(sides)))
            }
            Pair::Texts(sides) => Typed::Text(TextExpression::If(Box::new(condition), Box::new(sides))),
            Pair::Conditions(then, otherwise) => {
                let truth = |side: Option<Condition>| side.unwrap_or(Condition::Constant(false));
                Typed::Condition(Condition::If(Box::new([condition, truth(then), truth(otherwise)])))
            }
            Pair::Nulls => Typed::Null,
            Pair::Unknown => Typed::Unknown,
        })
    }

    fn is_in(&mut self, node: &IdedExpr, item: &IdedExpr, list: &IdedExpr) -> Option<Typed> {
        let Expr::List(list) = &list.expr else {
            return self.refuse(node, "anything but a list right of `in`");
        };
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        for element in &list.elements {
            match self.compile(element)?.into_program() {
                Program::Number(NumberExpression::Literal(number)) => numbers.push(number),
                Program::Text(TextExpression::Literal(text)) => texts.push(text),
                _ => return self.refuse(element, "anything but a number or a text in the list of `in`"),
            }
        }
        let list_is = match (numbers.is_empty(), texts.is_empty()) {
            (true, true) => return self.refuse(node, "an empty list right of `in`"),
            (false, false) => return self.refuse(node, "a list of both numbers and texts"),
            (false, true) => "numbers",
            (true, false) => "texts",
        };
        let condition = match (self.compile(item)?, texts.is_empty()) {
            (Typed::Integer(item) | Typed::Float(item) | Typed::SingleFloat(item), true) => {
                Condition::NumberIn(Box::new(item), numbers)
            }
            (Typed::Text(item), false) => Condition::TextIn(Box::new(item), texts),
            (Typed::Unknown, _) => Condition::Constant(false),
            (other, _) => {
                let reason = format!("`in`{} looks for {other} in a list of {list_is}", self.place(node));
                self.report(reason, "list values of the same type");
                return None;
            }
        };
        Some(Typed::Condition(condition))
    }

    fn search(&mut self, node: &IdedExpr, search: Search, text: &IdedExpr, part: &IdedExpr) -> Option<Typed> {
        let sides = (self.text(node, text), self.text(node, part));
        Some(Typed::Condition(Condition::Search(search, Box::new([sides.0?, sides.1?]))))
    }

    fn matches(&mut self, node: &IdedExpr, text: &IdedExpr, pattern: &IdedExpr) -> Option<Typed> {
        let text = self.text(node, text);
        let fix = "write a regular expression in quotes, such as `name.matches(\"^pay\")`";
        let Expr::Literal(LiteralValue::String(pattern)) = &pattern.expr else {
            self.report(
                format!("`matches` takes a literal text, but{} stands something else", self.place(pattern)),
                fix,
            );
            return None;
        };
        match Pattern::new(pattern.inner()) {
            Ok(pattern) => Some(Typed::Condition(Condition::Matches(Box::new(text?), pattern))),
            Err(error) => {
                self.report(format!("`matches`: {:?} is no regular expression: {error}", pattern.inner()), fix);
                None
            }
        }
    }

    fn size(&mut self, node: &IdedExpr, text: &IdedExpr) -> Option<Typed> {
        Some(Typed::Integer(NumberExpression::Size(Box::new(self.text(node, text)?))))
    }

    fn string(&mut self, value: &IdedExpr) -> Option<Typed> {
        Some(Typed::Text(match self.compile(value)? {
            Typed::Condition(condition) => TextExpression::OfCondition(Box::new(condition)),
            Typed::Integer(number) | Typed::Float(number) => TextExpression::OfNumber(Box::new(number)),
            Typed::SingleFloat(number) => TextExpression::OfSingleFloat(Box::new(number)),
            Typed::Text(text) => text,
            Typed::Null | Typed::Unknown => TextExpression::Null,
        }))
    }

    fn condition(&mut self, node: &IdedExpr, operator: &str) -> Option<Condition> {
        match self.compile(node)? {
            Typed::Condition(condition) => Some(condition),
            Typed::Unknown => Some(Condition::Constant(false)),
            other => {
                let reason = format!("`{operator}` takes a condition, but{} stands {other}", self.place(node));
                self.report(reason, "compare it with something, such as `temp > 90`");
                None
            }
        }
    }

    fn text(&mut self, call: &IdedExpr, node: &IdedExpr) -> Option<TextExpression> {
        match self.compile(node)? {
            Typed::Text(text) => Some(text),
            Typed::Unknown => Some(TextExpression::Null),
            other => {
                let reason = format!("`{}` takes texts, but{} stands {other}", sign(call), self.place(node));
                self.report(reason, "turn the value into a text with `string(..)`");
                None
            }
        }
    }

    fn pair(&mut self, node: &IdedExpr, left: Typed, right: Typed) -> Option<Pair> {
        use Typed::{Condition, Float, Integer, Null, SingleFloat, Text, Unknown};
        Some(match (left, right) {
            (Unknown, _) | (_, Unknown) => Pair::Unknown,
            (Null, Null) => Pair::Nulls,
            (Integer(left), Integer(right)) => Pair::Numbers { sides: [left, right], whole: true },
            (Integer(left) | Float(left) | SingleFloat(left), Integer(right) | Float(right) | SingleFloat(right)) => {
                Pair::Numbers { sides: [left, right], whole: false }
            }
            (Integer(left), Null) => Pair::Numbers { sides: [left, NumberExpression::Null], whole: true },
            (Null, Integer(right)) => Pair::Numbers { sides: [NumberExpression::Null, right], whole: true },
            (Float(left) | SingleFloat(left), Null) => {
                Pair::Numbers { sides: [left, NumberExpression::Null], whole: false }
            }
            (Null, Float(right) | SingleFloat(right)) => {
                Pair::Numbers { sides: [NumberExpression::Null, right], whole: false }
            }
            (Text(left), Text(right)) => Pair::Texts([left, right]),
            (Text(left), Null) => Pair::Texts([left, TextExpression::Null]),
            (Null, Text(right)) => Pair::Texts([TextExpression::Null, right]),
            (Condition(left), Condition(right)) => Pair::Conditions(Some(left), Some(right)),
            (Condition(left), Null) => Pair::Conditions(Some(left), None),
            (Null, Condition(right)) => Pair::Conditions(None, Some(right)),
            (left, right) => {
                let (sign, place) = (sign(node), self.place(node));
                let reason = format!("`{sign}`{place} has {left} on one side and {right} on the other");
                self.report(reason, "give both sides the same type; texts are quoted, numbers are not");
                return None;
            }
        })
    }

    fn refuse_operand(&mut self, node: &IdedExpr, operand: &str, fix: &str) -> Option<Typed> {
        let reason = format!("`{}`{} cannot be used with {operand}", sign(node), self.place(node));
        self.report(reason, fix);
        None
    }

    fn refuse(&mut self, node: &IdedExpr, what: &str) -> Option<Typed> {
        let reason = format!("{what} is not supported{}", self.place(node));
        self.report(reason, SUPPORTED);
        None
    }

    /// Where the node stands, for a sentence; the place of an operator is that of its sign, of a call its bracket.
    fn place(&self, node: &IdedExpr) -> String {
        let offset = self.source.offset_for(node.id).and_then(|(start, _)| usize::try_from(start).ok());
        let before = offset.and_then(|offset| self.source.source.get(..offset));
        before.map_or_else(String::new, |before| format!(" at character {}", before.chars().count() + 1))
    }
}

fn integer(value: i128) -> Typed {
    Typed::Integer(NumberExpression::Literal(Number::Integer(value)))
}

fn typed_column(column: &Column) -> Typed {
    match column.kind {
        ColumnKind::Boolean => Typed::Condition(Condition::Column(column.index)),
        ColumnKind::Integer => Typed::Integer(NumberExpression::Column(column.index)),
        ColumnKind::Float => Typed::Float(NumberExpression::Column(column.index)),
        ColumnKind::SingleFloat => Typed::SingleFloat(NumberExpression::Column(column.index)),
        ColumnKind::Text => Typed::Text(TextExpression::Column(column.index)),
        ColumnKind::PaddedText => Typed::Text(TextExpression::PaddedColumn(column.index)),
        ColumnKind::Unusable => Typed::Null,
    }
}

fn is_literal(program: &Program) -> bool {
    matches!(
        program,
        Program::Number(NumberExpression::Literal(_))
            | Program::Text(TextExpression::Literal(_))
            | Program::Condition(Condition::Constant(_))
    )
}

fn unknown_column_fix(name: &str, columns: &[Column]) -> String {
    let nearest = columns
        .iter()
        .map(|column| (strsim::damerau_levenshtein(&column.name.to_lowercase(), &name.to_lowercase()), column))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 1.max(name.chars().count() / 3));
    if let Some((_, column)) = nearest {
        return format!("did you mean `{}`? texts are written in quotes", column.name);
    }
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).take(NAMES_SHOWN_MAX).collect();
    let more = if columns.len() > names.len() { ", .." } else { "" };
    format!("use one of {}{more}; texts are written in quotes", names.join(", "))
}
