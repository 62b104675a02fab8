//! Operators and functions of expressions, by the names that the parser gives them.

use cel::IdedExpr;
use cel::common::ast::{Expr, operators};

use super::number::{Arithmetic, Comparison};
use super::program::Search;

pub(super) fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

pub(super) fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Subtract,
        operators::MULTIPLY => Arithmetic::Multiply,
        operators::DIVIDE => Arithmetic::Divide,
        operators::MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}

pub(super) fn search(name: &str) -> Option<Search> {
    Some(match name {
        "contains" => Search::Contains,
        "startsWith" => Search::StartsWith,
        "endsWith" => Search::EndsWith,
        _ => return None,
    })
}

/// How the operator or function is written: the parser names `_>_` what the user wrote as `>`.
pub(super) fn sign(node: &IdedExpr) -> String {
    match &node.expr {
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => "? :".to_owned(),
        Expr::Call(call) => call.func_name.trim_matches(|c| c == '_' || c == '@').to_owned(),
        _ => String::new(),
    }
}
