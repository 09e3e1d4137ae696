//! The rules that come with the program: their files, compiled in.

/// Name and text of each file.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$((concat!("config/rules/", $name), include_str!(concat!("../../../config/rules/", $name)))),*]
    };
}

/// All files, in the order of their names.
pub(super) const FILES: &[(&str, &str)] = files![
    "panther/aws-bedrock-deletemodelinvocationloggingconfiguration.toml",
    "panther/aws-bedrock-guardrailupdatedelete.toml",
    "panther/aws-bedrockmodelinvocation-abnormaltokenusage.toml",
    "panther/aws-bedrockmodelinvocation-guardrailintervened.toml",
    "tap/access-denied.toml",
    "tap/bedrock-api-key-created.toml",
    "tap/cost-spike.toml",
    "tap/cost-total.toml",
    "tap/cross-region-inference-abuse.toml",
    "tap/denied-models.toml",
    "tap/excessive-output.toml",
    "tap/first-model-of-identity.toml",
    "tap/first-region-of-identity.toml",
    "tap/guardrail-changed.toml",
    "tap/guardrail-intervened.toml",
    "tap/iam-user-credentials.toml",
    "tap/knowledge-base-deleted.toml",
    "tap/latency-anomaly.toml",
    "tap/logging-turned-off.toml",
    "tap/long-term-key.toml",
    "tap/model-access-requested.toml",
    "tap/model-errors.toml",
    "tap/model-reconnaissance.toml",
    "tap/oversized-request.toml",
    "tap/resource-exhaustion.toml",
    "tap/slow-generation.toml",
    "tap/throttling-storm.toml",
    "tap/token-abuse.toml",
    "tap/token-volume.toml",
    "tap/unusually-large-answer.toml",
    "tap/unusually-large-prompt-in-account.toml",
    "tap/unusually-large-prompt.toml",
    "tap/validation-probing.toml",
];
