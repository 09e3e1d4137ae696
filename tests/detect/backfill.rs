//! A backfill marks what it finds, and calls nobody unless it is told to.

use std::io::Write as _;
use std::process::Command;

use super::{Home, account, event, stderr, told};
use crate::support::bucket_double::{BUCKET, BucketDouble};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_raise_no_alert_unless_that_is_wanted() {
    let double = BucketDouble::start().await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let lines: String = (0..3).map(|second| event(&account(1), second) + "\n").collect();
    encoder.write_all(lines.as_bytes()).unwrap();
    let folder = "AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/01/02/08";
    double.put(&format!("{folder}/2026_a.json.gz"), &encoder.finish().unwrap());
    let endpoint = double.settings().access.endpoint_url.unwrap();
    for (flags, expected) in [(&[][..], 0), (&["--alerts"][..], 1)] {
        let home = Home::new("[alerts.history.file]\npath = 'HOME/alerts.jsonl'\n");
        let mut command: Command = home.command("backfill");
        command.args(["--s3", &format!("s3://{BUCKET}/AWSLogs"), "--endpoint-url", &endpoint, "--region", "us-east-1"]);
        command.args(["--from", "2026-01-02T08:00:00Z", "--to", "2026-01-02T09:00:00Z"]).args(flags);
        command.env("AWS_ACCESS_KEY_ID", "embedded").env("AWS_SECRET_ACCESS_KEY", "embedded");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let marked = home.lines("events.jsonl").iter().filter(|e| e.to_string().contains("acme.storm")).count();
        assert_eq!((marked, told(&home.lines("alerts.jsonl")).len()), (3, expected), "{flags:?}");
    }
}
