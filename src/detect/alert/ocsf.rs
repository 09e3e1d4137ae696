//! The OCSF format: an event of the class Detection Finding (2004) of OCSF 1.8.0, with the profile `cloud`.

use super::{Alert, AlertContext, bounded};
use crate::format::object::Object;

/// Appends an alert as one JSON object.
pub(super) fn encode(alert: &Alert, context: &AlertContext<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out, false);
    object.integer("class_uid", Some(2004));
    object.integer("time", Some(context.now.as_millisecond()));
    object.text("message", &bounded(&alert.title, 1000));
    object.end();
}
