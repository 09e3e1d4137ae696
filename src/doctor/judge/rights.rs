//! Rights: one check for each action.

use super::{failed, not_known, ok, skipped};
use crate::doctor::Check;
use crate::doctor::facts::{Decision, Facts};

pub(super) fn judge(facts: &Facts, checks: &mut Vec<Check>) {
    // What does not tell does not tell of many; what to do about it is said once.
    let mut said: Vec<&str> = Vec::new();
    for right in &facts.rights {
        let id = format!("permission.{}", right.action);
        let (on, words) = (&right.resource, right.words);
        checks.push(match &right.decision {
            Decision::Tried => ok(&id, on, format!("works ({words})")),
            Decision::Simulated => ok(&id, on, format!("is allowed by policy ({words})")),
            Decision::Denied => failed(&id, on, format!("is denied ({words})")).fix(format!("grant it on {on}")),
            Decision::Unknown(why) => {
                let untold = format!("neither policies nor a read tell ({words})");
                if said.contains(&why.as_str()) {
                    not_known(&id, on, untold)
                } else {
                    said.push(why);
                    not_known(&id, on, format!("{untold}: {why}"))
                        .fix("read the policies, or ask as somebody who may call iam:SimulatePrincipalPolicy")
                }
            }
            Decision::OfSomeKey => {
                skipped(&id, words, format!("is needed only where a key of your own encrypts ({words})"))
            }
        });
    }
}
