//! file source
