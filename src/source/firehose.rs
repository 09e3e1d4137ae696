//! An endpoint that Amazon Data Firehose delivers to by HTTP.
