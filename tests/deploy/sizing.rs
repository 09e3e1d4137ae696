//! The tables of `deploy/SIZING.md`, computed from its prices.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{check_written, text, with_part};

const HOURS: f64 = 730.0;
const TASKS: f64 = 2.0;
const SHARDS: f64 = 4.0;
/// Of the benchmark's corpus.
const GZIP: f64 = 3.43;
/// What CloudWatch Logs keeps of a byte.
const ARCHIVED: f64 = 0.15;

/// The prices, by their names in the page.
fn prices(page: &str) -> BTreeMap<String, f64> {
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.split('|').map(str::trim);
        let name = cells.nth(1)?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
        Some((name, cells.next()?.parse().ok()?))
    });
    let prices: BTreeMap<_, _> = rows.collect();
    assert!(prices.len() > 10, "the page has {} prices", prices.len());
    prices
}

/// What is paid whatever is called.
fn fixed(price: &dyn Fn(&str) -> f64) -> String {
    let template = text("deploy/cloudformation/bedrock-tap.yaml");
    let alarms = template.matches("Type: AWS::CloudWatch::Alarm\n").count();
    assert_eq!(alarms, 16, "the page counts the metrics of so many, all but one of them of a stream");
    let rows = [
        ("the stream", HOURS * price("stream_hour")),
        ("two tasks", TASKS * HOURS * (0.5 * price("vcpu_hour") + price("memory_hour"))),
        ("leases", SHARDS * 0.2592 * price("table_write") + 2.0 * 2880.0 * 30.0 * 0.97 / 1e6 * price("table_read")),
        ("the key", price("key_month") + SHARDS * 3.0 * 12.0 * HOURS / 1e4 * price("key_call")),
        ("alarms", 19.0 * price("alarm") + 3.0 * price("metric")),
        ("Container Insights", 20.0 * price("metric")),
        ("objects", TASKS * 60.0 * HOURS / 1e3 * price("put")),
    ];
    let mut table = "| a month | USD |\n|---|---|\n".to_owned();
    for (name, cost) in rows {
        let _ = writeln!(table, "| {name} | {cost:.2} |");
    }
    let _ = writeln!(table, "| **together** | **{:.2}** |", rows.iter().map(|(_, cost)| cost).sum::<f64>());
    table
}

/// What is paid for each million calls, by the size of an event.
fn variable(price: &dyn Fn(&str) -> f64) -> String {
    let sizes = [2.0, 8.8, 30.0, 100.0];
    let kept = |gb: f64| gb / GZIP;
    let rows: [(&str, &dyn Fn(f64) -> f64); 4] = [
        ("log group: taken", &|gb| gb * price("logs_in")),
        ("log group: kept 30 days", &|gb| gb * ARCHIVED * price("logs_kept")),
        ("stream: written, read, kept", &|gb| {
            kept(gb) * (price("stream_in") + price("stream_out") + price("stream_kept") * 48.0 / HOURS)
        }),
        ("bucket: kept 30 days", &|gb| kept(gb) * price("object_kept")),
    ];
    let mut table = "| USD for a million calls of |".to_owned();
    for size in sizes {
        let _ = write!(table, " {size} KB |");
    }
    table.push_str("\n|---|---|---|---|---|\n");
    // A million of a KB is a GB.
    for (name, cost) in rows {
        let _ = write!(table, "| {name} |");
        for size in sizes {
            let _ = write!(table, " {:.2} |", cost(size));
        }
        table.push('\n');
    }
    let _ = write!(table, "| **together** |");
    for size in sizes {
        let _ = write!(table, " **{:.2}** |", rows.iter().map(|(_, cost)| cost(size)).sum::<f64>());
    }
    let _ = write!(table, "\n| without the log group |");
    for size in sizes {
        let _ = write!(table, " {:.2} |", rows[2..].iter().map(|(_, cost)| cost(size)).sum::<f64>());
    }
    table.push('\n');
    table
}

#[test]
fn the_sums_are_those_of_the_prices() {
    let page = text("deploy/SIZING.md");
    let prices = prices(&page);
    let price = |name: &str| *prices.get(name).unwrap_or_else(|| panic!("the page has no price {name}"));
    let page = with_part(&page, "fixed", &fixed(&price));
    check_written("deploy/SIZING.md", &with_part(&page, "variable", &variable(&price)));
}
