//! Reload: the configuration is read again while the daemon runs, and what may change then does: which events are taken
//! and what is taken out of them, what is looked for and who hears of it, and the level of the log. A file that is not
//! valid, or changes anything else, changes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tracing::{error, info, warn};

use super::alerts::Audience;
use super::stop::Hangups;
use super::{Plan, plan, plan::detection};
use crate::config::{Config, ConfigError};
use crate::detect::{Detector, Rule};
use crate::metrics;
use crate::pipeline::Switch;
use crate::telemetry;

/// What may change while the daemon runs, by the paths of the keys; `*` is any name. Everything else was opened, started or
/// written down under its value.
const RELOADED: [&str; 14] = [
    "select",
    "extract",
    "redact",
    "panther",
    "cost",
    "detect.rules",
    "detect.files",
    "detect.findings",
    "sinks.*.*.keep",
    "sinks.*.*.drop",
    "sinks.*.*.redact",
    "alerts.*.*.rules",
    "alerts.*.*.severity",
    "log.level",
];

/// Keys that the log names, at most: of more, somebody gave another file.
const MAX_NAMED: usize = 20;

/// What a running daemon can be told anew.
pub struct Reload {
    /// What it runs by.
    config: Config,
    crew: Option<Arc<Switch>>,
    detector: Option<Arc<Detector>>,
    /// By the names of their sinks.
    audiences: BTreeMap<String, Arc<Mutex<Audience>>>,
    level: Option<telemetry::Level>,
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The keys that have other values than before.
    pub changed: Vec<String>,
    /// The rules that are on.
    pub rules: usize,
}

/// A configuration that changes what cannot be changed in a running daemon.
#[derive(Debug, thiserror::Error)]
#[error("these keys need a restart: {}", list(.0))]
pub struct NeedsRestart(pub Vec<String>);

impl Reload {
    /// What this plan can be told anew; it was made of `config`. Without a level, that of the log stays.
    pub fn of(plan: &Plan, config: Config, level: Option<telemetry::Level>) -> Self {
        let detection = plan.detection.as_ref();
        let audiences = detection.into_iter().flat_map(|detection| &detection.alerts);
        Self {
            config,
            crew: plan.crew.switch().map(Arc::clone),
            detector: detection.map(|detection| Arc::clone(&detection.detector)),
            audiences: audiences.map(|alert| (alert.sink.name.clone(), Arc::clone(&alert.audience))).collect(),
            level,
        }
    }

    /// Goes on by another configuration, from the next record of each line on. All that can fail comes before anything
    /// changes.
    ///
    /// # Errors
    /// Keys that need a restart, as [`NeedsRestart`]; a rule that is not valid, as [`ConfigError`]; a key of a hash that is
    /// not there. Then everything goes on as before.
    pub fn to(&mut self, config: Config) -> anyhow::Result<Reloaded> {
        let changed = changes(&self.config, &config)?;
        let refused: Vec<_> = changed.iter().filter(|path| !is_reloaded(path)).cloned().collect();
        if !refused.is_empty() {
            return Err(NeedsRestart(refused).into());
        }
        let rules = detection::rules(&config)?;
        if self.detector.is_none() && !rules.is_empty() {
            // What detection remembers and who hears of it is opened at the start.
            let named = changed.into_iter().filter(|path| path.starts_with("detect."));
            let named: Vec<_> = named.collect();
            return Err(NeedsRestart(if named.is_empty() { vec!["detect.files".to_owned()] } else { named }).into());
        }
        let detector = self.detector.as_ref().map(|detector| Arc::new(detector.followed_by(&rules)));
        let settings = plan::lines(&config, &plan::sink_plans(&config), detector.clone())?;
        let audiences = self.audiences(&config, &rules)?;
        if let Some(level) = &self.level
            && config.log.level != self.config.log.level
        {
            level.set(config.log.level.as_str())?;
            if level.is_overridden() {
                warn!(
                    variable = telemetry::LEVEL_VARIABLE,
                    "the level of the log is set by the environment, and stays"
                );
            }
        }
        // Whoever is to hear of what a new rule finds hears of it from the first finding on.
        for (cell, audience) in audiences {
            *cell.lock().unwrap_or_else(PoisonError::into_inner) = audience;
        }
        if let Some(detector) = &detector {
            detector.take_over();
        }
        if let Some(switch) = &self.crew {
            switch.set(settings);
        }
        self.config = config;
        Ok(Reloaded { changed, rules: rules.len() })
    }

    /// Who hears of what. What a rule has found that is off now is still told to whoever would have heard of it.
    fn audiences(&self, config: &Config, rules: &[Arc<Rule>]) -> anyhow::Result<Vec<(Arc<Mutex<Audience>>, Audience)>> {
        let mut audiences = Vec::new();
        for (name, cell) in &self.audiences {
            let Some(sink) = config.alerts.get(name) else { continue };
            let mut audience = detection::audience(name, sink, rules)?;
            let before = cell.lock().unwrap_or_else(PoisonError::into_inner).rules.clone();
            if let (Some(chosen), Some(before)) = (&mut audience.rules, before) {
                chosen.extend(before.into_iter().filter(|id| rules.iter().all(|rule| rule.id != *id)));
            }
            audiences.push((Arc::clone(cell), audience));
        }
        Ok(audiences)
    }

    /// Reads the configuration with `load` and goes on by it, and says in the log what came of it.
    pub fn again(&mut self, load: impl FnOnce() -> Result<Config, ConfigError>) {
        let result = load().map_err(anyhow::Error::from).and_then(|config| self.to(config));
        match result {
            Ok(Reloaded { changed, rules }) => {
                metrics::families().reloads.with_label_values(&["applied"]).inc();
                info!(changed = %list(&changed), rules, "the configuration was read again, and holds from now on");
            }
            Err(error) => {
                metrics::families().reloads.with_label_values(&["refused"]).inc();
                error!(error = %in_one_line(&error), "the configuration is refused, and the one before goes on");
            }
        }
    }

    /// From now on reads the configuration again with `load` at each SIGHUP. Needs a runtime.
    ///
    /// # Errors
    /// What the system answers if the signal cannot be listened for.
    pub fn on_hangups(
        self,
        load: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    ) -> std::io::Result<()> {
        let mut hangups = Hangups::listen()?;
        let (reload, load) = (Arc::new(Mutex::new(self)), Arc::new(load));
        tokio::spawn(async move {
            loop {
                hangups.next().await;
                let (reload, load) = (Arc::clone(&reload), Arc::clone(&load));
                // Reading files and making expressions of them takes its time. A panic changes nothing, and is logged.
                let reading = tokio::task::spawn_blocking(move || {
                    reload.lock().unwrap_or_else(PoisonError::into_inner).again(|| load());
                });
                let _ = reading.await;
            }
        });
        Ok(())
    }
}

/// The keys that have other values in `new`; of what is missing in one of them, the key that is.
fn changes(old: &Config, new: &Config) -> anyhow::Result<Vec<String>> {
    let mut changed = Vec::new();
    compare(&serde_json::to_value(old)?, &serde_json::to_value(new)?, "", &mut changed);
    Ok(changed)
}

fn compare(old: &Value, new: &Value, path: &str, changed: &mut Vec<String>) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        if old != new {
            changed.push(path.to_owned());
        }
        return;
    };
    let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (old.get(key), new.get(key)) {
            (Some(old), Some(new)) => compare(old, new, &path, changed),
            _ => changed.push(path),
        }
    }
}

/// Whether a key is one that may change, or below one.
fn is_reloaded(path: &str) -> bool {
    RELOADED.iter().any(|known| {
        let mut names = path.split('.');
        known.split('.').all(|part| names.next().is_some_and(|name| part == "*" || part == name))
    })
}

/// Names in one line.
fn list(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMED).map(|name| name.escape_default().to_string());
    let mut text = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMED) {
        0 if names.is_empty() => text.push_str("nothing"),
        0 => {}
        more => text.push_str(&format!(" and {more} more")),
    }
    text
}

fn in_one_line(error: &anyhow::Error) -> String {
    match error.chain().find_map(|cause| cause.downcast_ref::<ConfigError>()) {
        Some(error) => error.brief(),
        None => format!("{error:#}").replace(['\n', '\r'], " "),
    }
}
