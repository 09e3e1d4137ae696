//! Sources beside streams and files, against the services they read from, or doubles of them.

mod cloudwatch;
mod live;
mod positions;
