//! The words that prompts and answers are made of, in rows rather than one a line.

/// Things.
#[rustfmt::skip]
pub(super) const NOUNS: &[&str] = &[
    "account", "adapter", "address", "agreement", "alarm", "allowance", "amount", "analysis", "archive", "area",
    "article", "assembly", "asset", "audit", "backlog", "balance", "barrier", "batch", "benchmark", "bin", "board",
    "boundary", "branch", "budget", "buffer", "building", "cable", "calendar", "campaign", "canal", "carrier",
    "catalogue", "category", "cell", "certificate", "channel", "chapter", "claim", "clause", "cluster", "coast",
    "column", "committee", "component", "condition", "contract", "copy", "counter", "courier", "crane", "credit",
    "customer", "cycle", "dashboard", "deadline", "decision", "delay", "delivery", "deposit", "depot", "device",
    "diagram", "discount", "district", "document", "draft", "engine", "entry", "equipment", "estimate", "event",
    "exception", "factory", "failure", "ferry", "field", "filter", "finding", "fleet", "forecast", "form", "freight",
    "garden", "gateway", "grid", "guideline", "handover", "harbour", "header", "hospital", "hypothesis", "incident",
    "index", "instrument", "interval", "inventory", "invoice", "journal", "junction", "kiln", "label", "laboratory",
    "ledger", "letter", "licence", "limit", "lock", "machine", "manifest", "margin", "market", "measure", "meeting",
    "meter", "method", "migration", "mirror", "model", "module", "motor", "network", "notice", "notification",
    "objective", "office", "operator", "orchard", "order", "outage", "package", "pallet", "panel", "paragraph",
    "parcel", "partition", "passage", "pattern", "payment", "permit", "pipeline", "platform", "policy", "population",
    "port", "portfolio", "premium", "printer", "procedure", "profile", "project", "proposal", "pump", "quarter",
    "queue", "quota", "quote", "railway", "range", "rate", "receipt", "record", "refund", "region", "register",
    "release", "repair", "replica", "report", "request", "reserve", "reservoir", "resolution", "response", "retailer",
    "risk", "route", "sample", "scale", "schedule", "schema", "season", "sensor", "sequence", "server", "shelf",
    "shipment", "shutter", "signal", "site", "snapshot", "statement", "station", "storage", "strategy", "subscriber",
    "subsidy", "supplier", "survey", "switch", "table", "tariff", "template", "tenant", "terminal", "threshold",
    "ticket", "timetable", "token", "tower", "tracker", "trailer", "transfer", "transmission", "trial", "tunnel",
    "turbine", "upgrade", "valve", "variable", "vendor", "vessel", "voucher", "warehouse", "warranty", "waybill",
    "weather", "window", "workflow", "workshop", "yard", "zone",
];

/// What things do to other things, in the third person.
#[rustfmt::skip]
pub(super) const VERBS: &[&str] = &[
    "absorbs", "accepts", "adjusts", "affects", "allocates", "amends", "approves", "archives", "assigns", "blocks",
    "bypasses", "calculates", "cancels", "checks", "clarifies", "closes", "collects", "compares", "completes",
    "confirms", "consumes", "contains", "controls", "corrects", "covers", "creates", "delays", "delivers", "describes",
    "determines", "disables", "divides", "doubles", "drains", "duplicates", "escalates", "evaluates", "exceeds",
    "explains", "exports", "extends", "follows", "forwards", "generates", "handles", "highlights", "ignores",
    "improves", "includes", "increases", "indicates", "inspects", "interrupts", "isolates", "limits", "links", "lists",
    "loads", "maintains", "matches", "measures", "merges", "monitors", "moves", "needs", "notifies", "opens",
    "overrides", "postpones", "prevents", "processes", "produces", "protects", "publishes", "rebuilds", "receives",
    "reconciles", "reduces", "references", "refreshes", "rejects", "releases", "renews", "replaces", "represents",
    "requires", "resets", "resolves", "restores", "retries", "returns", "reviews", "rotates", "routes", "schedules",
    "separates", "shares", "shortens", "splits", "stores", "summarises", "supports", "suspends", "tests", "transfers",
    "triggers", "updates", "uses", "validates", "verifies", "weighs", "withholds",
];

/// How things are.
#[rustfmt::skip]
pub(super) const ADJECTIVES: &[&str] = &[
    "absent", "active", "actual", "additional", "adjacent", "annual", "approximate", "automatic", "available", "broad",
    "careful", "central", "cheap", "clear", "coastal", "cold", "complete", "conditional", "consistent", "constant",
    "critical", "current", "daily", "deep", "default", "delayed", "detailed", "digital", "direct", "distant", "double",
    "dry", "early", "empty", "exact", "expected", "expired", "external", "faulty", "final", "fixed", "flat", "foreign",
    "former", "fragile", "frequent", "full", "general", "gradual", "heavy", "hidden", "idle", "incomplete", "initial",
    "internal", "invalid", "large", "late", "legal", "light", "local", "long", "manual", "minimal", "missing",
    "mobile", "modest", "monthly", "narrow", "nightly", "northern", "obsolete", "open", "optional", "ordinary",
    "original", "outdated", "overdue", "partial", "pending", "permanent", "physical", "possible", "preferred",
    "previous", "primary", "private", "public", "quiet", "rapid", "recent", "redundant", "regional", "reliable",
    "remote", "required", "resilient", "safe", "seasonal", "secondary", "separate", "severe", "shallow", "shared",
    "short", "silent", "simple", "slow", "southern", "spare", "stable", "standard", "steep", "strict", "suitable",
    "temporary", "thin", "unusual", "urgent", "usual", "valid", "variable", "visible", "weekly", "wide",
];

/// How it happens.
#[rustfmt::skip]
pub(super) const ADVERBS: &[&str] = &[
    "again", "almost always", "at most twice", "at once", "automatically", "by design", "carefully", "early",
    "every night", "explicitly", "gradually", "immediately", "in most regions", "in practice", "in part", "later",
    "less often", "mostly", "nearby", "never", "on average", "only once", "partly", "quickly", "rarely", "reliably",
    "separately", "silently", "slowly", "sometimes", "twice", "under load", "usually", "without notice",
];

/// What joins a noun to another.
#[rustfmt::skip]
pub(super) const PREPOSITIONS: &[&str] = &[
    "about", "above", "across", "after", "against", "along", "among", "before", "behind", "below", "beside", "between",
    "beyond", "despite", "during", "for", "from", "inside", "near", "of", "outside", "over", "through", "towards",
    "under", "until", "with", "within", "without",
];

/// How a sentence goes on.
#[rustfmt::skip]
pub(super) const CONNECTIVES: &[&str] = &[
    "although", "and then", "as long as", "because", "but", "even if", "so that", "unless", "until", "whenever",
    "where", "whereas", "which means that", "while",
];

/// How a person asks.
#[rustfmt::skip]
pub(super) const REQUESTS: &[&str] = &[
    "Compare", "Check", "Describe", "Draft a reply about", "Estimate", "Explain", "Extract every date from",
    "Find the mistake in", "Give me three options for", "List the risks of", "Outline", "Plan", "Propose a name for",
    "Review", "Rewrite in plain language:", "Shorten", "Summarise", "Tabulate", "Translate into French:", "Verify",
];

/// How an assistant begins.
#[rustfmt::skip]
pub(super) const OPENINGS: &[&str] = &[
    "Here is what I found.", "In short:", "Certainly.", "There are two sides to this.", "Let me go through it.",
    "Based on the text you gave,", "Yes, with one exception.", "No: the figures do not support that.", "Sure!",
    "I looked at each item in turn.", "The answer depends on the season.", "Three things stand out.",
];

/// Words outside ASCII, as they turn up in real text.
#[rustfmt::skip]
pub(super) const FOREIGN: &[&str] = &[
    "naïve", "café", "Zürich", "São Paulo", "Gdańsk", "données", "façade", "Ærø", "Ελλάδα", "Київ", "東京", "在庫一覧", "서울",
    "القاهرة", "Größe", "à la carte", "5 °C", "±2 %", "12 €", "£40", "½", "→", "✅", "🚢", "“quoted”", "it’s", "…",
];
