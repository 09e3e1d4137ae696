//! The switch: what lines are told, which may change while they run. A line looks between two records, so that each record
//! is read under one word.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Settings;

/// What lines are told.
#[derive(Debug)]
pub struct Switch {
    /// That of the settings. It changes while they are held.
    version: AtomicU64,
    settings: Mutex<(u64, Arc<Settings>)>,
}

/// What one line was told last.
#[derive(Debug)]
pub(super) struct Told {
    switch: Arc<Switch>,
    version: u64,
    pub(super) settings: Arc<Settings>,
}

impl Switch {
    /// Lines are told this.
    pub fn new(settings: Settings) -> Self {
        Self { version: AtomicU64::new(0), settings: Mutex::new((0, Arc::new(settings))) }
    }

    /// Lines are told this instead, each from its next record on. There are as many outputs as before, in their order: what
    /// they lead to does not change.
    pub fn set(&self, settings: Settings) {
        let settings = Arc::new(settings);
        let mut held = self.lock();
        held.0 += 1;
        held.1 = settings;
        self.version.store(held.0, Ordering::Relaxed);
    }

    /// The outputs of each line.
    pub fn outputs(&self) -> usize {
        self.lock().1.outputs.len()
    }

    pub(super) fn told(self: &Arc<Self>) -> Told {
        let (version, settings) = self.lock().clone();
        Told { switch: Arc::clone(self), version, settings }
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Arc<Settings>)> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// Hears what is told now. Whoever sees a new version takes the lock, and so sees what belongs to it.
    pub(super) fn renew(&mut self) {
        if self.switch.version.load(Ordering::Relaxed) != self.version {
            (self.version, self.settings) = self.switch.lock().clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use crate::pipeline::{Line, Parcel};
    use crate::record::{Origin, Record};

    fn settings(drop: &str) -> Settings {
        let select = crate::config::Select { drop: Some(drop.to_owned()), ..crate::config::Select::default() };
        let selection = select.selection().unwrap().map(Arc::new);
        Settings { selection, outputs: vec![Format::Raw.into()], ..Settings::default() }
    }

    fn record(model: &str) -> Record {
        let message = format!(
            r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","region":"us-east-1","requestId":"r","operation":"Converse","modelId":"{model}"}}"#
        );
        Record::new(message.into_bytes().into(), Origin::File { path: "-".into(), offset: 0 })
    }

    #[test]
    fn lines_hear_of_a_change_between_two_records() {
        let switch = Arc::new(Switch::new(settings("event.modelId == 'a'")));
        let mut lines = [Line::following(&switch), Line::following(&switch)];
        let mut check = |expected: [usize; 2]| {
            for line in &mut lines {
                let kept = ["a", "b"].map(|model| {
                    let mut parcel = Parcel::default();
                    line.process(&record(model), jiff::Timestamp::UNIX_EPOCH, &mut parcel);
                    assert!(parcel.rejects.is_empty(), "{:?}", parcel.rejects);
                    parcel.outputs[0].len()
                });
                assert_eq!(kept, expected);
            }
        };
        check([0, 1]);
        switch.set(settings("event.modelId == 'b'"));
        check([1, 0]);
        switch.set(settings("event.modelId == 'c'"));
        switch.set(settings("event.modelId == 'a'"));
        check([0, 1]);
    }
}
