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

use super::Settings;
use super::error::Target;
use super::row::attribute;
use crate::lease::table::TableError;

/// How long a table may take to come up: it takes about ten seconds, and longer with a key of one's own.
const CREATION_TIMEOUT: Duration = Duration::from_secs(120);
/// Between two looks at a table that comes up.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// Gives once the table is there and is one of leases.
pub(super) async fn ensure(client: &Client, settings: &Settings, region: Option<&str>) -> Result<(), TableError> {
    let table = &settings.table;
    let deadline = Instant::now() + CREATION_TIMEOUT;
    let mut created = false;
    loop {
        match describe(client, table).await? {
            Some(found) => {
                check_key(table, &found)?;
                if is_up(table, found.table_status())? {
                    return Ok(());
                }
            }
            None if created => {}
            None if settings.create => {
                create(client, table).await?;
                // A look may still miss it for a moment.
                created = true;
            }
            None => return Err(missing(settings, region)),
        }
        if Instant::now() >= deadline {
            let reason = format!("it has not come up in {} s", CREATION_TIMEOUT.as_secs());
            return Err(TableError::Retry { table: table.clone(), reason });
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

async fn create(client: &Client, table: &str) -> Result<(), TableError> {
    let (attribute, key) = schema().map_err(|err| unusable(table, err.to_string(), "create the table by hand"))?;
    let call = client.create_table().table_name(table).attribute_definitions(attribute).key_schema(key);
    match Box::pin(call.billing_mode(BillingMode::PayPerRequest).send()).await {
        Ok(_) => {
            info!(%table, "created the lease table");
            Ok(())
        }
        Err(err) => match err.as_service_error() {
            // Another worker was faster.
            Some(CreateTableError::ResourceInUseException(_)) => Ok(()),
            _ => Err(Target { table, action: "CreateTable", row: None }.error(&err)),
        },
    }
}

fn schema() -> Result<(AttributeDefinition, KeySchemaElement), BuildError> {
    let attribute =
        AttributeDefinition::builder().attribute_name(attribute::KEY).attribute_type(ScalarAttributeType::S);
    let key = KeySchemaElement::builder().attribute_name(attribute::KEY).key_type(KeyType::Hash);
    Ok((attribute.build()?, key.build()?))
}

/// A lease table has one key, `leaseKey`, a string.
fn check_key(table: &str, found: &TableDescription) -> Result<(), TableError> {
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
    let expected = format!("{} (S, HASH)", attribute::KEY);
    if key == [expected.as_str()] {
        return Ok(());
    }
    let key = if key.is_empty() { "not told".to_owned() } else { key.join(" and ") };
    let reason = format!("its key is {key}, and that of a lease table is {expected}");
    Err(unusable(table, reason, "name another table: this one is not a lease table"))
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

fn missing(settings: &Settings, region: Option<&str>) -> TableError {
    let name = attribute::KEY;
    let table = &settings.table;
    let mut command = format!(
        "aws dynamodb create-table --table-name {table} --attribute-definitions AttributeName={name},AttributeType=S \
         --key-schema AttributeName={name},KeyType=HASH --billing-mode PAY_PER_REQUEST"
    );
    let options = [("region", region), ("endpoint-url", settings.access.endpoint_url.as_deref())];
    for (option, value) in options {
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
