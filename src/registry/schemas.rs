//! The schemas as decoders see them, and the task that asks for what they lack.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::book::{Answer, Book, Key, Moment, Rules, Verdict};
use super::connection::{Connection, RESPONSE_TIMEOUT};
use super::resolve::resolve;
use super::{Lookup, RegisteredSchema, RegistryError, SchemaKey};
use crate::admin::{Contact, RegistryStatus};
use crate::clock;
use crate::config::RegistrySettings;
use crate::metrics::{Metrics, SchemaMetrics};

/// So many schemas are asked for at the same time.
const ASKING_MAX: usize = 8;

/// The schemas of one registry. Clones are the same schemas.
#[derive(Clone, Debug)]
pub struct Schemas {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Rings when something is to be asked for; `None` where there is nobody to ask.
    bell: Option<Notify>,
}

#[derive(Debug)]
struct State {
    book: Book,
    contact: Contact,
}

impl Shared {
    /// Held for look-ups and notes only, never across a wait: the polling thread takes it too.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}

impl Schemas {
    /// Prepares the client of the registry that `settings` name; connects nowhere yet. The future asks for what is
    /// looked up, for as long as it is polled; it belongs beside the pipeline.
    ///
    /// # Errors
    /// Where certificates, key or token cannot be used.
    pub fn connect(
        settings: &RegistrySettings,
        metrics: &Metrics,
    ) -> Result<(Self, impl Future<Output = Infallible> + Send + use<>), RegistryError> {
        Self::connect_with(settings, metrics, Rules::new(settings.unknown_schema_after), RESPONSE_TIMEOUT)
    }

    pub(super) fn connect_with(
        settings: &RegistrySettings,
        metrics: &Metrics,
        rules: Rules,
        response_timeout: Duration,
    ) -> Result<(Self, impl Future<Output = Infallible> + Send + use<>), RegistryError> {
        let metrics = metrics.schemas();
        let connection = Connection::new(settings, response_timeout, metrics.clone())?;
        let schemas = Self::new(Book::new(rules), Some(Notify::new()));
        let asking = ask_for_ever(Arc::clone(&schemas.shared), Arc::new(connection), metrics);
        Ok((schemas, asking))
    }

    /// Fixed schemas without a server, for tests, benches and fuzzing. All others are unknown.
    pub fn fixed(schemas: impl IntoIterator<Item = (SchemaKey, RegisteredSchema)>) -> Self {
        let mut book = Book::new(Rules::new(Duration::ZERO));
        for (key, schema) in schemas {
            let key = Key::Schema(key);
            let now = moment();
            drop(book.look_up(&key, || now));
            book.answered(&key, Answer::Schema(schema), now.at);
        }
        Self::new(book, None)
    }

    fn new(book: Book, bell: Option<Notify>) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::new(State { book, contact: Contact::default() }), bell }) }
    }

    /// Never waits: an unseen key is asked for in the background, once, whoever asks.
    pub fn get(&self, key: SchemaKey) -> Lookup {
        self.look_up(&Key::Schema(key))
    }

    /// The newest schema of a subject when it was first looked up; kept as the others. Not for each record: it allocates.
    pub fn latest(&self, subject: &str) -> Lookup {
        self.look_up(&Key::Latest(subject.into()))
    }

    fn look_up(&self, key: &Key) -> Lookup {
        let (lookup, is_new) = self.shared.state().book.look_up(key, moment);
        match (&self.shared.bell, lookup) {
            (None, Lookup::Pending) => Lookup::Unknown,
            (Some(bell), lookup) if is_new => {
                bell.notify_one();
                lookup
            }
            (_, lookup) => lookup,
        }
    }

    /// What people see: whether the registry answers, its last error, what is waited for and since when.
    pub fn status(&self) -> RegistryStatus {
        let state = self.shared.state();
        RegistryStatus { contact: state.contact.clone(), awaited: state.book.awaited() }
    }
}

fn moment() -> Moment {
    Moment { at: clock::now(), unix_ms: clock::unix_ms() }
}

/// Asks for what is looked up, tries again what failed.
async fn ask_for_ever(shared: Arc<Shared>, connection: Arc<Connection>, metrics: SchemaMetrics) -> Infallible {
    let mut asking: JoinSet<(Key, Answer)> = JoinSet::new();
    let bell = shared.bell.as_ref().expect("who has somebody to ask has a bell");
    loop {
        let now = clock::now();
        let room = ASKING_MAX - asking.len();
        let (due, next_due, awaited) = {
            let mut state = shared.state();
            (state.book.take_due(now, room), state.book.next_due(), state.book.awaited_count())
        };
        metrics.awaited(u64::try_from(awaited).unwrap_or(u64::MAX));
        for key in due {
            let connection = Arc::clone(&connection);
            asking.spawn(async move {
                let answer = resolve(&connection, &key).await;
                (key, answer)
            });
        }
        // Where there is no room the end of a request is waited for, not the time.
        let next_due = next_due.filter(|_| asking.len() < ASKING_MAX);
        let pause = async {
            match next_due {
                Some(due) => tokio::time::sleep(due.saturating_duration_since(now)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = bell.notified() => {}
            () = pause => {}
            Some(ended) = asking.join_next() => {
                let (key, answer) = ended.expect("asking the schema registry panicked");
                note(&shared, &metrics, &key, answer);
            }
        }
    }
}

/// Books an answer and says what it means.
fn note(shared: &Shared, metrics: &SchemaMetrics, key: &Key, answer: Answer) {
    let (verdict, answers_again) = {
        let mut state = shared.state();
        let verdict = state.book.answered(key, answer, clock::now());
        let was_failing = !state.contact.ok && state.contact.last_error.is_some();
        if let Verdict::Failed(why) = &verdict {
            state.contact.failed(clock::unix_ms(), why);
        } else {
            state.contact.succeeded(clock::unix_ms());
        }
        let answers_again = was_failing && state.contact.ok;
        (verdict, answers_again)
    };
    if answers_again {
        metrics.answers_again();
    }
    match verdict {
        Verdict::Found => metrics.found(key),
        Verdict::Failed(why) => metrics.failed(key, &why),
        Verdict::Absent(why) => metrics.absent(key, &why),
        Verdict::Unknown => metrics.unknown(key),
        Verdict::Unusable(why) => metrics.unusable(key, &why),
    }
}
