//! Repairs: what would put right what was found. Each is a change of AWS, with the command that makes it and the reason;
//! only those that add something, and take nothing away, are ever made by this program.

use serde_json::{Value, json};

use super::facts::{Facts, Place, Stream, StreamFound, Table};
use crate::aws::Access;
use crate::aws::signed::Partition;
use crate::config::{Config, Coordination, KinesisSource, Source};
use crate::daemon::plan::streams;
use command::Command;

pub(super) mod command;
mod role;
mod subscription;

/// Hours that a stream keeps records: a weekend's outage is then no loss.
pub(super) const STREAM_HOURS: i32 = 72;
/// Days that a log group keeps events.
pub(super) const GROUP_DAYS: i32 = 30;

/// What repairs are called and made with.
#[derive(Clone, Debug)]
pub struct Names {
    /// The log group that Bedrock is to write to.
    pub log_group: Option<String>,
    /// The role with which CloudWatch Logs writes to the stream; none is one of this program's naming.
    pub logs_role: Option<String>,
    /// The role with which Bedrock writes to the log group.
    pub bedrock_role: Option<String>,
    /// The key that streams are encrypted with.
    pub kms_key: String,
}

/// One change.
#[derive(Clone, Debug)]
pub struct Repair {
    /// What is done.
    pub what: String,
    /// Why it is needed.
    pub why: String,
    /// The checks that hold behind it.
    pub mends: Vec<&'static str>,
    /// The commands of the AWS CLI that make it.
    pub commands: Vec<String>,
    /// Why a person has to make it; none where `--apply` does.
    pub by_hand: Option<String>,
    /// Resources of CloudFormation, each with its logical id; none where CloudFormation cannot make it.
    pub(super) resources: Vec<(String, Value)>,
    /// Whether the resource of an earlier repair has it already, because it is new.
    pub(super) is_of_new: bool,
    pub(super) step: Option<Step>,
}

/// What `--apply` does.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// How AWS is reached for it.
    pub(super) access: Access,
    pub(super) change: Change,
}

/// A change that adds something.
#[derive(Clone, Debug)]
pub(super) enum Change {
    CreateStream { name: String },
    RaiseStreamRetention { name: String },
    EncryptStream { name: String, key: String },
    CreateLogGroup { name: String },
    RaiseGroupRetention { name: String },
    PutFilter { group: String, name: String, stream: String, role: String },
    StartLogging { group: String, role: String },
    CreateTable { name: String, keys: &'static [&'static str] },
    EnableRecovery { name: String },
}

/// Everything that would put right what was found, in the order in which it has to be done.
pub(super) fn plan(config: &Config, names: &Names, facts: &Facts) -> Vec<Repair> {
    let mut repairs = Vec::new();
    if let Source::Kinesis(source) = &config.source {
        for stream in &facts.streams {
            of_stream(source, stream, names, &mut repairs);
        }
    }
    for place in &facts.places {
        subscription::of_place(config, place, names, facts, &mut repairs);
    }
    if let (Coordination::Dynamodb(table), Source::Kinesis(source)) = (&config.coordination, &config.source) {
        let access = streams::table_access(source, table);
        for table in &facts.tables {
            of_table(table, &access, &mut repairs);
        }
    }
    repairs
}

impl Repair {
    fn new(what: impl Into<String>, why: impl Into<String>, mends: &[&'static str], command: Command) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            mends: mends.to_vec(),
            commands: vec![command.render()],
            by_hand: None,
            resources: Vec::new(),
            is_of_new: false,
            step: None,
        }
    }

    fn by_hand(self, why: &str) -> Self {
        Self { by_hand: Some(why.to_owned()), ..self }
    }

    fn made_by(self, access: &Access, change: Change) -> Self {
        Self { step: Some(Step { access: access.clone(), change }), ..self }
    }

    fn of_new(self, is_of_new: bool) -> Self {
        Self { is_of_new, ..self }
    }

    fn and(mut self, command: Command) -> Self {
        self.commands.push(command.render());
        self
    }

    fn resource(mut self, id: String, resource: Value) -> Self {
        self.resources.push((id, resource));
        self
    }
}

/// A logical id: letters and digits alone.
fn logical(kind: &str, name: &str) -> String {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{kind}{name}")
}

fn of_stream(source: &KinesisSource, stream: &Stream, names: &Names, repairs: &mut Vec<Repair>) {
    let (given, region) = (stream.given.as_str(), stream.region.as_str());
    let name = KinesisSource::name_of(given).to_owned();
    let access = streams::client(source, given).access;
    let command = |operation: &str| Command::new("kinesis", operation, region).with("--stream-name", &name);
    let is_new = matches!(stream.found, Ok(None));
    let found = match &stream.found {
        Err(_) => return,
        Ok(None) => {
            let command = command("create-stream").with("--stream-mode-details", "StreamMode=ON_DEMAND");
            let what = format!("make the stream {name}");
            let why = "there is none of this name; on demand, it grows by itself";
            let resource = json!({
                "Type": "AWS::Kinesis::Stream",
                "Properties": {
                    "Name": name,
                    "StreamModeDetails": { "StreamMode": "ON_DEMAND" },
                    "RetentionPeriodHours": STREAM_HOURS,
                    "StreamEncryption": { "EncryptionType": "KMS", "KeyId": names.kms_key },
                },
            });
            let repair = Repair::new(what, why, &["stream.status", "stream.shards"], command)
                .and(Command::new("kinesis", "wait stream-exists", region).with("--stream-name", &name))
                .made_by(&access, Change::CreateStream { name: name.clone() });
            repairs.push(repair.resource(logical("Stream", &name), resource));
            StreamFound { retention_hours: 24, ..StreamFound::default() }
        }
        Ok(Some(found)) => found.clone(),
    };
    if found.retention_hours < STREAM_HOURS {
        let command = command("increase-stream-retention-period");
        let command = command.with("--retention-period-hours", &STREAM_HOURS.to_string());
        let what = format!("have the stream {name} keep records for {STREAM_HOURS} hours");
        let why = format!("it keeps them for {}, less than a weekend", found.retention_hours);
        let repair = Repair::new(what, why, &["stream.retention"], command);
        let repair = repair.made_by(&access, Change::RaiseStreamRetention { name: name.clone() });
        repairs.push(repair.of_new(is_new));
    }
    if found.key.is_none() {
        let command = command("start-stream-encryption").with("--encryption-type", "KMS");
        let command = command.with("--key-id", &names.kms_key);
        let what = format!("encrypt the stream {name}");
        let why = "it carries prompts and answers in the clear; with a key of your own, grant the writer's role \
                   kms:GenerateDataKey and the reader's kms:Decrypt first";
        let repair = Repair::new(what, why, &["stream.encryption"], command).of_new(is_new);
        let change = Change::EncryptStream { name: name.clone(), key: names.kms_key.clone() };
        // With a key of the account's own, whoever lacks rights on it is locked out.
        repairs.push(match names.kms_key.ends_with("alias/aws/kinesis") {
            true => repair.made_by(&access, change),
            false => repair.by_hand("whoever has no right on the key is locked out of the stream"),
        });
    }
    if let Some(Ok(None)) = &stream.consumer
        && !source.register_consumer
    {
        let arn = stream.arn().unwrap_or(given);
        let command = Command::new("kinesis", "register-stream-consumer", region);
        let command = command.with("--stream-arn", arn).with("--consumer-name", &source.consumer);
        let repair = Repair::new("register the consumer", "fan-out needs it", &["stream.consumer"], command);
        repairs.push(repair.by_hand("it costs money by the shard-hour until it is deregistered"));
    }
}

fn of_table(table: &Table, access: &Access, repairs: &mut Vec<Repair>) {
    let (name, region) = (table.name.as_str(), table.region.as_str());
    let command = |operation: &str| Command::new("dynamodb", operation, region).with("--table-name", name);
    if table.is_missing() && !table.is_made {
        let attribute = |key: &&str| format!("AttributeName={key},AttributeType=S");
        let part = |(key, of): (&&str, &str)| format!("AttributeName={key},KeyType={of}");
        let attributes: Vec<_> = table.wanted.iter().map(attribute).collect();
        let schema: Vec<_> = table.wanted.iter().zip(["HASH", "RANGE"]).map(part).collect();
        let command = command("create-table")
            .with_all("--attribute-definitions", &attributes)
            .with_all("--key-schema", &schema)
            .with("--billing-mode", "PAY_PER_REQUEST");
        let repair = Repair::new(
            format!("make the table {name}"),
            "there is none of this name",
            &["table.exists", "table.key"],
            command,
        )
        .and(Command::new("dynamodb", "wait table-exists", region).with("--table-name", name))
        .made_by(access, Change::CreateTable { name: name.to_owned(), keys: table.wanted });
        repairs.push(repair.resource(logical("Table", name), of_keys(name, table.wanted)));
    }
    let has_none = matches!(table.recovery, Ok(false)) && matches!(table.found, Ok(Some(_)));
    if has_none || (table.is_missing() && !table.is_made) {
        let command = command("update-continuous-backups");
        let command = command.with("--point-in-time-recovery-specification", "PointInTimeRecoveryEnabled=true");
        let what = format!("have the table {name} restorable to any point in time");
        let repair = Repair::new(what, "it is the way back from a mistake", &["table.recovery"], command);
        let repair = repair.made_by(access, Change::EnableRecovery { name: name.to_owned() });
        repairs.push(repair.of_new(table.is_missing()));
    }
    if let Ok(Some(attribute)) = &table.expiry {
        let value = format!("Enabled=false,AttributeName={attribute}");
        let command = command("update-time-to-live").with("--time-to-live-specification", &value);
        let repair =
            Repair::new(format!("have no rows of {name} expire"), "each is a position", &["table.ttl"], command);
        repairs.push(repair.by_hand("it takes something away that somebody has set"));
    }
}

fn of_keys(name: &str, keys: &[&str]) -> Value {
    let attributes: Vec<_> = keys.iter().map(|key| json!({ "AttributeName": key, "AttributeType": "S" })).collect();
    let parts = keys.iter().zip(["HASH", "RANGE"]);
    let schema: Vec<_> = parts.map(|(key, of)| json!({ "AttributeName": key, "KeyType": of })).collect();
    json!({
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "TableName": name,
            "AttributeDefinitions": attributes,
            "KeySchema": schema,
            "BillingMode": "PAY_PER_REQUEST",
            "PointInTimeRecoverySpecification": { "PointInTimeRecoveryEnabled": true },
        },
    })
}

/// The ARN of a stream, as it is or as it will be.
fn stream_arn(stream: &Stream, place: &Place, facts: &Facts) -> Option<String> {
    if let Some(arn) = stream.arn() {
        return Some(arn.to_owned());
    }
    let account = account(facts)?;
    let (part, region) = (Partition::of(&place.region).name(), &place.region);
    Some(format!("arn:{part}:kinesis:{region}:{account}:stream/{}", stream.given))
}

/// The account of who asks.
fn account(facts: &Facts) -> Option<&str> {
    facts.callers.iter().find_map(|caller| caller.identity.as_ref().ok().map(|identity| identity.account.as_str()))
}
