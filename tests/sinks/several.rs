//! Several sinks at once, each with what it takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bedrock_tap::config::{Config, Environment};
use bedrock_tap::daemon::plan::line;
use bedrock_tap::daemon::{self, Plan, Stop};

fn record(number: usize, account: &str, error: Option<&str>) -> String {
    let error = error.map(|code| format!(r#","errorCode":"{code}""#)).unwrap_or_default();
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"{account}","region":"us-east-1","requestId":"request-{number}","operation":"Converse","modelId":"amazon.nova-lite-v1:0"{error}}}"#
    )
}

/// Runs a configuration on these records; gives the request ids in each file that it names.
async fn run(directory: &Path, records: &[String], sinks: &str) -> BTreeMap<String, Vec<String>> {
    fs::write(directory.join("in.jsonl"), records.join("\n")).unwrap();
    let text = format!(
        "source.file.paths = ['{0}/in.jsonl']\ncoordination.local.directory = '{0}/state'\n{1}",
        directory.display(),
        sinks.replace("DIR", &directory.display().to_string())
    );
    let config = Config::parse(&text, "test.toml", &Environment::default()).unwrap_or_else(|error| panic!("{error}"));
    assert!(line(&config).is_ok());
    daemon::run(Plan::of(&config).unwrap(), Stop::default()).await.unwrap();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".out") {
            let text = fs::read_to_string(&path).unwrap();
            let id = |line: &str| {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                event["requestId"].as_str().unwrap().trim_start_matches("request-").to_owned()
            };
            found.insert(name.to_owned(), text.lines().map(id).collect());
        }
    }
    found
}

#[tokio::test]
async fn each_takes_what_its_filter_says() {
    let directory = tempfile::tempdir().unwrap();
    let records = [
        record(1, "111111111111", None),
        record(2, "222222222222", Some("ThrottlingException")),
        record(3, "111111111111", Some("AccessDeniedException")),
        record(4, "333333333333", None),
    ];
    let sinks = "
        [select]
        drop = 'view.account == \"333333333333\"'
        [sinks.all.file]
        path = 'DIR/all.out'
        [sinks.failed.file]
        path = 'DIR/failed.out'
        keep = 'has(view.error)'
        format = 'raw'
        [sinks.one.file]
        path = 'DIR/one.out'
        keep = 'view.account == \"111111111111\"'
        drop = 'has(view.error)'
        [sinks.nowhere.null]
        [sinks.none.file]
        path = 'DIR/none.out'
        drop = 'true'
    ";
    let found = run(directory.path(), &records, sinks).await;
    let expected = [("all", vec!["1", "2", "3"]), ("failed", vec!["2", "3"]), ("none", vec![]), ("one", vec!["1"])];
    assert_eq!(found.len(), expected.len());
    for (name, ids) in expected {
        assert_eq!(found[name], ids, "{name}");
    }
}
