//! A lease table in memory, and the links that workers have to it: each can be slow, cut, or lose answers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use bedrock_tap::lease::protocol::{Answer, Update, apply};
use bedrock_tap::lease::table::{Table, TableError};
use bedrock_tap::lease::{Lease, LeaseKey};
use bedrock_tap::record::Position;
use bedrock_tap::source::BoxFuture;
use tokio::time::{Instant, sleep};

/// How long a call takes that gets no answer. Real clients give up after some seconds.
const NO_ANSWER: Duration = Duration::from_secs(3);

/// A call that reached the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Scan,
    Get,
    Create,
    Update,
    Delete,
}

/// The rows, and what was done to them.
#[derive(Debug, Default)]
pub(crate) struct MemoryTable {
    rows: Mutex<BTreeMap<LeaseKey, Lease>>,
    calls: Mutex<Vec<(Instant, Call)>>,
    updates: Mutex<Vec<Update>>,
}

/// What becomes of the next calls of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// Refused before it is applied.
    Refused,
    /// Applied; the answer is an error.
    Lost,
    /// It takes so long.
    Late(Duration),
}

/// One worker's way to the table.
#[derive(Debug)]
pub(crate) struct Link {
    table: Arc<MemoryTable>,
    is_cut: Mutex<bool>,
    troubles: Mutex<VecDeque<(Call, Trouble)>>,
    met: Mutex<Vec<Call>>,
}

impl MemoryTable {
    pub(crate) fn link(self: &Arc<Self>) -> Arc<Link> {
        Arc::new(Link {
            table: Arc::clone(self),
            is_cut: Mutex::new(false),
            troubles: Mutex::default(),
            met: Mutex::default(),
        })
    }

    /// Shows every row.
    pub(crate) fn look(&self, mut act: impl FnMut(&Lease)) {
        self.rows.lock().unwrap().values().for_each(&mut act);
    }

    pub(crate) fn rows(&self) -> Vec<Lease> {
        self.rows.lock().unwrap().values().cloned().collect()
    }

    pub(crate) fn row(&self, key: &LeaseKey) -> Option<Lease> {
        self.rows.lock().unwrap().get(key).cloned()
    }

    pub(crate) fn put(&self, lease: Lease) {
        self.rows.lock().unwrap().insert(lease.key.clone(), lease);
    }

    /// The calls since `from`, by kind.
    pub(crate) fn calls_since(&self, from: Instant) -> BTreeMap<Call, usize> {
        let mut counts = BTreeMap::new();
        for (_, call) in self.calls.lock().unwrap().iter().filter(|(at, _)| *at >= from) {
            *counts.entry(*call).or_default() += 1;
        }
        counts
    }

    pub(crate) fn updates(&self) -> Vec<Update> {
        self.updates.lock().unwrap().clone()
    }

    fn note(&self, call: Call) {
        self.calls.lock().unwrap().push((Instant::now(), call));
    }
}

impl Link {
    /// No call gets through any more, or again.
    pub(crate) fn cut(&self, is_cut: bool) {
        *self.is_cut.lock().unwrap() = is_cut;
    }

    pub(crate) fn trouble(&self, call: Call, troubles: impl IntoIterator<Item = Trouble>) {
        self.troubles.lock().unwrap().extend(troubles.into_iter().map(|trouble| (call, trouble)));
    }

    /// The calls that met trouble.
    pub(crate) fn met(&self, call: Call) -> usize {
        self.met.lock().unwrap().iter().filter(|of| **of == call).count()
    }

    async fn call<T>(
        &self,
        call: Call,
        act: impl FnOnce(&mut BTreeMap<LeaseKey, Lease>) -> T,
    ) -> Result<T, TableError> {
        let error = |reason: &str| TableError::Retry { table: "leases".to_owned(), reason: reason.to_owned() };
        if *self.is_cut.lock().unwrap() {
            sleep(NO_ANSWER).await;
            return Err(error("cut"));
        }
        let trouble = {
            let mut troubles = self.troubles.lock().unwrap();
            let at = troubles.iter().position(|(of, _)| *of == call);
            at.and_then(|at| troubles.remove(at)).map(|(_, trouble)| trouble)
        };
        if trouble.is_some() {
            self.met.lock().unwrap().push(call);
        }
        match trouble {
            Some(Trouble::Refused) => return Err(error("refused")),
            Some(Trouble::Late(time)) => sleep(time).await,
            // What a service in the same region takes.
            _ => sleep(Duration::from_millis(5)).await,
        }
        self.table.note(call);
        let result = act(&mut self.table.rows.lock().unwrap());
        match trouble {
            Some(Trouble::Lost) => Err(error("lost")),
            _ => Ok(result),
        }
    }
}

impl Table for Link {
    fn name(&self) -> &str {
        "leases"
    }

    fn scan(&self) -> BoxFuture<'_, Result<Vec<Lease>, TableError>> {
        Box::pin(self.call(Call::Scan, |rows| rows.values().cloned().collect()))
    }

    fn get(&self, key: LeaseKey) -> BoxFuture<'_, Result<Option<Lease>, TableError>> {
        Box::pin(self.call(Call::Get, move |rows| rows.get(&key).cloned()))
    }

    fn create(&self, lease: Lease) -> BoxFuture<'_, Result<bool, TableError>> {
        Box::pin(self.call(Call::Create, move |rows| {
            let is_new = !rows.contains_key(&lease.key);
            rows.entry(lease.key.clone()).or_insert(lease);
            is_new
        }))
    }

    fn update(&self, update: Update) -> BoxFuture<'_, Result<Answer, TableError>> {
        self.table.updates.lock().unwrap().push(update.clone());
        Box::pin(self.call(Call::Update, move |rows| {
            let Some(row) = rows.get_mut(&update.key) else { return Answer::Refused(None) };
            match apply(row, &update) {
                Some(new) => {
                    assert!(!matches!(new.position, Position::After(_)), "{new:?} is not as rows are");
                    *row = new.clone();
                    Answer::Applied(new)
                }
                None => Answer::Refused(Some(row.clone())),
            }
        }))
    }

    fn delete(&self, key: LeaseKey, counter: u64) -> BoxFuture<'_, Result<bool, TableError>> {
        Box::pin(self.call(Call::Delete, move |rows| {
            let is_same = rows.get(&key).is_none_or(|row| row.counter == counter);
            if is_same {
                rows.remove(&key);
            }
            is_same
        }))
    }
}
