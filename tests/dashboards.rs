//! What is shown and what rings: the page of metrics, the dashboard, the alert rules and the runbook, each held against the
//! table of metrics. `BLESS=1 cargo test --test integration dashboards` writes the page of metrics anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bedrock_tap::metrics::{Kind, TABLE, gather};
use promql::{Query, labels_of};
use saphyr::{LoadableYamlNode as _, Yaml};
use serde_json::Value;

mod promql;

/// Metrics that are in no panel and no rule, each with the reason.
const NOT_SHOWN: &[(&str, &str)] = &[];

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(deploy(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What the system says of the process, beside the table: name, kind and help.
fn process_metrics() -> Vec<(String, &'static str, String)> {
    let families = gather().into_iter().filter(|family| family.name().starts_with("process_"));
    families
        .map(|family| {
            let kind = if family.name().ends_with("_total") { "counter" } else { "gauge" };
            (family.name().to_owned(), kind, family.help().to_owned())
        })
        .collect()
}

/// The page of metrics.
fn page() -> String {
    let mut page = "# Metrics\n\nWhat the process counts and measures, at `/metrics` of `[http]`, by `[metrics.otlp]` and, in part, by \
        `[metrics.emf]`. The page is made of the table in the code; a test holds one against the other.\n\nCounters grow \
        until the process ends. A histogram has `_bucket` (with the label `le`), `_sum` and `_count`. A family with labels is \
        there once it has something to say. Nothing of a prompt or an answer is ever a label; models are told apart up to a \
        number.\n\n| name | kind | labels | what it tells |\n|---|---|---|---|\n"
        .to_owned();
    let mut add = |name: &str, kind: &str, labels: &[&str], help: &str| {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        page.push_str(&format!("| `{name}` | {kind} | {} | {} |\n", labels.join(", "), help.replace('|', "\\|")));
    };
    for metric in TABLE {
        add(metric.name, metric.kind.as_str(), metric.labels, metric.help);
    }
    for (name, kind, help) in process_metrics() {
        add(&name, kind, &[], &help);
    }
    page
}

#[cfg(target_os = "linux")]
#[test]
fn the_page_of_metrics_is_the_table() {
    let (path, expected) = (deploy("METRICS.md"), page());
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    assert_eq!(expected, read("METRICS.md"), "BLESS=1 writes it anew");
}

/// The labels of each series that a query may name.
fn series() -> BTreeMap<String, BTreeSet<String>> {
    let mut series = BTreeMap::new();
    let of = |labels: &[&str]| -> BTreeSet<String> {
        labels.iter().chain(&["job", "instance"]).map(|label| (*label).to_owned()).collect()
    };
    for metric in TABLE {
        if metric.kind != Kind::Histogram {
            series.insert(metric.name.to_owned(), of(metric.labels));
            continue;
        }
        for ending in ["_sum", "_count"] {
            series.insert(format!("{}{ending}", metric.name), of(metric.labels));
        }
        let mut buckets = of(metric.labels);
        buckets.insert("le".to_owned());
        series.insert(format!("{}_bucket", metric.name), buckets);
    }
    series.extend(process_metrics().into_iter().map(|(name, _, _)| (name, of(&[]))));
    series.insert("up".to_owned(), of(&[]));
    series
}

/// The table's name of a series.
fn family(series: &str) -> &str {
    let ending = ["_bucket", "_sum", "_count"].iter().find_map(|ending| series.strip_suffix(ending));
    ending.filter(|name| TABLE.iter().any(|metric| metric.name == *name)).unwrap_or(series)
}

/// The names between `start` and `}}` of a template.
fn placeholders<'t>(template: &'t str, start: &str) -> Vec<&'t str> {
    template.split(start).skip(1).map(|rest| rest.split("}}").next().unwrap().trim()).collect()
}

/// The dashboard's panels.
fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

/// The queries of the dashboard, with the template of their legend.
fn shown(dashboard: &Value) -> Vec<(String, String)> {
    let targets = panels(dashboard).iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    targets.map(|target| (text(&target["expr"]), text(&target["legendFormat"]))).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("grafana/bedrock-tap.json")).unwrap()
}

/// A rule that rings.
struct Rule {
    name: String,
    expr: String,
    severity: String,
    annotations: BTreeMap<String, String>,
}

fn get<'a, 'y>(yaml: &'a Yaml<'y>, key: &str) -> &'a Yaml<'y> {
    yaml.as_mapping_get(key).unwrap_or_else(|| panic!("no {key}"))
}

fn rules() -> Vec<Rule> {
    let text = read("prometheus/alerts.yml");
    let documents = Yaml::load_from_str(&text).unwrap();
    let [document] = &documents[..] else { panic!("{} documents", documents.len()) };
    let texts = |yaml: &Yaml| -> BTreeMap<String, String> {
        let pairs = yaml.as_mapping().unwrap().iter();
        pairs.map(|(key, value)| (key.as_str().unwrap().to_owned(), value.as_str().unwrap().to_owned())).collect()
    };
    let mut rules = Vec::new();
    for group in get(document, "groups").as_sequence().unwrap() {
        for rule in get(group, "rules").as_sequence().unwrap() {
            let keys: BTreeSet<&str> = rule.as_mapping().unwrap().keys().map(|key| key.as_str().unwrap()).collect();
            assert!(keys.is_subset(&["alert", "expr", "for", "labels", "annotations"].into()), "{keys:?}");
            rules.push(Rule {
                name: get(rule, "alert").as_str().unwrap().to_owned(),
                expr: get(rule, "expr").as_str().unwrap().to_owned(),
                severity: texts(get(rule, "labels"))["severity"].clone(),
                annotations: texts(get(rule, "annotations")),
            });
        }
    }
    rules
}

#[test]
fn every_query_is_valid_and_names_what_there_is() {
    let series = series();
    let mut used = BTreeSet::new();
    let mut check = |place: &str, text: &str, template: &str, start: &str| {
        let query = Query::parse(text).unwrap_or_else(|error| panic!("{place}: {text}: {error}"));
        query.check(&series).unwrap_or_else(|error| panic!("{place}: {text}: {error}"));
        used.extend(query.names().iter().map(|name| family(name).to_owned()));
        let labels = labels_of(query.expr(), &series).unwrap_or_default();
        for label in placeholders(template, start) {
            assert!(labels.contains(label), "{place}: the result of {text} has no label {label}, only {labels:?}");
        }
    };
    let (dashboard, rules) = (dashboard(), rules());
    let queries = shown(&dashboard);
    assert!(queries.len() > 40 && rules.len() > 15, "{} queries, {} rules", queries.len(), rules.len());
    for (text, legend) in &queries {
        assert!(text.contains("$job") && text.contains("$instance"), "{text} is not of the chosen processes");
        let text = text.replace("$__rate_interval", "5m").replace("$__range", "6h");
        check("dashboard", &text, legend, "{{");
    }
    for rule in &rules {
        check(&rule.name, &rule.expr, &rule.annotations.values().cloned().collect::<String>(), "{{ $labels.");
    }
    let names: BTreeSet<String> = TABLE.iter().map(|metric| metric.name.to_owned()).collect();
    let left: Vec<_> =
        names.difference(&used).filter(|name| !NOT_SHOWN.iter().any(|(other, _)| other == name)).collect();
    assert!(left.is_empty(), "in no panel, no rule and not among those that are not shown: {left:?}");
    let idle: Vec<_> = NOT_SHOWN.iter().filter(|(name, _)| used.contains(*name) || !names.contains(*name)).collect();
    assert!(idle.is_empty(), "is shown, or is no metric: {idle:?}");
}

#[test]
fn a_query_that_names_what_there_is_not_is_found() {
    let series = series();
    let check = |text: &str, expected: &str| {
        let found = Query::parse(text).and_then(|query| query.check(&series));
        assert!(found.as_ref().is_err_and(|error| error.contains(expected)), "{text}: {found:?}");
    };
    check("sum(", "");
    check("bedrock_tap_nothing", "there is no bedrock_tap_nothing");
    check("bedrock_tap_sink_delivery_seconds", "there is no bedrock_tap_sink_delivery_seconds");
    check("rate(bedrock_tap_rejects_total{cause='a'}[5m])", "has no label cause");
    check("sum by (model) (bedrock_tap_rejects_total)", "has no label model");
    check("sum by (job) (up) / sum by (job) (process_nothing)", "there is no process_nothing");
    check("topk(scalar(bedrock_tap_none), up)", "there is no bedrock_tap_none");
    check("sum by (le) (bedrock_tap_sink_delivery_seconds_count)", "has no label le");
    check("bedrock_tap_aws_calls_total{result='busy'}", "result is never busy");
    check("bedrock_tap_shards + on (sink) bedrock_tap_shards", "has no label sink");
    check("histogram_quantile(0.5, sum by (sink) (bedrock_tap_sink_delivery_seconds_bucket))", "le");
}

#[test]
fn the_dashboard_is_in_order() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    let mut names = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has another's id");
        assert!(names.insert(title.to_owned()), "{title} is there twice");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("w") > 0 && at("h") > 0 && at("x") + at("w") <= 24, "{title} is outside of the grid");
        for (x, y) in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(cells.insert((x, y)), "{title} lies on another panel");
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            let targets = panel["targets"].as_array().unwrap();
            let refs: BTreeSet<_> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
            assert!(!targets.is_empty() && refs.len() == targets.len(), "{title}");
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: Vec<_> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "job", "instance"]);
}

#[test]
fn every_alert_says_what_it_means_and_has_its_section_in_the_runbook() {
    let runbook = read("RUNBOOK.md");
    let sections: BTreeSet<String> = runbook
        .lines()
        .filter(|line| line.starts_with("##"))
        .map(|line| line.trim_start_matches('#').trim().to_owned())
        .collect();
    let rules = rules();
    let names: BTreeSet<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names.len(), rules.len(), "an alert is there twice");
    for rule in &rules {
        let name = &rule.name;
        assert!(["critical", "warning"].contains(&rule.severity.as_str()), "{name}: {}", rule.severity);
        let keys: Vec<_> = rule.annotations.keys().map(String::as_str).collect();
        assert_eq!(keys, ["description", "runbook", "summary"], "{name}");
        let anchor = format!("deploy/RUNBOOK.md#{}", name.to_lowercase());
        assert_eq!(rule.annotations["runbook"], anchor, "{name}");
        assert!(sections.contains(name), "the runbook has no section {name}");
    }
    let stale: Vec<_> =
        sections.iter().filter(|name| name.starts_with("BedrockTap") && !names.contains(name.as_str())).collect();
    assert!(stale.is_empty(), "sections of no alert: {stale:?}");
}
