//! `${VAR}` in the values of a parsed file.
//!
//! Takes the tree and the environment, changes the text of scalars in place. It works after parsing, so that a
//! variable can never add keys or comments, and on values only, so that a key is always what the file says. Gives
//! each unset variable or bad reference as an error. Never shows what a variable holds.

use super::error::{ConfigError, Problem};
use super::tree::{Node, NodeKind, Scalar};

/// The environment that `${..}` is answered from.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

const FORMS: &str = "use `${VAR}`, `${VAR:-default}` or `${VAR:?message}`, and `$$` for a dollar";

/// Resolves every reference under `node`; a value that cannot be resolved is reported once and marked as broken.
pub(super) fn interpolate(node: &mut Node, env: Environment<'_>, errors: &mut Vec<ConfigError>) {
    match &mut node.kind {
        NodeKind::Broken => {}
        NodeKind::Sequence(items) => {
            for item in items {
                interpolate(item, env, errors);
            }
        }
        NodeKind::Mapping(entries) => {
            for entry in entries {
                interpolate(&mut entry.value, env, errors);
            }
        }
        NodeKind::Scalar(scalar) => match resolve(&scalar.text, env) {
            Ok(None) => {}
            Ok(Some(text)) => {
                let template = std::mem::replace(&mut scalar.text, text);
                *scalar = Scalar { text: std::mem::take(&mut scalar.text), template: Some(template), plain: true };
            }
            Err(problem) => {
                errors.push(ConfigError::at(node.location.clone(), problem.reason, problem.fix));
                node.kind = NodeKind::Broken;
            }
        },
    }
}

/// The text with its references resolved, `None` where it holds none. A dollar before anything but `{` or `$` is a dollar.
fn resolve(text: &str, env: Environment<'_>) -> Result<Option<String>, Problem> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    let mut changed = false;
    while let Some((before, after)) = rest.split_once('$') {
        resolved.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            resolved.push('$');
            changed = true;
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let Some((reference, after)) = after.split_once('}') else {
                return Err(Problem::new("`${` is not closed by `}`", FORMS));
            };
            resolved.push_str(&look_up(reference, env)?);
            changed = true;
            rest = after;
        } else {
            resolved.push('$');
            rest = after;
        }
    }
    resolved.push_str(rest);
    Ok(changed.then_some(resolved))
}

/// What stands for `${reference}`.
fn look_up(reference: &str, env: Environment<'_>) -> Result<String, Problem> {
    if reference.contains("${") {
        return Err(Problem::new("a `${..}` inside another is not supported", "give the default as plain text"));
    }
    let name_end = reference.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(reference.len());
    let (name, form) = reference.split_at(name_end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Problem::new(format!("`${{{reference}}}` names no environment variable"), FORMS));
    }
    let value = env(name);
    if value.as_ref().is_some_and(|value| value.contains(char::is_control)) {
        return Err(Problem::new(
            format!("environment variable `{name}` holds a line break or another control character"),
            "give it without; a secret of several lines belongs in a file, named by the `_file` key",
        ));
    }
    let set = value.clone().filter(|value| !value.is_empty());
    if form.is_empty() {
        value.ok_or_else(|| {
            Problem::new(
                format!("environment variable `{name}` is not set"),
                format!("set it, or give a default: `${{{name}:-default}}`"),
            )
        })
    } else if let Some(default) = form.strip_prefix(":-") {
        Ok(set.unwrap_or_else(|| default.to_owned()))
    } else if let Some(message) = form.strip_prefix(":?") {
        set.ok_or_else(|| {
            Problem::new(
                format!("environment variable `{name}` is not set or empty: {message}"),
                format!("set `{name}`"),
            )
        })
    } else {
        Err(Problem::new(format!("`${{{reference}}}` is not a form that is supported"), FORMS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("kafka".to_owned()),
            "EMPTY" => Some(String::new()),
            "LINES" => Some("a\nb".to_owned()),
            "TRICK" => Some("${HOST}".to_owned()),
            _ => None,
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = match resolve(text, &env) {
            Ok(Some(resolved)) => resolved,
            Ok(None) => "unchanged".to_owned(),
            Err(problem) => format!("error: {}", problem.reason),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn references_resolve() {
        check("plain", "unchanged");
        check("a $ b $x", "unchanged");
        check("", "unchanged");
        check("${HOST}", "kafka");
        check("${HOST}:9092,${HOST}:9093", "kafka:9092,kafka:9093");
        check("${NONE:-127.0.0.1:9092}", "127.0.0.1:9092");
        check("${EMPTY:-default}", "default");
        check("${EMPTY:-}", "");
        check("${EMPTY}", "");
        check("${HOST:?needed}", "kafka");
        check("$${HOST}", "${HOST}");
        check("a$$b", "a$b");
        check("$$$$", "$$");
        check("$$$x", "$$x");
    }

    #[test]
    fn what_a_variable_holds_is_not_resolved_again() {
        check("${TRICK}", "${HOST}");
    }

    #[test]
    fn bad_references_are_refused() {
        check("${NONE}", "error: environment variable `NONE` is not set");
        check(
            "${NONE:?say where the brokers are}",
            "error: environment variable `NONE` is not set or empty: say where the brokers are",
        );
        check("${EMPTY:?needed}", "error: environment variable `EMPTY` is not set or empty: needed");
        check("${HOST", "error: `${` is not closed by `}`");
        check("${}", "error: `${}` names no environment variable");
        check("${1X}", "error: `${1X}` names no environment variable");
        check("${HOST-x}", "error: `${HOST-x}` is not a form that is supported");
        check("${HOST:+x}", "error: `${HOST:+x}` is not a form that is supported");
        check("${NONE:-${HOST}}", "error: a `${..}` inside another is not supported");
        check("${LINES}", "error: environment variable `LINES` holds a line break or another control character");
    }
}
