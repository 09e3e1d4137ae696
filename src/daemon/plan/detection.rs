//! From a configuration to detection: the rules that are on, what they remember, and where alerts go.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;

use crate::checkpoint::{dynamodb, local};
use crate::config::{AlertSink, Config, Coordination, Source};
use crate::daemon::alerts::{AlertPlan, Audience};
use crate::daemon::plan::streams;
use crate::daemon::{DetectionPlan, Keep, SinkPlan};
use crate::detect::{Detector, Rule};

/// What is looked for, if anything is.
///
/// # Errors
/// A rule or a pattern that is not valid, as [`ConfigError`](crate::config::ConfigError); a key that is not there.
pub(in crate::daemon) fn plan(config: &Config) -> anyhow::Result<Option<DetectionPlan>> {
    let rules = rules(config)?;
    if rules.is_empty() {
        return Ok(None);
    }
    let detector = Arc::new(Detector::new(&rules, config.detect.limits()));
    let keep = config.detect.keep_state.then(|| match (&config.coordination, &config.source) {
        (Coordination::Local(local), _) => Some(Keep::Local(local::Settings { directory: local.directory.clone() })),
        (Coordination::Dynamodb(table), Source::Kinesis(source)) => Some(Keep::Dynamodb(dynamodb::Settings {
            leases: table.table.clone(),
            create: table.create_table,
            access: streams::table_access(source, table),
            failover: table.failover_time,
        })),
        // Without shards there are no leases; the configuration's own check says so.
        (Coordination::Dynamodb(_), _) => None,
    });
    let keep = keep.flatten();
    let alerts = config.alerts.iter().map(|(name, sink)| {
        let audience = Arc::new(Mutex::new(audience(name, sink, &rules)?));
        Ok(AlertPlan { sink: SinkPlan::new(name, sink.plan()), audience })
    });
    let alerts = alerts.collect::<anyhow::Result<_>>()?;
    Ok(Some(DetectionPlan { detector, keep, alerts }))
}

/// The rules that are on.
///
/// # Errors
/// A rule or a pattern that is not valid.
pub(in crate::daemon) fn rules(config: &Config) -> anyhow::Result<Vec<Arc<Rule>>> {
    let active = config.detect.load()?;
    config.check_alerts(&active)?;
    Ok(active.rules)
}

/// What a sink of alerts hears of.
///
/// # Errors
/// A pattern that is not valid; a key that is not there.
pub(in crate::daemon) fn audience(name: &str, sink: &AlertSink, rules: &[Arc<Rule>]) -> anyhow::Result<Audience> {
    told(sink, rules).with_context(|| format!("[alerts.{name}.{}]", sink.kind()))
}

fn told(sink: &AlertSink, rules: &[Arc<Rule>]) -> anyhow::Result<Audience> {
    let told = sink.told();
    let choice = told.choice()?;
    let routing_key = match &told.routing_key {
        Some(secret) => {
            let key = secret.read().context("`routing_key` is not there")?;
            let key = String::from_utf8(key).ok().context("`routing_key` is not UTF-8")?;
            Some(key)
        }
        None => None,
    };
    Ok(Audience {
        format: told.format,
        rules: choice.map(|choice| choice.choose(rules).iter().map(|rule| rule.id.clone()).collect::<BTreeSet<_>>()),
        severity: Some(told.severity),
        routing_key,
    })
}
