//! The subject of an alert: which account, Region, caller and model it is about, as far as its group and its context say.
//! Rules name what they are grouped by as they like, so a value counts for what it looks like under a name that fits.

use super::Alert;
use crate::detect::template::UNKNOWN;

/// Whom and what an alert is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject<'a> {
    /// Twelve digits.
    pub(super) account: Option<&'a str>,
    /// Such as `us-east-1`.
    pub(super) region: Option<&'a str>,
    /// An ARN of IAM or STS.
    pub(super) caller: Option<&'a str>,
    /// The model's id or ARN.
    pub(super) model: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// What the alert says; its group comes first.
    pub(super) fn of(alert: &'a Alert) -> Self {
        let mut subject = Self::default();
        for (name, value) in alert.group.iter().chain(&alert.context) {
            let name = name.to_ascii_lowercase();
            let says = |word: &str| name.contains(word);
            if says("account") && is_account(value) {
                subject.account.get_or_insert(value);
            } else if says("region") && !says("inference") && is_region(value) {
                subject.region.get_or_insert(value);
            } else if is_caller(value) {
                subject.caller.get_or_insert(value);
            } else if says("model") && is_name(value) {
                subject.model.get_or_insert(value);
            }
        }
        let of_caller = subject.caller.and_then(|arn| arn.split(':').nth(4)).filter(|account| is_account(account));
        Self { account: subject.account.or(of_caller), ..subject }
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_region(text: &str) -> bool {
    text.len() <= 32
        && text.split('-').count() >= 3
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_caller(text: &str) -> bool {
    let mut parts = text.split(':');
    let (scheme, service) = (parts.next(), parts.nth(1));
    scheme == Some("arn") && matches!(service, Some("iam" | "sts")) && is_name(text)
}

/// One printable word, and not what stands for something unknown.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic()) && text != UNKNOWN
}
