//! The rules that come with the program: their files, compiled in.

/// Name and text of each file.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$((concat!("config/rules/", $name), include_str!(concat!("../../../config/rules/", $name)))),*]
    };
}

/// All files, in the order of their names.
pub(super) const FILES: &[(&str, &str)] = files!["panther/abnormal-token-usage.toml", "tap/guardrail-intervened.toml",];
