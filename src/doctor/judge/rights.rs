//! Rights: one check for each action.

use super::{failed, not_known, ok, skipped};
use crate::doctor::Check;
use crate::doctor::facts::{Decision, Facts};

pub(super) fn judge(facts: &Facts, checks: &mut Vec<Check>) {
    for right in &facts.rights {
        let id = format!("permission.{}", right.action);
        let (on, words) = (&right.resource, right.words);
        checks.push(match &right.decision {
            Decision::Tried => ok(&id, on, format!("works ({words})")),
            Decision::Simulated => ok(&id, on, format!("is allowed by policy ({words})")),
            Decision::Denied => failed(&id, on, format!("is denied ({words})")).fix(format!("grant it on {on}")),
            Decision::Unknown(why) => {
                let fix = "read the policies, or ask again as somebody who may call iam:SimulatePrincipalPolicy";
                not_known(&id, on, format!("neither policies nor a harmless read tell ({words}): {why}")).fix(fix)
            }
            Decision::OfSomeKey => skipped(
                &id,
                on,
                format!("is needed where a key of your own encrypts: which, nothing here says ({words})"),
            ),
        });
    }
}
