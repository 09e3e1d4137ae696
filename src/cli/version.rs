//! What `--version` says: the release, and the commit, features and compiler of which the build script knows.

/// The features that the program was built with, and the same behind a commit.
#[cfg(feature = "demo")]
macro_rules! features {
    () => {
        "demo"
    };
    (behind) => {
        ", demo"
    };
}

#[cfg(not(feature = "demo"))]
macro_rules! features {
    () => {
        "none"
    };
    (behind) => {
        ""
    };
}

/// One line, for `-V`: `0.1.0 (1a2b3c4d5, demo)`.
pub(super) const SHORT: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("BEDROCK_TAP_COMMIT"), features!(behind), ")");

/// The same, and what else there is to know of the build, for `--version`.
pub(super) const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("BEDROCK_TAP_COMMIT"),
    features!(behind),
    ")\nfeatures: ",
    features!(),
    "\ncompiler: ",
    env!("BEDROCK_TAP_RUSTC"),
    "\ntarget: ",
    env!("BEDROCK_TAP_TARGET"),
);
