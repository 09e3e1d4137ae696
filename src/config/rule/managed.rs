//! The rules that come with the program: their files, compiled in.

/// Name and text of each file.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$((concat!("config/rules/", $name), include_str!(concat!("../../../config/rules/", $name)))),*]
    };
}

/// All files, in the order of their names.
pub(super) const FILES: &[(&str, &str)] = files![
    "panther/abnormal-token-usage.toml",
    "tap/guardrail-automated-reasoning.toml",
    "tap/guardrail-content.toml",
    "tap/guardrail-contextual-grounding.toml",
    "tap/guardrail-high-confidence.toml",
    "tap/guardrail-intervened.toml",
    "tap/guardrail-repeated.toml",
    "tap/guardrail-sensitive-information.toml",
    "tap/guardrail-several-policies.toml",
    "tap/guardrail-topic.toml",
    "tap/guardrail-word.toml",
    "tap/high-risk-tool.toml",
    "tap/hostile-prompt.toml",
    "tap/indirect-prompt-injection.toml",
    "tap/jailbreak.toml",
    "tap/no-guardrail.toml",
    "tap/prompt-injection-repeated.toml",
    "tap/prompt-injection.toml",
    "tap/refusals.toml",
    "tap/secrets-in-answer.toml",
    "tap/secrets-in-prompt.toml",
    "tap/sensitive-data.toml",
    "tap/shell-in-prompt.toml",
];
