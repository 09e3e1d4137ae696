//! Who asks: identity, the service's time, and what IAM says of rights. Source: the STS API reference,
//! `GetCallerIdentity`; the IAM API reference, `SimulatePrincipalPolicy` and `GetRole`.

use jiff::{SignedDuration, Timestamp};

use super::Reach;
use crate::aws::signed::{Call, Service, element, elements};
use crate::doctor::facts::{Asked, Caller, Identity, Refusal, Refused};

const STS_VERSION: &str = "2011-06-15";
const IAM_VERSION: &str = "2010-05-08";

/// Asks who asks. Every answer tells the time, a refusal too.
pub(super) async fn caller(reach: &Reach) -> Caller {
    let action = "sts:GetCallerIdentity";
    let call = Call::query(Service::Sts, STS_VERSION, "GetCallerIdentity", &[]);
    let asked = tokio::time::timeout(reach.limit, reach.signed.call(&call)).await;
    let now = Timestamp::now();
    let ahead = |date: Option<Timestamp>| date.map(|date: Timestamp| now.duration_since(date));
    match asked {
        Err(_) => Caller { role: None, identity: Err(Refusal::late(action, reach.limit)), ahead: None },
        Ok(Err(error)) => Caller { role: None, ahead: ahead(error.date), identity: Err(error.into()) },
        Ok(Ok(answer)) => {
            let text = String::from_utf8_lossy(&answer.body);
            let identity = element(&text, "Arn").zip(element(&text, "Account"));
            let identity = identity.map(|(arn, account)| Identity { arn, account });
            Caller {
                role: None,
                identity: identity.ok_or_else(|| Refusal::unreadable(action)),
                ahead: ahead(answer.date),
            }
        }
    }
}

/// How far a clock may be off without a word: the way of an answer, and whole seconds.
pub(in crate::doctor) const UNSURE: SignedDuration = SignedDuration::from_secs(5);

/// Who has the policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::doctor) enum Principal {
    /// The account's root user, who may do everything.
    Root,
    /// A user, by its ARN.
    User(String),
    /// A role, by its name: the ARN of a session leaves out the path.
    Role(String),
    /// What has no policies of its own to simulate.
    Other,
}

impl Principal {
    /// Reads the ARN of an identity.
    pub(in crate::doctor) fn of(arn: &str) -> Self {
        let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
        match resource.split_once('/') {
            None if resource == "root" => Self::Root,
            Some(("user", _)) => Self::User(arn.to_owned()),
            Some(("role", name)) => Self::Role(name.rsplit('/').next().unwrap_or(name).to_owned()),
            Some(("assumed-role", rest)) => Self::Role(rest.split('/').next().unwrap_or(rest).to_owned()),
            _ => Self::Other,
        }
    }
}

/// The ARN of a role; none if there is no such role.
pub(super) async fn role_arn(reach: &Reach, name: &str) -> Asked<Option<String>> {
    let parameters = [("RoleName".to_owned(), name.to_owned())];
    let call = Call::query(Service::Iam, IAM_VERSION, "GetRole", &parameters);
    match reach.signed(&call).await {
        Ok(answer) => {
            let arn = element(&String::from_utf8_lossy(&answer.body), "Arn");
            arn.map(Some).ok_or_else(|| Refusal::unreadable("iam:GetRole"))
        }
        Err(refusal) if refusal.refused == Refused::Missing => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// Asks IAM whether the policies of a user or role allow each of the actions on a resource: the allowed ones.
pub(super) async fn simulate(
    reach: &Reach,
    principal: &str,
    actions: &[String],
    resource: &str,
    via: Option<&str>,
) -> Asked<Vec<String>> {
    let mut parameters = vec![
        ("PolicySourceArn".to_owned(), principal.to_owned()),
        ("ResourceArns.member.1".to_owned(), resource.to_owned()),
    ];
    for (index, action) in actions.iter().enumerate() {
        parameters.push((format!("ActionNames.member.{}", index + 1), action.clone()));
    }
    if let Some(via) = via {
        // Policies of keys and grants are narrowed to the service that asks in the caller's name.
        let entry = |name: &str, value: &str| (format!("ContextEntries.member.1.{name}"), value.to_owned());
        parameters.push(entry("ContextKeyName", "kms:ViaService"));
        parameters.push(entry("ContextKeyType", "string"));
        parameters.push(entry("ContextKeyValues.member.1", via));
    }
    let call = Call::query(Service::Iam, IAM_VERSION, "SimulatePrincipalPolicy", &parameters);
    let answer = reach.signed(&call).await?;
    let allowed = decisions(&String::from_utf8_lossy(&answer.body));
    let told = |action: &String| allowed.iter().any(|(told, _)| told == action);
    if !actions.iter().all(told) {
        return Err(Refusal::unreadable("iam:SimulatePrincipalPolicy"));
    }
    Ok(allowed.into_iter().filter(|(_, is_allowed)| *is_allowed).map(|(action, _)| action).collect())
}

/// What the answer says of each action. Elements of a result are told apart by its own decision, which stands beside the
/// action's name; one for each resource may stand inside.
fn decisions(xml: &str) -> Vec<(String, bool)> {
    let names = elements(xml, "EvalActionName").map(str::to_owned);
    let decisions = elements(xml, "EvalDecision").map(|decision| decision == "allowed");
    names.zip(decisions).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_tells_who_has_the_policies() {
        let check = |arn: &str, expected: Principal| assert_eq!(Principal::of(arn), expected, "{arn}");
        check("arn:aws:iam::123456789012:root", Principal::Root);
        check("arn:aws:iam::123456789012:user/a/b", Principal::User("arn:aws:iam::123456789012:user/a/b".into()));
        check("arn:aws:sts::123456789012:assumed-role/tap/i-1", Principal::Role("tap".into()));
        check("arn:aws:iam::123456789012:role/service/tap", Principal::Role("tap".into()));
        check("arn:aws:sts::123456789012:federated-user/a", Principal::Other);
        check("nothing", Principal::Other);
    }

    #[test]
    fn decisions_are_read() {
        let of = |action: &str, decision: &str| {
            format!("<member><EvalDecision>{decision}</EvalDecision><EvalActionName>{action}</EvalActionName></member>")
        };
        let xml = of("a:B", "allowed") + &of("a:C", "implicitDeny") + &of("a:D", "explicitDeny");
        let expected = [("a:B", true), ("a:C", false), ("a:D", false)].map(|(name, is)| (name.to_owned(), is));
        assert_eq!(decisions(&xml), expected);
        assert_eq!(decisions("<a>"), []);
    }
}
