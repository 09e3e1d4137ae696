//! The table itself: looked for when the process starts, created on request, and refused if it is another's.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription, TableStatus,
};
use tokio::time::{Instant, sleep};
use tracing::info;

use super::error::Target;
use super::row::attribute;
use crate::lease::table::TableError;

/// How long a table may take to come up: it takes about ten seconds, and longer with a key of one's own.
const CREATION_TIMEOUT: Duration = Duration::from_secs(120);
/// Between two looks at a table that comes up.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// What a table is for, and its key: strings, the first the partition's and a second the order's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// As the log calls it.
    pub(crate) name: &'static str,
    /// Its key.
    pub(crate) keys: &'static [&'static str],
}

/// A lease table has one key, `leaseKey`.
pub(crate) const LEASES: Kind = Kind { name: "lease table", keys: &[attribute::KEY] };

impl Kind {
    fn key_types(self) -> impl Iterator<Item = (&'static str, KeyType)> {
        self.keys.iter().copied().zip([KeyType::Hash, KeyType::Range])
    }
}

/// A table that is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// What it is for.
    pub(crate) kind: Kind,
    /// Its name.
    pub(crate) table: &'a str,
    /// Whether to make it if it is not there.
    pub(crate) create: bool,
    /// Where it is.
    pub(crate) region: Option<&'a str>,
    /// Where the service is, if elsewhere than usual.
    pub(crate) endpoint_url: Option<&'a str>,
}

/// Gives once the table is there and is what it is for.
pub(crate) async fn ensure(client: &Client, wanted: Wanted<'_>) -> Result<(), TableError> {
    let table = wanted.table;
    let deadline = Instant::now() + CREATION_TIMEOUT;
    let mut created = false;
    loop {
        match describe(client, table).await? {
            Some(found) => {
                check_key(wanted, &found)?;
                if is_up(table, found.table_status())? {
                    return Ok(());
                }
            }
            None if created => {}
            None if wanted.create => {
                create(client, wanted).await?;
                // A look may still miss it for a moment.
                created = true;
            }
            None => return Err(missing(wanted)),
        }
        if Instant::now() >= deadline {
            let reason = format!("it has not come up in {} s", CREATION_TIMEOUT.as_secs());
            return Err(TableError::Retry { table: table.to_owned(), reason });
        }
        sleep(LOOK_PAUSE).await;
    }
}

async fn describe(client: &Client, table: &str) -> Result<Option<TableDescription>, TableError> {
    match Box::pin(client.describe_table().table_name(table).send()).await {
        Ok(answer) => Ok(Some(answer.table.unwrap_or_else(|| TableDescription::builder().build()))),
        Err(err) => match err.as_service_error() {
            Some(DescribeTableError::ResourceNotFoundException(_)) => Ok(None),
            _ => Err(Target { table, action: "DescribeTable", row: None }.error(&err)),
        },
    }
}

async fn create(client: &Client, wanted: Wanted<'_>) -> Result<(), TableError> {
    let Wanted { kind, table, .. } = wanted;
    let (attributes, key) = schema(kind).map_err(|err| unusable(table, err.to_string(), "create the table by hand"))?;
    let call = client.create_table().table_name(table);
    let call = call.set_attribute_definitions(Some(attributes)).set_key_schema(Some(key));
    match Box::pin(call.billing_mode(BillingMode::PayPerRequest).send()).await {
        Ok(_) => {
            info!(%table, "created the {}", kind.name);
            Ok(())
        }
        Err(err) => match err.as_service_error() {
            // Another worker was faster.
            Some(CreateTableError::ResourceInUseException(_)) => Ok(()),
            _ => Err(Target { table, action: "CreateTable", row: None }.error(&err)),
        },
    }
}

fn schema(kind: Kind) -> Result<(Vec<AttributeDefinition>, Vec<KeySchemaElement>), BuildError> {
    let attribute = |name: &&str| {
        AttributeDefinition::builder().attribute_name(*name).attribute_type(ScalarAttributeType::S).build()
    };
    let element = |(name, key_type)| KeySchemaElement::builder().attribute_name(name).key_type(key_type).build();
    Ok((
        kind.keys.iter().map(attribute).collect::<Result<_, _>>()?,
        kind.key_types().map(element).collect::<Result<_, _>>()?,
    ))
}

/// The key must be that of such a table.
fn check_key(wanted: Wanted<'_>, found: &TableDescription) -> Result<(), TableError> {
    let Wanted { kind, table, .. } = wanted;
    let type_of = |name: &str| {
        let definition = found.attribute_definitions().iter().find(|definition| definition.attribute_name() == name);
        definition.map_or("?", |definition| definition.attribute_type().as_str())
    };
    let elements = found.key_schema().iter();
    let key: Vec<_> = elements
        .map(|element| {
            let name = element.attribute_name();
            format!("{name} ({}, {})", type_of(name), element.key_type().as_str())
        })
        .collect();
    let expected: Vec<_> = kind.key_types().map(|(name, of)| format!("{name} (S, {})", of.as_str())).collect();
    if key == expected {
        return Ok(());
    }
    let key = if key.is_empty() { "not told".to_owned() } else { key.join(" and ") };
    let name = kind.name;
    let reason = format!("its key is {key}, and that of a {name} is {}", expected.join(" and "));
    Err(unusable(table, reason, &format!("name another table: this one is not a {name}")))
}

/// Whether the table takes reads and writes. It does so while it is updated, which takes hours where an index is added.
fn is_up(table: &str, status: Option<&TableStatus>) -> Result<bool, TableError> {
    match status {
        Some(TableStatus::Creating) => Ok(false),
        Some(TableStatus::Deleting) => {
            Err(unusable(table, "it is being deleted".to_owned(), "wait until it is gone, then start again"))
        }
        Some(status @ (TableStatus::Archived | TableStatus::Archiving)) => {
            Err(unusable(table, format!("its status is {status}"), "restore it from its backup, or name another table"))
        }
        Some(TableStatus::InaccessibleEncryptionCredentials) => Err(TableError::Denied {
            table: table.to_owned(),
            reason: "its encryption key is not accessible".to_owned(),
            advice: format!("enable the KMS key that encrypts table/{table}, and its grants"),
        }),
        // What a later API adds is taken for a table that works; if not, the first call says so.
        _ => Ok(true),
    }
}

fn missing(wanted: Wanted<'_>) -> TableError {
    let Wanted { kind, table, region, endpoint_url, .. } = wanted;
    let attributes: Vec<_> = kind.keys.iter().map(|name| format!("AttributeName={name},AttributeType=S")).collect();
    let key = |(name, of): (&str, KeyType)| format!("AttributeName={name},KeyType={}", of.as_str());
    let keys: Vec<_> = kind.key_types().map(key).collect();
    let mut command = format!(
        "aws dynamodb create-table --table-name {table} --attribute-definitions {} --key-schema {} --billing-mode \
         PAY_PER_REQUEST",
        attributes.join(" "),
        keys.join(" ")
    );
    for (option, value) in [("region", region), ("endpoint-url", endpoint_url)] {
        if let Some(value) = value {
            command.push_str(&format!(" --{option} {value}"));
        }
    }
    let advice = format!("set create_table = true, or run `{command}`");
    unusable(table, "it does not exist".to_owned(), &advice)
}

fn unusable(table: &str, reason: String, advice: &str) -> TableError {
    TableError::Unusable { table: table.to_owned(), reason, advice: advice.to_owned() }
}
