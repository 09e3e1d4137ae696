//! Repairs of the way from Bedrock to the stream: logging, log group, subscription.

use serde_json::json;

use super::command::Command;
use super::role::Role;
use super::{Change, GROUP_DAYS, Names, Repair, account, logical, stream_arn};
use crate::aws::Access;
use crate::aws::signed::Partition;
use crate::config::{Config, Source};
use crate::daemon::plan::streams;
use crate::doctor::ask::logs::PATTERN;
use crate::doctor::facts::{Facts, Filter, Group, Place};

/// The names that this program gives.
const FILTER: &str = "bedrock-tap";
const OTHER_FILTER: &str = "bedrock-tap-2";
const THIRD_FILTER: &str = "bedrock-tap-3";
const LOGS_ROLE: &str = "bedrock-tap-logs";
const BEDROCK_ROLE: &str = "bedrock-tap-bedrock";
/// The log group, where nothing names one.
const LOG_GROUP: &str = "/bedrock/invocations";

/// Everything of a place.
pub(super) fn of_place(config: &Config, place: &Place, names: &Names, facts: &Facts, repairs: &mut Vec<Repair>) {
    let access = access(config, place, facts);
    let is_off = matches!(place.logging, Ok(None));
    if let Source::S3(source) = &config.source {
        if let Some(bucket) = source.buckets.first().filter(|_| is_off) {
            to_bucket(bucket, place, repairs);
        }
        return;
    }
    // What Bedrock writes to, or will.
    let known = place.groups.first().map(|group| group.name.as_str());
    let group = known.or(names.log_group.as_deref()).unwrap_or(LOG_GROUP);
    let mut is_new = known.is_none() && is_off;
    for found in &place.groups {
        is_new |= matches!(found.found, Ok(None)) && found.name == group;
        retention(found, place, &access, repairs);
    }
    if is_new {
        create_group(group, place, &access, repairs);
    }
    if matches!(config.source, Source::Kinesis(_)) {
        let filters = place.groups.iter().find(|found| found.name == group).map(|found| &found.filters);
        match filters {
            Some(Ok(filters)) => filter(group, filters, place, names, facts, &access, repairs),
            // It may have filters that are not known: nothing is put beside them.
            Some(Err(_)) => {}
            None if is_new => filter(group, &[], place, names, facts, &access, repairs),
            None => {}
        }
    }
    if is_off {
        start_logging(group, place, names, facts, &access, repairs);
    }
}

/// Logging to a bucket, whose policy has to be there first.
fn to_bucket(bucket: &str, place: &Place, repairs: &mut Vec<Repair>) {
    let config = json!({
        "s3Config": { "bucketName": bucket },
        "textDataDeliveryEnabled": true,
        "imageDataDeliveryEnabled": true,
        "embeddingDataDeliveryEnabled": true,
    });
    let region = place.region.as_str();
    let command = Command::new("bedrock", "put-model-invocation-logging-configuration", region);
    let command = command.with("--logging-config", &config.to_string());
    let mends = ["bedrock.logging", "bedrock.modalities", "bedrock.destination", "bedrock.large_data"];
    let repair = Repair::new(format!("switch Bedrock's logging on in {region}"), "it is off", &mends, command);
    repairs.push(repair.by_hand("the bucket's policy has to let bedrock.amazonaws.com write before"));
}

/// How the place is reached.
fn access(config: &Config, place: &Place, facts: &Facts) -> Access {
    match &config.source {
        Source::Kinesis(source) => {
            let stream = place.streams.first().and_then(|index| facts.streams.get(*index));
            let access = stream.map(|stream| streams::client(source, &stream.given).access).unwrap_or_default();
            // The endpoint is that of Kinesis.
            Access { endpoint_url: None, ..access }
        }
        Source::Cloudwatch(source) => source.access(),
        Source::S3(_) | Source::Firehose(_) | Source::File(_) => Access::default(),
    }
}

fn create_group(name: &str, place: &Place, access: &Access, repairs: &mut Vec<Repair>) {
    let region = place.region.as_str();
    let command = Command::new("logs", "create-log-group", region).with("--log-group-name", name);
    let command = command.with("--log-group-class", "STANDARD");
    let days = GROUP_DAYS.to_string();
    let keep = Command::new("logs", "put-retention-policy", region).with("--log-group-name", name);
    let what = format!("make the log group {name}");
    let why = "there is none of this name; only the class STANDARD can have subscriptions, and what its retention keeps \
               can be read again where a subscription failed";
    let resource = json!({
        "Type": "AWS::Logs::LogGroup",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": { "LogGroupName": name, "LogGroupClass": "STANDARD", "RetentionInDays": GROUP_DAYS },
    });
    let mends = ["log_group.exists", "log_group.class", "log_group.retention"];
    let repair = Repair::new(what, why, &mends, command).and(keep.with("--retention-in-days", &days));
    let repair = repair.made_by(access, Change::CreateLogGroup { name: name.to_owned() });
    repairs.push(repair.resource(logical("LogGroup", ""), resource));
}

fn retention(group: &Group, place: &Place, access: &Access, repairs: &mut Vec<Repair>) {
    let Ok(Some(found)) = &group.found else { return };
    let command = Command::new("logs", "put-retention-policy", &place.region);
    let command = command.with("--log-group-name", &group.name).with("--retention-in-days", &GROUP_DAYS.to_string());
    let mends = ["log_group.retention"];
    let what = format!("have the log group {} keep events for {GROUP_DAYS} days", group.name);
    match found.retention_days {
        None => {
            let by_hand = "it deletes what is older than the retention";
            let why = "events are kept, and paid for, for ever";
            repairs.push(Repair::new(what, why, &mends, command).by_hand(by_hand));
        }
        Some(days) if days < 3 => {
            let why = format!("it keeps them for {days}, too short to read them again");
            let change = Change::RaiseGroupRetention { name: group.name.clone() };
            repairs.push(Repair::new(what, why, &mends, command).made_by(access, change));
        }
        Some(_) => {}
    }
}

fn filter(
    group: &str,
    filters: &[Filter],
    place: &Place,
    names: &Names,
    facts: &Facts,
    access: &Access,
    repairs: &mut Vec<Repair>,
) {
    // Where several streams are read, which of them the log group is for, nothing says.
    let [index] = place.streams[..] else { return };
    let Some(stream) = facts.streams.get(index).and_then(|stream| stream_arn(stream, place, facts)) else { return };
    let role = match role_of(names.logs_role.as_deref(), LOGS_ROLE, place, facts) {
        Some(role) => role,
        None => return,
    };
    let put = |name: &str, pattern: &str, role: &str| {
        Command::new("logs", "put-subscription-filter", &place.region)
            .with("--log-group-name", group)
            .with("--filter-name", name)
            .with("--filter-pattern", pattern)
            .with("--destination-arn", &stream)
            .with("--role-arn", role)
            .with("--distribution", "Random")
    };
    if let Some(ours) = filters.iter().find(|filter| filter.destination == stream) {
        repairs.extend(again(ours, group, &role, put));
        return;
    }
    if place.policy_to(&[&stream], group).is_some() {
        // The account's policy writes it there already: a filter would do so again.
        return;
    }
    if names.logs_role.is_none() {
        repairs.extend(logs_role(&role, &stream, place, facts));
    }
    let what = format!("put a subscription filter on {group}");
    let why = "none writes to the stream; Random, because Bedrock writes one log stream a Region, which would all go to one \
               shard";
    // Another filter of the same name would be replaced.
    let is_free = |name: &&str| filters.iter().all(|filter| filter.name != **name);
    let name = [FILTER, OTHER_FILTER, THIRD_FILTER].into_iter().find(|name| is_free(name)).unwrap_or(THIRD_FILTER);
    let resource = json!({
        "Type": "AWS::Logs::SubscriptionFilter",
        "Properties": {
            "LogGroupName": group,
            "FilterName": name,
            "FilterPattern": PATTERN,
            "DestinationArn": stream,
            "RoleArn": role,
            "Distribution": "Random",
        },
    });
    let mends = ["subscription.destination", "subscription.pattern", "subscription.distribution", "subscription.role"];
    let repair = Repair::new(what, why, &mends, put(name, PATTERN, &role));
    let repair = repair.resource(logical("SubscriptionFilter", ""), resource);
    let (group, name) = (group.to_owned(), name.to_owned());
    let change = Change::PutFilter { group, name, stream: stream.clone(), role: role.clone() };
    let is_alone = matches!(place.policies, Some(Ok(_)));
    repairs.push(match filters.len() < 2 {
        true if is_alone => repair.made_by(access, change),
        true => repair.by_hand("the account's policies may not be asked, and one may lead there already"),
        false => repair.by_hand("the log group has two filters, and takes no third: delete one first"),
    });
}

/// Puts a filter that leads there as it should be; none if it is.
fn again(ours: &Filter, group: &str, role: &str, put: impl Fn(&str, &str, &str) -> Command) -> Option<Repair> {
    let misses = matches!(ours.matches, Some(Ok(false)));
    let is_lopsided = ours.distribution.as_deref() != Some("Random");
    if !misses && !is_lopsided && ours.role.is_some() {
        return None;
    }
    let pattern = if misses { PATTERN } else { &ours.pattern };
    let command = put(&ours.name, pattern, ours.role.as_deref().unwrap_or(role));
    let what = format!("put the subscription filter {} of {group} again", ours.name);
    let why = "with the distribution Random, a pattern that lets Bedrock's records through, and a role";
    let mends = ["subscription.pattern", "subscription.distribution", "subscription.role"];
    Some(Repair::new(what, why, &mends, command).by_hand("it replaces the filter that is there"))
}

/// The role's ARN: as given, or with this program's name.
fn role_of(given: Option<&str>, name: &str, place: &Place, facts: &Facts) -> Option<String> {
    if let Some(given) = given {
        return Some(given.to_owned());
    }
    let part = Partition::of(&place.region).name();
    account(facts).map(|account| format!("arn:{part}:iam::{account}:role/{name}"))
}

fn logs_role(arn: &str, stream: &str, place: &Place, facts: &Facts) -> Option<Repair> {
    let role = Role {
        arn,
        service: "logs",
        region: &place.region,
        account: account(facts)?,
        partition: Partition::of(&place.region).name(),
        actions: &["kinesis:PutRecord"],
        resource: stream,
    };
    let why = "CloudWatch Logs writes to the stream with it; where a key of your own encrypts the stream, it needs \
               kms:GenerateDataKey on that too";
    Some(role.repair("LogsRole", why, &["subscription.role"]))
}

fn start_logging(group: &str, place: &Place, names: &Names, facts: &Facts, access: &Access, repairs: &mut Vec<Repair>) {
    let Some(role) = role_of(names.bedrock_role.as_deref(), BEDROCK_ROLE, place, facts) else { return };
    let Some(account) = account(facts) else { return };
    let (region, partition) = (place.region.as_str(), Partition::of(&place.region).name());
    if names.bedrock_role.is_none() {
        let resource = format!(
            "arn:{partition}:logs:{region}:{account}:log-group:{group}:log-stream:aws/bedrock/modelinvocations"
        );
        let of_bedrock = Role {
            arn: &role,
            service: "bedrock",
            region,
            account,
            partition,
            actions: &["logs:CreateLogStream", "logs:PutLogEvents"],
            resource: &resource,
        };
        let why = "Bedrock writes to the log group with it";
        repairs.push(of_bedrock.repair("BedrockRole", why, &["bedrock.logging"]));
    }
    let config = crate::doctor::apply::logging_config(group, &role);
    let command = Command::new("bedrock", "put-model-invocation-logging-configuration", region);
    let command = command.with("--logging-config", &config.to_string());
    let what = format!("switch Bedrock's logging on in {region}");
    let why =
        "it is off; bodies over 100 KB are in the log only where largeDataDeliveryS3Config names a bucket for them";
    let mends = ["bedrock.logging", "bedrock.modalities", "bedrock.destination"];
    let repair = Repair::new(what, why, &mends, command);
    let change = Change::StartLogging { group: group.to_owned(), role };
    repairs.push(repair.made_by(access, change));
}
