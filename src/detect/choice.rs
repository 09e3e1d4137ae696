//! A choice: patterns that say which rules are on, by id, tag and severity.

use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

use super::rule::{Rule, Severity};

/// Which rules are on: the patterns are taken one after the other, and each adds rules or, with a leading `!`, takes some
/// away. Where the first one takes away, it takes from all.
///
/// - `tap.guardrail-*`: a glob over ids; case never matters. What fits no whole id may fit what stands behind a dot in
///   one: `guardrail-intervened`, `AbnormalTokenUsage`.
/// - `tag:NAME`: rules with a tag; a glob, too.
/// - `severity:LEVEL`: rules whose findings can be that bad, or worse.
/// - `all`: every rule.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    takes_away: bool,
    of: Of,
}

#[derive(Clone, Debug)]
enum Of {
    All,
    Id { matcher: GlobMatcher, is_glob: bool },
    Tag(GlobMatcher),
    Severity(Severity),
}

/// A pattern that is not valid, or that fits no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
pub struct ChoiceError {
    /// Which pattern, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// What patterns look like, for messages.
const SHAPES: &str =
    "an id such as `tap.guardrail-intervened`, a glob such as `tap.*`, `tag:NAME`, `severity:LEVEL` or `all`";

impl Choice {
    /// Reads patterns.
    ///
    /// # Errors
    /// The first one that is not valid.
    pub fn parse(patterns: &[String]) -> Result<Self, ChoiceError> {
        let patterns = patterns
            .iter()
            .enumerate()
            .map(|(index, text)| Pattern::parse(text).map_err(|(message, hint)| ChoiceError { index, message, hint }));
        Ok(Self { patterns: patterns.collect::<Result<_, _>>()? })
    }

    /// The patterns of a list with commas between them; those in braces belong to a glob.
    pub fn split(list: &str) -> Vec<String> {
        let (mut patterns, mut depth) = (vec![String::new()], 0_usize);
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            match patterns.last_mut() {
                Some(last) if c != ',' || depth > 0 => last.push(c),
                _ => patterns.push(String::new()),
            }
        }
        patterns.iter().map(|pattern| pattern.trim().to_owned()).collect()
    }

    /// Every rule.
    pub fn all() -> Self {
        Self { patterns: vec![Pattern { text: "all".to_owned(), takes_away: false, of: Of::All }] }
    }

    /// The rules that are on, in their order.
    pub fn choose(&self, rules: &[Arc<Rule>]) -> Vec<Arc<Rule>> {
        let takes_from_all = self.patterns.first().is_some_and(|first| first.takes_away);
        let mut is_on = vec![takes_from_all; rules.len()];
        for pattern in &self.patterns {
            for index in pattern.fits(rules) {
                is_on[index] = !pattern.takes_away;
            }
        }
        rules.iter().zip(is_on).filter_map(|(rule, is_on)| is_on.then(|| Arc::clone(rule))).collect()
    }

    /// Patterns that fit no rule, and bare names that fit several: whoever wrote them meant something else.
    pub fn faults(&self, rules: &[Arc<Rule>]) -> Vec<ChoiceError> {
        let faults = self.patterns.iter().enumerate().filter_map(|(index, pattern)| {
            let (message, hint) = pattern.fault(rules)?;
            Some(ChoiceError { index, message, hint })
        });
        faults.collect()
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, (String, Option<String>)> {
        let (takes_away, what) = match text.trim().strip_prefix('!') {
            Some(what) => (true, what.trim_start()),
            None => (false, text.trim()),
        };
        let refuse =
            |message: String| (message, Some(format!("a pattern is {SHAPES}, with a leading `!` to take away")));
        let glob = |text: &str| {
            let glob = GlobBuilder::new(text).case_insensitive(true).literal_separator(false).build();
            glob.map(|glob| glob.compile_matcher())
                .map_err(|error| refuse(format!("the pattern `{text}` is not valid: {}", error.kind())))
        };
        let of = match what.split_once(':') {
            _ if what.is_empty() => return Err(refuse("the pattern is empty".to_owned())),
            _ if what.eq_ignore_ascii_case("all") => Of::All,
            Some((kind, tag)) if kind.eq_ignore_ascii_case("tag") => Of::Tag(glob(tag.trim())?),
            Some((kind, level)) if kind.eq_ignore_ascii_case("severity") => Of::Severity(severity(level.trim())?),
            Some((kind, _)) => return Err(refuse(format!("`{kind}:` is no kind of pattern"))),
            None => Of::Id { matcher: glob(what)?, is_glob: what.contains(['*', '?', '[', '{']) },
        };
        Ok(Self { text: what.to_owned(), takes_away, of })
    }

    /// The indices of the rules that it fits.
    fn fits(&self, rules: &[Arc<Rule>]) -> Vec<usize> {
        let those = |fits: &dyn Fn(&Rule) -> bool| -> Vec<usize> {
            rules.iter().enumerate().filter(|(_, rule)| fits(rule)).map(|(index, _)| index).collect()
        };
        match &self.of {
            Of::All => those(&|_| true),
            Of::Tag(matcher) => those(&|rule| rule.tags.iter().any(|tag| matcher.is_match(tag))),
            Of::Severity(level) => those(&|rule| worst(rule) >= *level),
            Of::Id { matcher, .. } => {
                let whole = those(&|rule| matcher.is_match(&rule.id));
                if whole.is_empty() { those(&|rule| ends(&rule.id).any(|end| matcher.is_match(end))) } else { whole }
            }
        }
    }

    fn fault(&self, rules: &[Arc<Rule>]) -> Option<(String, Option<String>)> {
        let fits = self.fits(rules);
        let text = &self.text;
        if let (Of::Id { is_glob: false, .. }, [_, _, ..]) = (&self.of, fits.as_slice()) {
            let ids: Vec<_> = fits.iter().map(|index| format!("`{}`", rules[*index].id)).collect();
            return Some((
                format!("`{text}` is the name of several rules"),
                Some(format!("write {}", ids.join(" or "))),
            ));
        }
        if !fits.is_empty() {
            return None;
        }
        let near = match &self.of {
            Of::Id { .. } => nearest(text, rules.iter().flat_map(|rule| ends(&rule.id).chain([rule.id.as_str()]))),
            Of::Tag(_) => nearest(text, rules.iter().flat_map(|rule| rule.tags.iter().map(String::as_str))),
            Of::All | Of::Severity(_) => None,
        };
        let tag = if matches!(self.of, Of::Tag(_)) { "tag:" } else { "" };
        let hint = match near {
            Some(near) => format!("did you mean `{tag}{near}`?"),
            None => "`bedrock-tap rules list` shows all there are".to_owned(),
        };
        Some((format!("no rule fits `{text}`"), Some(hint)))
    }
}

/// The worst that a finding of the rule can be.
fn worst(rule: &Rule) -> Severity {
    rule.matching.severities.iter().map(|(_, severity)| *severity).fold(rule.severity, Ord::max)
}

/// What stands behind each dot of an id.
fn ends(id: &str) -> impl Iterator<Item = &str> {
    id.match_indices('.').map(|(at, _)| &id[at + 1..])
}

fn severity(text: &str) -> Result<Severity, (String, Option<String>)> {
    use clap::ValueEnum as _;
    Severity::from_str(text, true).map_err(|_| {
        let levels: Vec<_> = Severity::value_variants().iter().map(|level| level.as_str()).collect();
        let near = nearest(text, levels.iter().copied()).map(|near| format!("did you mean `severity:{near}`?"));
        let hint = near.unwrap_or_else(|| format!("levels are {}", levels.join(", ")));
        (format!("`{text}` is no severity"), Some(hint))
    })
}

/// The longest name that is compared with others: the cost grows with the square of it.
const MAX_COMPARED: usize = 128;

/// The name that was most likely meant: at most a third of its letters differ, case aside.
pub(crate) fn nearest<'n>(name: &str, candidates: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let name = name.strip_prefix("tag:").unwrap_or(name).to_ascii_lowercase();
    if name.len() > MAX_COMPARED {
        return None;
    }
    let distance = |other: &str| strsim::damerau_levenshtein(&name, &other.to_ascii_lowercase());
    let (distance, nearest) = candidates.map(|other| (distance(other), other)).min_by_key(|(distance, _)| *distance)?;
    (distance <= (nearest.chars().count() / 3).max(1)).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RuleFile;

    fn rules() -> Vec<Arc<Rule>> {
        let rule = |id: &str, severity: &str, tags: &str, more: &str| {
            let text = format!(
                "id = '{id}'\nname = 'n'\ndescription = 'd'\nseverity = '{severity}'\ntags = [{tags}]\n\
                 match = 'true'\ntitle = 't'\n{more}"
            );
            RuleFile::parse(&text, "t.toml").unwrap_or_else(|error| panic!("{error}")).1
        };
        let worse = "severities = [{ when = 'true', severity = 'critical' }]";
        vec![
            rule("panther.AWS.Bedrock.TokenUsage", "info", "'AWS', 'Resource Hijacking'", ""),
            rule("tap.guardrail-intervened", "medium", "'Guardrail'", ""),
            rule("tap.night-shift", "low", "", worse),
            rule("acme.night-shift", "high", "'Acme'", ""),
        ]
    }

    #[track_caller]
    fn check(patterns: &[&str], chosen: &[usize], faults: &[&str]) {
        let rules = rules();
        let patterns: Vec<_> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let choice = match Choice::parse(&patterns) {
            Ok(choice) => choice,
            Err(error) => return assert_eq!([error.to_string().as_str()], faults),
        };
        let ids: Vec<_> = choice.choose(&rules).iter().map(|rule| rule.id.clone()).collect();
        let expected: Vec<_> = chosen.iter().map(|index| rules[*index].id.clone()).collect();
        assert_eq!(ids, expected, "{patterns:?}");
        let found: Vec<_> = choice.faults(&rules).iter().map(ToString::to_string).collect();
        assert_eq!(found, faults, "{patterns:?}");
    }

    #[test]
    fn patterns_add_and_take_away() {
        check(&[], &[], &[]);
        check(&["all"], &[0, 1, 2, 3], &[]);
        check(&["tap.*"], &[1, 2], &[]);
        check(&["TAP.*", "!tap.guardrail*"], &[2], &[]);
        check(&["!tap.*"], &[0, 3], &[]);
        check(&["! tap.*", "tap.night-shift"], &[0, 2, 3], &[]);
        check(&["panther.*", "severity:High"], &[0, 2, 3], &[]);
        check(&["severity:info"], &[0, 1, 2, 3], &[]);
        check(&["tag:resource hijacking", "tag:A*"], &[0, 3], &[]);
    }

    #[test]
    fn lists_are_split_at_commas() {
        let check = |list: &str, patterns: &[&str]| assert_eq!(Choice::split(list), patterns, "{list}");
        check("all", &["all"]);
        check("tap.*, !tap.{a,b}*,tag:x", &["tap.*", "!tap.{a,b}*", "tag:x"]);
        check("a,,b}", &["a", "", "b}"]);
    }

    #[test]
    fn names_without_their_prefix_do() {
        check(&["guardrail-intervened"], &[1], &[]);
        check(&["TokenUsage"], &[0], &[]);
        check(&["aws.bedrock.tokenusage"], &[0], &[]);
        check(&["guardrail-*"], &[1], &[]);
        check(&["night-*"], &[2, 3], &[]);
        let several = "`night-shift` is the name of several rules; write `tap.night-shift` or `acme.night-shift`";
        check(&["night-shift"], &[2, 3], &[several]);
    }

    #[test]
    fn what_fits_no_rule_is_told_with_what_was_meant() {
        let check = |pattern: &str, fault: &str| check(&[pattern], &[], &[fault]);
        check(
            "tap.guardrail-intervned",
            "no rule fits `tap.guardrail-intervned`; did you mean `tap.guardrail-intervened`?",
        );
        check("guardrail-intervned", "no rule fits `guardrail-intervned`; did you mean `guardrail-intervened`?");
        check("tag:Gardrail", "no rule fits `tag:Gardrail`; did you mean `tag:Guardrail`?");
        check("nothing.*", "no rule fits `nothing.*`; `bedrock-tap rules list` shows all there are");
        check("severity:hihg", "`hihg` is no severity; did you mean `severity:high`?");
        check("severity:9", "`9` is no severity; levels are info, low, medium, high, critical");
        let shapes = format!("; a pattern is {SHAPES}, with a leading `!` to take away");
        check(" ! ", &format!("the pattern is empty{shapes}"));
        check("level:high", &format!("`level:` is no kind of pattern{shapes}"));
        check("tap.[", &format!("the pattern `tap.[` is not valid: unclosed character class; missing ']'{shapes}"));
    }
}
