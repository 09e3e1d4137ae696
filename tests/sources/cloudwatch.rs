//! Log groups, read by FilterLogEvents: windows, polling, and the process on a double and on moto.

mod polling;
#[cfg(feature = "demo")]
mod process;
mod windows;
