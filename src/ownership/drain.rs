//! Waits until the inserts that were running at one moment have ended.

use std::collections::BTreeSet;
use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use crate::clickhouse::{ControlError, QueryPrefix, Session, sql};

/// A busy lane's insert takes some 50 ms; a question to the list of processes about 1 ms.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Row, Deserialize)]
struct Running {
    query_id: String,
    log_comment: String,
}

/// The inserts of this connector that were running when it was begun.
///
/// Only those: waiting for an empty list would let a busy neighbour starve us (H10), and inserts that start later
/// meet the fence. Of all versions, owners and tables, whoever the user is and whether or not a query was cancelled: a
/// cancelled one still writes until it is gone. Identity is looked for in `query_id` and `log_comment`, because what
/// stands between us and the server may give out query ids of its own.
#[derive(Debug)]
pub struct Drain<'a> {
    session: &'a Session,
    prefix: &'a QueryPrefix,
    left: BTreeSet<Running>,
}

impl<'a> Drain<'a> {
    /// Lists what is running now. Belongs behind the claim: before it, an older insert could still start.
    pub async fn begin(session: &'a Session, prefix: &'a QueryPrefix) -> Result<Self, ControlError> {
        let left = running(session, prefix).await?;
        Ok(Self { session, prefix, left })
    }

    /// Waits until all of them have ended, and says how many there were.
    pub async fn wait(mut self, deadline: Duration) -> Result<usize, ControlError> {
        let waited_for = self.left.len();
        let wait = async {
            while !self.left.is_empty() {
                tokio::time::sleep(POLL_INTERVAL).await;
                let now = running(self.session, self.prefix).await?;
                self.left.retain(|query| now.contains(query));
            }
            Ok(waited_for)
        };
        match tokio::time::timeout(deadline, wait).await {
            Ok(result) => result,
            Err(_) => Err(ControlError::Deadline {
                doing: "waiting for older inserts to end".to_owned(),
                waited: deadline,
                why: still_running(&self.left),
            }),
        }
    }
}

/// Waits until every insert of this connector that is running now has ended, and says how many there were.
pub async fn drain(session: &Session, prefix: &QueryPrefix, deadline: Duration) -> Result<usize, ControlError> {
    Drain::begin(session, prefix).await?.wait(deadline).await
}

/// Plainly `SELECT .. FROM system.processes`: in this form the server does not count it against the limit of
/// concurrent queries, which may be exactly what the older inserts have used up.
async fn running(session: &Session, prefix: &QueryPrefix) -> Result<BTreeSet<Running>, ControlError> {
    let prefix = sql::string(prefix.as_str());
    let rows: Vec<Running> = session
        .fetch(
            "listing running inserts",
            &format!(
                "SELECT query_id, Settings['log_comment'] AS log_comment FROM system.processes \
                 WHERE startsWith(query_id, {prefix}) OR startsWith(Settings['log_comment'], {prefix})"
            ),
        )
        .await?;
    Ok(rows.into_iter().collect())
}

fn still_running(left: &BTreeSet<Running>) -> String {
    const NAMED_MAX: usize = 5;
    let named = left.iter().take(NAMED_MAX).map(|query| {
        if query.log_comment.is_empty() || query.log_comment == query.query_id {
            query.query_id.clone()
        } else {
            format!("{} ({})", query.query_id, query.log_comment)
        }
    });
    let mut text = format!("{} still running: {}", left.len(), sql::joined(named, ", "));
    if left.len() > NAMED_MAX {
        text.push_str(", ..");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_still_runs_is_named() {
        let check = |queries: &[(&str, &str)], expected: &str| {
            let left = queries
                .iter()
                .map(|(query_id, log_comment)| Running {
                    query_id: (*query_id).to_owned(),
                    log_comment: (*log_comment).to_owned(),
                })
                .collect();
            assert_eq!(still_running(&left), expected);
        };
        check(&[("a", "")], "1 still running: a");
        check(&[("a", "a")], "1 still running: a");
        check(&[("x", "a"), ("y", "b")], "2 still running: x (a), y (b)");
        check(
            &[("1", ""), ("2", ""), ("3", ""), ("4", ""), ("5", ""), ("6", "")],
            "6 still running: 1, 2, 3, 4, 5, ..",
        );
    }
}
