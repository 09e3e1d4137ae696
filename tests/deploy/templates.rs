//! The templates of CloudFormation and Terraform, by `deploy/check.py`, and the environments that they give the program.
//! `BEDROCK_TAP_TEST_PYTHON` names a Python that has cfn-lint and python-hcl2; without it the tests are skipped, unless
//! `BEDROCK_TAP_TEST_REQUIRE` names `cfn-lint`.

use std::process::Command;

use bedrock_tap::config::{Config, Environment};

use super::{path, text};

/// Runs the check; none where its Python is not named and need not be.
fn check(arguments: &[&str]) -> Option<String> {
    let Ok(python) = std::env::var("BEDROCK_TAP_TEST_PYTHON") else {
        let required = std::env::var("BEDROCK_TAP_TEST_REQUIRE").unwrap_or_default();
        let is_required = required.split(',').any(|required| required == "cfn-lint");
        assert!(!is_required, "BEDROCK_TAP_TEST_PYTHON names no Python with cfn-lint and python-hcl2");
        eprintln!("skipped: BEDROCK_TAP_TEST_PYTHON names no Python with cfn-lint and python-hcl2");
        return None;
    };
    let ran = Command::new(python).arg(path("deploy/check.py")).args(arguments).output().unwrap();
    let (out, error) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8_lossy(&ran.stderr).into_owned());
    assert!(ran.status.success(), "{out}{error}");
    Some(out)
}

#[test]
fn both_ways_deploy_the_same_with_the_rights_of_the_table() {
    let Some(out) = check(&[]) else { return };
    assert_eq!(out, "0 faults\n");
}

/// Whatever the parameters are, the task starts: its environment and the image's file are a valid configuration.
#[test]
fn each_environment_of_the_task_is_a_configuration() {
    let Some(out) = check(&["--environments"]) else { return };
    let mut count = 0;
    for line in out.lines() {
        let variables: std::collections::BTreeMap<String, String> = serde_json::from_str(line).unwrap();
        // What stands for an ARN or a URL of AWS has its form.
        let real = |value: &str| match value {
            "<Stream.Arn>" => "arn:aws:kinesis:eu-central-1:111111111111:stream/s".to_owned(),
            "<LogQueue>" => "https://sqs.eu-central-1.amazonaws.com/111111111111/q".to_owned(),
            "['<LogBucket>']" => "['bedrock-logs']".to_owned(),
            "<LeaseTable>" | "<Consumer.ConsumerName>" => "bedrock-tap".to_owned(),
            value => {
                assert!(!value.contains('<'), "{value} stands for something that the test does not know");
                value.to_owned()
            }
        };
        let environment: Environment = variables.iter().map(|(name, value)| (name.clone(), real(value))).collect();
        let config = Config::parse(&text("deploy/container.toml"), "container.toml", &environment)
            .unwrap_or_else(|error| panic!("{line}\n{error}"));
        assert_eq!(config.drain_timeout.as_secs(), 60);
        count += 1;
    }
    // The kind of source, fan-out, bodies, events and rules change it.
    assert_eq!(count, 24, "{out}");
}
