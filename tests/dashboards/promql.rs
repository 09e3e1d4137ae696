//! Queries of Prometheus: what they name, and which labels their result has.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorSelector};

/// The labels of each series.
type Series = BTreeMap<String, BTreeSet<String>>;

/// Values that these labels have, where they are few.
const VALUES: &[(&str, &[&str])] = &[
    ("result", &["ok", "throttled", "denied", "invalid", "failed", "applied", "refused"]),
    ("stage", &["decode", "extract", "parse", "deliver", "read", "encoded"]),
    ("kind", &["data", "control", "input", "output", "cache_read", "cache_write"]),
    (
        "state",
        &["fetched", "not_allowed", "bad_key", "missing", "denied", "too_large", "not_json", "timeout", "failed"],
    ),
];

/// A query that can be read.
#[derive(Debug)]
pub(super) struct Query(Expr);

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        parser::parse(text).map(Self)
    }

    pub(super) fn expr(&self) -> &Expr {
        &self.0
    }

    /// The names of all series in it.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        walk(&self.0, &mut |expr| {
            if let Some(selector) = selector(expr) {
                names.extend(selector.name.clone());
            }
        });
        names
    }

    /// Finds series and labels that there are not.
    pub(super) fn check(&self, series: &Series) -> Result<(), String> {
        let mut problems = Vec::new();
        walk(&self.0, &mut |expr| problems.extend(problem(expr, series)));
        if problems.is_empty() { Ok(()) } else { Err(problems.join(", ")) }
    }
}

fn selector(expr: &Expr) -> Option<&VectorSelector> {
    match expr {
        Expr::VectorSelector(selector) => Some(selector),
        Expr::MatrixSelector(matrix) => Some(&matrix.vs),
        _ => None,
    }
}

/// All parts of an expression.
fn walk(expr: &Expr, visit: &mut impl FnMut(&Expr)) {
    visit(expr);
    children(expr).into_iter().for_each(|child| walk(child, visit));
}

fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Aggregate(AggregateExpr { expr, param, .. }) => {
            param.as_deref().into_iter().chain([expr.as_ref()]).collect()
        }
        Expr::Unary(unary) => vec![&unary.expr],
        Expr::Binary(binary) => vec![&binary.lhs, &binary.rhs],
        Expr::Paren(paren) => vec![&paren.expr],
        Expr::Subquery(subquery) => vec![&subquery.expr],
        Expr::Call(call) => call.args.args.iter().map(AsRef::as_ref).collect(),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::VectorSelector(_) | Expr::MatrixSelector(_) => vec![],
        Expr::Extension(_) => panic!("an extension"),
    }
}

fn problem(expr: &Expr, series: &Series) -> Option<String> {
    let lacks =
        |labels: &BTreeSet<String>, names: &[String]| names.iter().find(|name| !labels.contains(*name)).cloned();
    if let Some(selector) = selector(expr) {
        let name = selector.name.as_ref()?;
        let Some(labels) = series.get(name) else { return Some(format!("there is no {name}")) };
        let matchers = &selector.matchers.matchers;
        let matched: Vec<_> = matchers.iter().map(|matcher| matcher.name.clone()).collect();
        return lacks(labels, &matched)
            .map(|label| format!("{name} has no label {label}"))
            .or_else(|| matchers.iter().find_map(strange_value));
    }
    match expr {
        Expr::Aggregate(aggregate) => {
            let Some(LabelModifier::Include(by)) = &aggregate.modifier else { return None };
            let labels = labels_of(&aggregate.expr, series).unwrap_or_default();
            lacks(&labels, &by.labels).map(|label| format!("what is aggregated has no label {label}"))
        }
        Expr::Binary(BinaryExpr { lhs, rhs, modifier: Some(modifier), .. }) => {
            let matching = modifier.matching.as_ref()?;
            let sides = [lhs, rhs].map(|side| labels_of(side, series).unwrap_or_default());
            let lacking = sides.iter().find_map(|labels| lacks(labels, &matching.labels().labels));
            lacking.map(|label| format!("a side has no label {label}"))
        }
        Expr::Call(Call { func, args }) if func.name == "histogram_quantile" => {
            let buckets = labels_of(args.args.last()?, series).unwrap_or_default();
            (!buckets.contains("le")).then(|| "what quantiles are taken of has no label le".to_owned())
        }
        _ => None,
    }
}

/// Says of a matcher that it can match nothing, or everything.
fn strange_value(matcher: &Matcher) -> Option<String> {
    let (_, values) = VALUES.iter().find(|(name, _)| *name == matcher.name)?;
    let is_exact = matches!(matcher.op, MatchOp::Equal | MatchOp::NotEqual);
    let Matcher { name, value, .. } = matcher;
    (is_exact && !values.contains(&value.as_str())).then(|| format!("{name} is never {value}"))
}

/// The labels that an expression's result has; nothing for a number.
pub(super) fn labels_of(expr: &Expr, series: &Series) -> Option<BTreeSet<String>> {
    let of = |expr: &Expr| labels_of(expr, series);
    match expr {
        Expr::VectorSelector(_) | Expr::MatrixSelector(_) => {
            let name = selector(expr)?.name.as_ref()?;
            Some(series.get(name).cloned().unwrap_or_default())
        }
        Expr::Aggregate(aggregate) => {
            let below = of(&aggregate.expr).unwrap_or_default();
            Some(match &aggregate.modifier {
                Some(LabelModifier::Include(by)) => by.labels.iter().cloned().collect(),
                Some(LabelModifier::Exclude(without)) => {
                    below.into_iter().filter(|label| !without.labels.contains(label)).collect()
                }
                None => BTreeSet::new(),
            })
        }
        Expr::Unary(unary) => of(&unary.expr),
        Expr::Paren(paren) => of(&paren.expr),
        Expr::Subquery(subquery) => of(&subquery.expr),
        Expr::Binary(binary) => match (of(&binary.lhs), of(&binary.rhs)) {
            (Some(left), Some(right)) if binary.op.to_string() == "or" => Some(&left & &right),
            (left, right) => left.or(right),
        },
        Expr::Call(Call { func, args }) => match func.name {
            "absent" | "vector" => Some(BTreeSet::new()),
            "time" | "scalar" => None,
            "histogram_quantile" => {
                let mut labels = of(args.args.last()?)?;
                labels.remove("le");
                Some(labels)
            }
            _ => args.args.iter().find_map(|argument| of(argument)),
        },
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => None,
        Expr::Extension(_) => panic!("an extension"),
    }
}
