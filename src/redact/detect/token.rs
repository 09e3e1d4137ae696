//! Tokens that show what they are: those of well-known services by what they begin with, JSON Web Tokens, and what
//! follows the scheme of an authorization header or stands in front of a URL's host.

use std::ops::Range;

use super::key::whole;
use super::{Detector, Find, Looked, Rule};

const fn token(trigger: &'static str, find: Find) -> Rule {
    Rule { detector: Detector::Token, trigger, find }
}

/// What the tokens of services begin with, and how they go on. Source: the services' documentation of their tokens.
const PREFIXED: &str = "(?x)(?:^|[^A-Za-z0-9])(?<value>
    gh[pousr]_[A-Za-z0-9]{20,} | github_pat_[A-Za-z0-9_]{20,}
  | gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|oas|soat|ffct)-[A-Za-z0-9_-]{20,}(?:\\.[A-Za-z0-9_-]+)*
  | GR1348941[A-Za-z0-9_-]{20,}
  | xox[a-z](?:\\.xox[a-z])?-[A-Za-z0-9-]{10,} | xapp-[0-9]-[A-Za-z0-9-]{10,}
  | hooks\\.slack\\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{10,}
  | (?:sk|rk)_(?:live|test)_[A-Za-z0-9]{10,} | whsec_[A-Za-z0-9+/=]{20,}
  | sk-[A-Za-z0-9_-]{20,}
  | AIza[A-Za-z0-9_-]{30,} | ya29\\.[A-Za-z0-9_-]{20,} | GOCSPX-[A-Za-z0-9_-]{20,}
  | npm_[A-Za-z0-9]{30,} | pypi-[A-Za-z0-9_-]{16,} | hf_[A-Za-z0-9]{30,}
  | SG\\.[A-Za-z0-9_-]{16,}\\.[A-Za-z0-9_-]{16,}
  | SK[0-9a-fA-F]{32}
  | dckr_(?:pat|oat)_[A-Za-z0-9_-]{20,} | do[opr]_v1_[0-9a-f]{40,} | dapi[0-9a-f]{32}(?:-[0-9])?
  | shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32} | hv[sbr]\\.[A-Za-z0-9_-]{20,} | gl(?:sa|c)_[A-Za-z0-9_+/=-]{20,}
  | gsk_[A-Za-z0-9]{30,} | xai-[A-Za-z0-9]{30,} | pplx-[A-Za-z0-9]{30,} | r8_[A-Za-z0-9]{30,}
  | lin_api_[A-Za-z0-9]{20,} | ATATT3[A-Za-z0-9_=-]{30,} | NRAK-[A-Z0-9]{20,}
  | rubygems_[0-9a-f]{40,} | sbp_[0-9a-f]{40} | secret_[A-Za-z0-9]{40,} | ntn_[A-Za-z0-9]{40,}
  | [0-9]{8,10}:AA[A-Za-z0-9_-]{33})";

/// The beginnings alone.
const PREFIXES: &str = "gh[pousr]_|github_pat_|gl[a-z]{1,5}-|GR1348941|xox[a-z]|xapp-|hooks\\.slack|[sr]k_(?:live|test)_|whsec_|sk-|AIza|ya29|\
    GOCSPX|npm_|pypi-|hf_|SG\\.|SK[0-9a-fA-F]{32}|dckr_|do[opr]_v1|dapi[0-9a-f]|shp(?:at|ca|pa|ss)_|hv[sbr]\\.|gl(?:sa|c)_|gsk_|\
    xai-|pplx-|r8_|lin_api_|ATATT3|NRAK-|rubygems_|sbp_|secret_[A-Za-z0-9]{40}|ntn_|[0-9]{8}:AA|[0-9]:AA";

pub(super) const RULES: &[Rule] = &[
    token(PREFIXES, Find::Regex(PREFIXED, prefixed)),
    // Three parts, the first of which is a JSON object in base64; five of them if it is encrypted, two without a signature.
    token(
        "eyJ[A-Za-z0-9_-]{6}",
        Find::Regex(
            r"eyJ[A-Za-z0-9_-]{6,}\.(?:eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]+)?|[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+){2,3})",
            |_, captures| Ok(whole(captures)),
        ),
    ),
    token(
        "(?i-u:authorization|bearer|basic)",
        Find::Regex(
            r#"(?i-u)(?:(?:authorization["'`]?\s*[:=]\s*["'`]?\s*(?:(?:bearer|basic|token|digest|apikey|negotiate)\s+)?)|(?:(?:\b|_)(?:bearer|basic)\s+))(?<value>[A-Za-z0-9._~+/=:-]+)"#,
            authorization,
        ),
    ),
    // Whoever has a signed URL needs nothing else.
    token(
        "(?i-u)[?&;](?:x-(?:amz|goog)-(?:signature|security-token)|sig(?:nature)?)=",
        Find::Regex(
            r#"(?i-u)[?&;](?:x-(?:amz|goog)-(?:signature|security-token)|sig(?:nature)?)=(?<value>[A-Za-z0-9%+/=._~-]{16,})"#,
            |_, captures| captures.name("value").map(|value| value.range()).ok_or(whole(captures).end),
        ),
    ),
    token(
        "://",
        Find::Regex(r#"://[^\s/?#:@"'<>\\]*:(?<value>[^\s/?#"'<>\\]+)@"#, |_, captures| {
            captures.name("value").map(|value| value.range()).ok_or(whole(captures).end)
        }),
    ),
];

/// Whether a text has digits, and capitals or small letters, as words do not.
pub(super) fn is_mixed(text: &str) -> bool {
    let digits = text.bytes().any(|byte| byte.is_ascii_digit());
    let capitals = text.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    let small = text.bytes().any(|byte| byte.is_ascii_lowercase());
    (digits && text.bytes().any(|byte| byte.is_ascii_alphabetic())) || (capitals && small)
}

fn prefixed(_: &Looked<'_>, captures: &regex::Captures<'_>) -> Result<Range<usize>, usize> {
    let end = whole(captures).end;
    // Names of classes and packages begin so too, but have neither digits nor capitals.
    let found = captures.name("value").filter(|found| is_mixed(found.as_str().get(3..).unwrap_or_default()));
    found.map(|found| found.range()).ok_or(end)
}

fn authorization(_: &Looked<'_>, captures: &regex::Captures<'_>) -> Result<Range<usize>, usize> {
    let whole = whole(captures);
    let Some(found) = captures.name("value") else { return Err(whole.end) };
    let header = captures.get(0).is_some_and(|found| found.as_str().as_bytes()[0].eq_ignore_ascii_case(&b'a'));
    let text = found.as_str();
    // "Basic understanding" and "bearer of good news" are no credentials.
    let scheme = ["bearer", "basic", "token", "digest", "apikey", "negotiate"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    let secret = if header { text.len() >= 6 && !scheme } else { text.len() >= 8 && is_mixed(text) };
    if secret { Ok(found.range()) } else { Err(found.start()) }
}
