//! Leases.

// The emulator stands behind the fault layer, whose server is a dependency of the feature.
#[cfg(feature = "demo")]
mod dynamodb;
