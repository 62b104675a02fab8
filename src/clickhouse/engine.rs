//! What can be promised for a target, by its engine.

/// Whether a table can be a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Exactly once, without more to say.
    Supported,
    /// Exactly once under a condition that the user has to know.
    Conditional {
        /// The condition.
        note: String,
    },
    /// Not promised, so refused.
    Refused {
        /// Why.
        why: String,
        /// What to do instead.
        fix: String,
    },
}

const IN_FRONT: &str = "write into a MergeTree table and feed this one from it with a materialized view";

/// The verdict on an engine; `parameters` are what stands in its parentheses, `offset` is the offset's column.
pub(super) fn verdict(engine: &str, parameters: &[String], offset: &str) -> Verdict {
    let refused = |why: &str, fix: &str| Verdict::Refused { why: why.to_owned(), fix: fix.to_owned() };
    if let Some(family) = engine.strip_prefix("Shared") {
        return if family.ends_with("MergeTree") {
            refused(
                "SharedMergeTree (ClickHouse Cloud) has not been tested: its process list is that of one node",
                "use a MergeTree on a server of your own",
            )
        } else {
            unknown(engine)
        };
    }
    let replicated = engine.strip_prefix("Replicated");
    let own_parameters = own_parameters(engine, parameters);
    match replicated.unwrap_or(engine) {
        "MergeTree" if replicated.is_some() => Verdict::Conditional {
            note: "all inserts and looks go to one replica; a takeover waits until its parts are certain, up to 6 minutes after a lost answer of keeper".to_owned(),
        },
        "MergeTree" => Verdict::Supported,
        "ReplacingMergeTree" => match own_parameters.first() {
            Some(version) if version == offset => Verdict::Conditional {
                note: "exactly once after FINAL: before a merge, older versions of a row are visible".to_owned(),
            },
            Some(version) => Verdict::Conditional {
                note: format!("exactly once after FINAL, if {version} grows with every change of a row"),
            },
            None => refused(
                "ReplacingMergeTree without a version keeps whichever row comes last, and a repair may bring an older one last",
                &format!(
                    "give it a version that grows with every change of a row: of the source, or ReplacingMergeTree({offset}) where \
                     all changes of a key come through one partition"
                ),
            ),
        },
        family @ ("SummingMergeTree" | "AggregatingMergeTree" | "CollapsingMergeTree"
        | "VersionedCollapsingMergeTree" | "GraphiteMergeTree" | "CoalescingMergeTree") => refused(
            &format!("{family} merges rows into others, so that nobody can tell which were written"),
            IN_FRONT,
        ),
        "Distributed" => refused(
            "an insert into Distributed is not atomic over its shards",
            "name the table of one shard",
        ),
        other @ ("Buffer" | "Null" | "Memory" | "Kafka" | "View" | "MaterializedView" | "Set" | "Join" | "Log"
        | "TinyLog" | "StripeLog" | "File" | "URL" | "Dictionary" | "Merge") => refused(
            &format!("{other} does not keep rows so that they can be looked up"),
            "use a MergeTree table",
        ),
        _ => unknown(engine),
    }
}

/// The parameters of an engine's own. Of a replicated one the first two are the path in Keeper and the replica, where they
/// are given at all.
fn own_parameters<'p>(engine: &str, parameters: &'p [String]) -> &'p [String] {
    if engine.starts_with("Replicated") { parameters.get(2..).unwrap_or_default() } else { parameters }
}

/// The column that says which of two rows with one key is newer; `None` where there is none.
pub(super) fn version_column(engine: &str, parameters: &[String]) -> Option<String> {
    let replaces = engine.trim_start_matches("Replicated") == "ReplacingMergeTree";
    let column = own_parameters(engine, parameters).first().filter(|_| replaces)?;
    Some(column.trim_matches('`').to_owned())
}

fn unknown(engine: &str) -> Verdict {
    Verdict::Refused {
        why: format!("engine {engine} is not known to this version"),
        fix: "use a MergeTree table".to_owned(),
    }
}

/// What stands in the parentheses behind the engine's name in `engine_full`.
pub(super) fn parameters(engine_full: &str) -> Vec<String> {
    let Some((name, rest)) = engine_full.split_once('(') else {
        return Vec::new();
    };
    // `MergeTree ORDER BY (a, b)` has no parameters, but parentheses.
    if name.contains(' ') {
        return Vec::new();
    }
    split_list(rest)
}

/// Splits a list up to its closing parenthesis at the commas that stand in no quotes or inner parentheses.
fn split_list(text: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut depth = 0_u32;
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for character in text.chars() {
        if let Some(open) = quote {
            if escaped {
                escaped = false;
            } else if character == '\\' {
                escaped = true;
            } else if character == open {
                quote = None;
            }
            item.push(character);
            continue;
        }
        match character {
            '\'' | '`' | '"' => quote = Some(character),
            '(' | '[' => depth += 1,
            ')' | ']' if depth == 0 => break,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                items.push(std::mem::take(&mut item).trim().to_owned());
                continue;
            }
            _ => {}
        }
        item.push(character);
    }
    if !item.trim().is_empty() || !items.is_empty() {
        items.push(item.trim().to_owned());
    }
    items
}

/// Whether rows leave the table by themselves. A TTL that only moves or recompresses them does not count.
pub(super) fn has_row_ttl(engine_full: &str) -> bool {
    let Some((_, rest)) = engine_full.split_once(" TTL ") else {
        return false;
    };
    let ttl = rest.split_once(" SETTINGS ").map_or(rest, |(ttl, _)| ttl);
    split_list(ttl)
        .iter()
        .any(|element| ![" TO DISK ", " TO VOLUME ", " RECOMPRESS "].iter().any(|action| element.contains(action)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_judged() {
        let check = |engine_full: &str, expected: &str| {
            let engine = engine_full.split([' ', '(']).next().unwrap();
            let verdict = verdict(engine, &parameters(engine_full), "_offset");
            let text = match verdict {
                Verdict::Supported => "supported".to_owned(),
                Verdict::Conditional { note } => format!("if {note}"),
                Verdict::Refused { why, fix } => format!("refused {why} {fix}"),
            };
            assert!(text.starts_with(expected), "{engine_full}: {text}");
        };
        check("MergeTree ORDER BY (a, b) SETTINGS index_granularity = 8192", "supported");
        check("ReplicatedMergeTree('/t/{shard}', '{replica}') ORDER BY a", "if all inserts");
        check("ReplacingMergeTree ORDER BY a", "refused ReplacingMergeTree without");
        check("ReplacingMergeTree(_offset) ORDER BY a", "if exactly once after FINAL: before");
        check("ReplacingMergeTree(ver, is_deleted) ORDER BY a", "if exactly once after FINAL, if ver");
        check(
            "ReplicatedReplacingMergeTree('/t', '{replica}', _offset) ORDER BY a",
            "if exactly once after FINAL: before",
        );
        check("ReplicatedReplacingMergeTree('/t', '{replica}') ORDER BY a", "refused ReplacingMergeTree without");
        check("SummingMergeTree ORDER BY a", "refused SummingMergeTree merges");
        check("AggregatingMergeTree ORDER BY a", "refused AggregatingMergeTree merges");
        check("CollapsingMergeTree(sign) ORDER BY a", "refused CollapsingMergeTree merges");
        check("ReplicatedSummingMergeTree('/t', 'r') ORDER BY a", "refused SummingMergeTree merges");
        check("SharedMergeTree('/t', 'r') ORDER BY a", "refused SharedMergeTree");
        check("SharedReplacingMergeTree('/t', 'r', v) ORDER BY a", "refused SharedMergeTree");
        check("Distributed('c', 'd', 't')", "refused an insert into Distributed");
        check("Buffer('d', 't', 1, 1, 1, 1, 1, 1, 1)", "refused Buffer");
        check("Null", "refused Null");
        check("Memory", "refused Memory");
        check("Kafka", "refused Kafka");
        check("View", "refused View");
        check("Whatever(1)", "refused engine Whatever");
    }

    #[test]
    fn only_a_ttl_that_removes_rows_counts() {
        let check = |engine_full: &str, expected| assert_eq!(has_row_ttl(engine_full), expected, "{engine_full}");
        check("MergeTree ORDER BY a SETTINGS index_granularity = 8192", false);
        check("MergeTree ORDER BY a TTL at + toIntervalDay(1) SETTINGS x = 1", true);
        check("MergeTree ORDER BY a TTL at + toIntervalDay(1) TO DISK 'cold' SETTINGS x = 1", false);
        check(
            "MergeTree ORDER BY a TTL at + toIntervalDay(1) TO VOLUME 'v', at + toIntervalYear(1) SETTINGS x = 1",
            true,
        );
        check("MergeTree ORDER BY a TTL at + toIntervalDay(1) RECOMPRESS CODEC(ZSTD(17))", false);
    }
}
