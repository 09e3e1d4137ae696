//! Functions: what expressions can call, and the names of types.

/// A function of CEL, with how it is written.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// Arguments of `f(a)`, if it is called so.
    pub(super) global: Option<usize>,
    /// Arguments of `a.f(b)`, if it is called so.
    pub(super) member: Option<usize>,
    pub(super) usage: &'static str,
}

const fn global(name: &'static str, usage: &'static str) -> Function {
    Function { name, global: Some(1), member: None, usage }
}

const fn member(name: &'static str, arguments: usize, usage: &'static str) -> Function {
    Function { name, global: None, member: Some(arguments), usage }
}

/// The functions that there are.
pub(super) const FUNCTIONS: &[Function] = &[
    Function { global: Some(1), ..member("size", 0, "size(x)") },
    member("contains", 1, "text.contains(part)"),
    member("startsWith", 1, "text.startsWith(part)"),
    member("endsWith", 1, "text.endsWith(part)"),
    Function { global: Some(2), ..member("matches", 1, "text.matches('regex')") },
    member("split", 1, "text.split(',')"),
    global("int", "int(x)"),
    global("uint", "uint(x)"),
    global("double", "double(x)"),
    global("string", "string(x)"),
    global("bool", "bool(x)"),
    global("bytes", "bytes(x)"),
    global("type", "type(x)"),
    member("orValue", 1, "view.?member.orValue(x)"),
    member("or", 1, "view.?member.or(view.?other)"),
    member("hasValue", 0, "view.?member.hasValue()"),
    member("value", 0, "view.?member.value()"),
];

/// What looks like a function and is expanded by the parser.
pub(super) const MACROS: &[(&str, &str)] = &[
    ("has", "has(view.member)"),
    ("all", "list.all(x, …)"),
    ("exists", "list.exists(x, …)"),
    ("exists_one", "list.exists_one(x, …)"),
    ("filter", "list.filter(x, …)"),
    ("map", "list.map(x, …)"),
];

/// Names of types, for `type(x) == string`.
pub(super) const TYPES: &[&str] =
    &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];
