//! One log line for each cause and interval: an outage must not flood the log.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two lines about the same cause.
pub const INTERVAL: Duration = Duration::from_secs(60);

/// So many causes are told apart; the rest share one.
const CAUSES_MAX: usize = 256;

/// Says which lines are to be written. Shared by all that log about the same things.
#[derive(Debug, Default)]
pub struct Throttled {
    causes: Mutex<HashMap<String, Cause>>,
}

#[derive(Debug)]
struct Cause {
    written: Instant,
    held_back: u64,
}

impl Throttled {
    /// Nothing was written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a line about `cause` is to be written now: if so, how many were held back since the last one.
    pub fn permit(&self, cause: &str, now: Instant) -> Option<u64> {
        let mut causes = self.causes.lock().expect("nothing panics while it holds this lock");
        let cause = if causes.contains_key(cause) || Self::make_room(&mut causes, now) { cause } else { "" };
        match causes.get_mut(cause) {
            None => {
                causes.insert(cause.to_owned(), Cause { written: now, held_back: 0 });
                Some(0)
            }
            Some(known) if now.saturating_duration_since(known.written) >= INTERVAL => {
                known.written = now;
                Some(std::mem::take(&mut known.held_back))
            }
            Some(known) => {
                known.held_back += 1;
                None
            }
        }
    }

    /// Forgets causes whose interval is over when the map is full. False if it is full all the same.
    fn make_room(causes: &mut HashMap<String, Cause>, now: Instant) -> bool {
        if causes.len() >= CAUSES_MAX {
            causes.retain(|_, cause| now.saturating_duration_since(cause.written) < INTERVAL);
        }
        causes.len() < CAUSES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_for_each_cause_and_interval() {
        let throttled = Throttled::new();
        let start = crate::clock::now();
        let check = |cause: &str, seconds: u64, expected: Option<u64>| {
            let permitted = throttled.permit(cause, start + Duration::from_secs(seconds));
            assert_eq!(permitted, expected, "{cause} at {seconds} s");
        };
        check("a", 0, Some(0));
        check("a", 1, None);
        check("b", 1, Some(0));
        check("a", 59, None);
        check("a", 60, Some(2));
        check("a", 61, None);
        check("b", 300, Some(0));
    }

    #[test]
    fn the_number_of_causes_is_bounded() {
        let throttled = Throttled::new();
        let start = crate::clock::now();
        for cause in 0..CAUSES_MAX {
            assert_eq!(throttled.permit(&format!("cause {cause}"), start), Some(0));
        }
        assert_eq!(throttled.permit("one more", start), Some(0));
        assert_eq!(throttled.permit("and another", start), None, "they share one line");
        assert_eq!(throttled.causes.lock().unwrap().len(), CAUSES_MAX + 1);
        assert_eq!(throttled.permit("later", start + INTERVAL), Some(0), "the old ones are forgotten");
        assert_eq!(throttled.causes.lock().unwrap().len(), 1);
    }
}
