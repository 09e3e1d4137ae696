//! Just enough JSON, fast.

use std::borrow::Cow;

/// Resolves the escapes of a JSON string's content.
pub fn unescape(content: &str) -> Cow<'_, str> {
    Cow::Borrowed(content)
}
