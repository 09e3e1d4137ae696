//! Rights: whether each action that the configuration needs is allowed. IAM is asked what the policies say; where it may
//! not be asked, harmless reads are tried; where neither tells, it is said that it is not known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_kinesis::types::ShardIteratorType;

use super::caller::{Principal, role_arn, simulate};
use super::{Reach, Reaches, stream, table};
use crate::aws::Access;
use crate::aws::actions::{Condition, Use};
use crate::aws::signed::Partition;
use crate::config::{Config, Home, Need, in_use};
use crate::doctor::facts::{Asked, Caller, Decision, Facts, Refusal, Right};

/// Asks about all of them.
pub(super) async fn ask(
    config: &Arc<Config>,
    callers: &[(Access, Caller)],
    reaches: &mut Reaches,
    facts: &Facts,
) -> Vec<Right> {
    let home = home(callers, reaches).await;
    let tried = tried(config, reaches, facts).await;
    let mut principals: BTreeMap<usize, Result<String, Decision>> = BTreeMap::new();
    let mut rights = Vec::new();
    for need in in_use(config, &home) {
        let actions: Vec<String> = need.actions().map(|action| action.iam.to_owned()).collect();
        let actions: Vec<_> = actions.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let Ok(reach) = reaches.get(&need.access).await else { continue };
        let resources = resources(&need, facts);
        if resources.is_empty() {
            rights.extend(actions.into_iter().map(|action| right(&need, action, "a key", Decision::OfSomeKey)));
            continue;
        }
        // In the order in which they were opened, those without credentials left out of neither.
        let principal = match principals.get(&reach.origin) {
            Some(known) => known.clone(),
            None => {
                let found = principal(&reach, callers, &need.access).await;
                principals.insert(reach.origin, found.clone());
                found
            }
        };
        let via = need.usage.grant().condition.map(|condition| match condition {
            Condition::Via(service) => {
                let region = reach.region();
                format!("{service}.{region}.{}", Partition::of(region).suffix())
            }
        });
        for resource in &resources {
            let known = principals.get(&reach.origin).cloned().unwrap_or_else(|| principal.clone());
            let simulated = match known {
                Ok(principal) => {
                    simulate(&reach, &principal, &actions, resource, via.as_deref()).await.map_err(unknown)
                }
                Err(decision) => Err(decision),
            };
            if let Err(decision) = &simulated {
                // What is refused or not answered once is not asked for each resource.
                principals.insert(reach.origin, Err(decision.clone()));
            }
            for action in &actions {
                let decision = decide(&simulated, action, need.usage, tried.get(&(action.clone(), resource.clone())));
                rights.push(right(&need, action.clone(), resource, decision));
            }
        }
    }
    rights
}

fn right(need: &Need, action: String, resource: &str, decision: Decision) -> Right {
    Right { action, resource: resource.to_owned(), words: need.usage.grant().words, decision }
}

/// What the answers come to. What was tried is worth more than what policies say: a key's or a bucket's own policy, and
/// an organization's, decide as well.
fn decide(simulated: &Result<Vec<String>, Decision>, action: &str, usage: Use, tried: Option<&Asked<()>>) -> Decision {
    match tried {
        Some(Ok(())) => return Decision::Tried,
        Some(Err(refusal)) if refusal.is_denied() => return Decision::Denied,
        _ => {}
    }
    match simulated {
        Ok(allowed) if allowed.iter().any(|allowed| allowed == action) => Decision::Simulated,
        // A key's own policy may allow it all the same.
        Ok(_) if usage.is_of_key() => {
            Decision::Unknown("the caller's policies do not allow it; the key's own policy may".to_owned())
        }
        Ok(_) => Decision::Denied,
        Err(decision) => decision.clone(),
    }
}

fn unknown(refusal: Refusal) -> Decision {
    Decision::Unknown(refusal.said())
}

/// Whose policies are asked.
async fn principal(reach: &Reach, callers: &[(Access, Caller)], access: &Access) -> Result<String, Decision> {
    let shared = Access { endpoint_url: None, ..access.clone() };
    let caller = callers.iter().find(|(known, _)| *known == shared).map(|(_, caller)| caller.identity.clone());
    let identity = match caller {
        Some(identity) => identity.map_err(unknown)?,
        None => super::caller::caller(reach).await.identity.map_err(unknown)?,
    };
    match Principal::of(&identity.arn) {
        Principal::Root => Err(Decision::Simulated),
        Principal::User(arn) => Ok(arn),
        Principal::Role(name) => match role_arn(reach, &name).await {
            Ok(Some(arn)) => Ok(arn),
            // Roles without a path are named by the account and the name alone.
            Err(refusal) if refusal.is_denied() => {
                let partition = identity.arn.split(':').nth(1).unwrap_or("aws");
                Ok(format!("arn:{partition}:iam::{}:role/{name}", identity.account))
            }
            Ok(None) => Err(Decision::Unknown(format!("the role {name} is not found in the account"))),
            Err(refusal) => Err(unknown(refusal)),
        },
        Principal::Other => Err(Decision::Unknown("these credentials have no policies of their own to ask".to_owned())),
    }
}

/// The account and Region of the first credentials that are known.
async fn home(callers: &[(Access, Caller)], reaches: &mut Reaches) -> Home {
    let own = callers.iter().find(|(access, caller)| access.assume_role.is_none() && caller.identity.is_ok());
    let Some((access, caller)) = own.or(callers.first()) else { return Home::default() };
    let account = caller.identity.as_ref().ok().map(|identity| identity.account.clone());
    let region = reaches.get(access).await.ok().map(|reach| reach.region().to_owned());
    Home { account, region }
}

/// The resources of a need; of a key those that are known to be in use.
fn resources(need: &Need, facts: &Facts) -> Vec<String> {
    match need.usage {
        Use::StreamKey => {
            let found = facts.streams.iter().filter_map(|stream| stream.found.as_ref().ok()?.as_ref());
            let keys = found.filter_map(|found| found.key.clone());
            let keys = keys.filter(|key| key.starts_with("arn:") && !key.contains(":alias/aws/"));
            keys.collect::<BTreeSet<_>>().into_iter().collect()
        }
        usage if usage.is_of_key() => Vec::new(),
        _ => need.resources.clone(),
    }
}

/// What was tried, by action and resource.
type Tried = BTreeMap<(String, String), Asked<()>>;

/// Tries what only reads: a shard's iterator and one record, one row of a table.
async fn tried(config: &Config, reaches: &mut Reaches, facts: &Facts) -> Tried {
    let mut tried = Tried::new();
    let home = Home::default();
    for need in in_use(config, &home) {
        let Ok(reach) = reaches.get(&need.access).await else { continue };
        match need.usage {
            Use::Stream => {
                for arn in facts.streams.iter().filter_map(|stream| match &stream.found {
                    Ok(Some(found)) => Some(found.arn.clone()),
                    _ => None,
                }) {
                    // With several streams, each is tried with the credentials that it is read with.
                    if need.resources.iter().any(|named| is_same(named, &arn)) {
                        try_stream(&reach, &arn, &mut tried).await;
                    }
                }
            }
            Use::Leases => {
                for found in facts.tables.iter().filter_map(|table| table.found.as_ref().ok()?.as_ref()) {
                    if need.resources.iter().any(|named| is_same(named, &found.arn)) {
                        try_table(&reach, &found.arn, &mut tried).await;
                    }
                }
            }
            _ => {}
        }
    }
    tried
}

/// Whether two ARNs have the same resource; account and Region of the first may be unknown.
fn is_same(named: &str, arn: &str) -> bool {
    named.rsplit(':').next() == arn.rsplit(':').next()
}

async fn try_stream(reach: &Reach, arn: &str, tried: &mut Tried) {
    let client = stream::client(reach);
    let mut note = |action: &str, asked: Asked<()>| {
        tried.insert((action.to_owned(), arn.to_owned()), asked);
    };
    note("kinesis:DescribeStreamSummary", Ok(()));
    let action = "kinesis:ListShards";
    let asked = async {
        let answer = Box::pin(client.list_shards().stream_arn(arn).max_results(1).send()).await;
        answer.map_err(|error| Refusal::read(action, &error))
    };
    let shard = match reach.within(action, asked).await {
        Ok(answer) => {
            note(action, Ok(()));
            answer.shards.unwrap_or_default().into_iter().next().map(|shard| shard.shard_id)
        }
        Err(refusal) => return note(action, Err(refusal)),
    };
    let Some(shard) = shard else { return };
    let action = "kinesis:GetShardIterator";
    let asked = async {
        let call = client.get_shard_iterator().stream_arn(arn).shard_id(shard);
        let answer = Box::pin(call.shard_iterator_type(ShardIteratorType::Latest).send()).await;
        answer.map_err(|error| Refusal::read(action, &error))
    };
    let iterator = match reach.within(action, asked).await {
        Ok(answer) => {
            note(action, Ok(()));
            answer.shard_iterator
        }
        Err(refusal) => return note(action, Err(refusal)),
    };
    let Some(iterator) = iterator else { return };
    let action = "kinesis:GetRecords";
    let asked = async {
        // The newest, of which there is none: the answer tells of the right, and takes one of the shard's five reads.
        let answer = Box::pin(client.get_records().stream_arn(arn).shard_iterator(iterator).limit(1).send()).await;
        answer.map(|_| ()).map_err(|error| Refusal::read(action, &error))
    };
    note(action, reach.within(action, asked).await);
}

async fn try_table(reach: &Reach, arn: &str, tried: &mut Tried) {
    let client = table::client(reach);
    let name = arn.rsplit('/').next().unwrap_or(arn);
    let mut note = |action: &str, asked: Asked<()>| {
        tried.insert((action.to_owned(), arn.to_owned()), asked);
    };
    note("dynamodb:DescribeTable", Ok(()));
    let action = "dynamodb:Scan";
    let asked = async {
        let answer = Box::pin(client.scan().table_name(name).limit(1).send()).await;
        answer.map(|_| ()).map_err(|error| Refusal::read(action, &error))
    };
    note(action, reach.within(action, asked).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::facts::Refused;

    #[test]
    fn what_was_tried_is_worth_more_than_what_policies_say() {
        let denied =
            || Refusal { action: "a:B".into(), refused: Refused::Right, code: "AccessDenied".into(), message: None };
        let late = || Refusal { refused: Refused::Late, ..denied() };
        let check =
            |simulated: Result<Vec<&str>, Decision>, usage: Use, tried: Option<Asked<()>>, expected: Decision| {
                let simulated = simulated.map(|actions| actions.into_iter().map(str::to_owned).collect());
                assert_eq!(decide(&simulated, "a:B", usage, tried.as_ref()), expected);
            };
        let unknown = || Decision::Unknown("iam:SimulatePrincipalPolicy is denied".to_owned());
        check(Ok(vec!["a:B"]), Use::Stream, None, Decision::Simulated);
        check(Ok(vec!["a:C"]), Use::Stream, None, Decision::Denied);
        check(Ok(vec!["a:C"]), Use::Stream, Some(Ok(())), Decision::Tried);
        check(Ok(vec!["a:B"]), Use::Stream, Some(Err(denied())), Decision::Denied);
        check(Ok(vec!["a:B"]), Use::Stream, Some(Err(late())), Decision::Simulated);
        check(Err(unknown()), Use::Stream, None, unknown());
        check(Err(unknown()), Use::Stream, Some(Ok(())), Decision::Tried);
        let of_key = "the caller's policies do not allow it; the key's own policy may".to_owned();
        check(Ok(vec![]), Use::StreamKey, None, Decision::Unknown(of_key));
    }
}
