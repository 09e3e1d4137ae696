//! Identity and time.

use jiff::SignedDuration;

use super::{failed, needed, not_known, ok, warning};
use crate::doctor::Check;
use crate::doctor::ask::caller::UNSURE;
use crate::doctor::facts::{Caller, Facts, Refused};

/// A signature is refused beyond this. Source: the IAM User Guide, "Troubleshoot signed requests for AWS APIs".
const REFUSED_BEYOND: SignedDuration = SignedDuration::from_mins(5);

pub(super) fn judge(facts: &Facts, checks: &mut Vec<Check>) {
    for caller in &facts.callers {
        checks.push(identity(caller));
    }
    // One clock, whoever asks.
    if let Some(caller) = facts.callers.first() {
        let ahead = facts.callers.iter().find_map(|caller| caller.ahead).or(caller.ahead);
        checks.push(clock(ahead));
    }
}

fn identity(caller: &Caller) -> Check {
    let (id, target) = ("aws.identity", caller.role.as_deref().unwrap_or("own credentials"));
    match &caller.identity {
        Ok(identity) => ok(id, target, format!("{} of account {}", identity.arn, identity.account)),
        Err(refusal) if refusal.refused == Refused::Credentials => {
            failed(id, target, refusal.said()).fix(refusal.way_out())
        }
        Err(refusal) => needed(id, target, refusal),
    }
}

fn clock(ahead: Option<SignedDuration>) -> Check {
    let id = "aws.clock";
    let Some(ahead) = ahead else {
        return not_known(id, "", "no answer of AWS says what time it is");
    };
    let (seconds, way) = (ahead.abs().as_secs(), if ahead.is_negative() { "behind" } else { "ahead" });
    let what = format!("this host's clock is {seconds} s {way} of AWS'");
    let fix = "synchronize the clock (chrony, the Amazon Time Sync Service at 169.254.169.123)";
    if ahead.abs() >= REFUSED_BEYOND {
        failed(id, "", format!("{what}; AWS refuses signatures at 5 minutes")).fix(fix)
    } else if ahead.abs() >= UNSURE * 6 {
        warning(id, "", format!("{what}; AWS refuses signatures at 5 minutes")).fix(fix)
    } else {
        ok(id, "", "this host's clock agrees with AWS'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn a_clock_is_judged_by_what_it_breaks() {
        let check = |seconds: Option<i64>, expected: Status, part: &str| {
            let found = clock(seconds.map(SignedDuration::from_secs));
            assert_eq!(found.status, expected, "{found:?}");
            assert!(found.what.contains(part), "{found:?}");
        };
        check(Some(0), Status::Ok, "agrees");
        check(Some(-29), Status::Ok, "agrees");
        check(Some(30), Status::Warning, "30 s ahead");
        check(Some(-299), Status::Warning, "299 s behind");
        check(Some(300), Status::Failed, "300 s ahead");
        check(Some(-86_400), Status::Failed, "86400 s behind");
        check(None, Status::NotKnown, "no answer");
    }
}
