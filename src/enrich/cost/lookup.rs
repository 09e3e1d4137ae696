//! The look-up: which row of the table, or of the configuration, says what a call's model costs.

use super::table::{Price, Table};
use super::{Basis, Prices};

/// A price, and where it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'p> {
    pub(super) price: &'p Price,
    pub(super) key: &'p str,
    pub(super) date: &'p str,
    pub(super) basis: Basis,
}

/// What a model id names, as far as prices go.
enum Named<'m> {
    /// A model, by the id that the calls are charged under.
    Model(&'m str),
    /// A model, by the id of an inference profile.
    Profile(&'m str),
    /// What is not charged as a model is, or tells nothing of its model.
    Other,
}

impl Prices {
    /// What a model costs in a Region: the configuration's own price, else the table's.
    pub(super) fn find(&self, model: &str, region: &str) -> Option<Found<'_>> {
        if let Some(found) = self.overridden(model) {
            return Some(found);
        }
        match self.profile(model) {
            // A profile of the user's is charged as the profile or model that it was made of.
            Some(source) => self.overridden(source).or_else(|| listed(&named(source), region, true)),
            None => listed(&named(model), region, false),
        }
    }

    /// The price that the configuration has for a model id as it was logged, or for the last part of an ARN.
    fn overridden(&self, model: &str) -> Option<Found<'_>> {
        let (key, own) = self.models.get_key_value(model).or_else(|| self.models.get_key_value(last(model)))?;
        Some(Found { price: &own.price, key, date: &own.date, basis: Basis::Override })
    }

    fn profile(&self, model: &str) -> Option<&str> {
        self.profiles.get(model).or_else(|| self.profiles.get(last(model))).map(String::as_str)
    }
}

/// The part of an ARN behind its last slash; of anything else all.
fn last(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

/// Reads a model id. Source of the forms: the API reference of the Bedrock runtime, `modelId` of Converse.
fn named(model: &str) -> Named<'_> {
    if !model.starts_with("arn:") {
        return Named::Model(model);
    }
    let resource = model.splitn(6, ':').nth(5).unwrap_or_default();
    match resource.split_once('/') {
        Some(("foundation-model", id)) => Named::Model(id),
        Some(("inference-profile", id)) => Named::Profile(id),
        // Provisioned throughput and custom models are paid by the hour, routers and prompts name no model, and whose
        // profile an opaque id is only the configuration can say.
        _ => Named::Other,
    }
}

/// Looks a model up in the table that ships.
///
/// A Region's own price comes before the one of the plain id, although that is the exact key: nearly every model with
/// prices by Region has a plain row too, with the price of the Regions that are not listed.
fn listed(named: &Named<'_>, region: &str, mapped: bool) -> Option<Found<'static>> {
    let (id, basis) = match named {
        Named::Model(id) if mapped => (*id, Basis::Profile),
        Named::Model(id) => (*id, Basis::Exact),
        Named::Profile(id) => (*id, Basis::Profile),
        Named::Other => return None,
    };
    let table = Table::shipped();
    let get = |key: &str, basis: Basis| {
        let (key, price) = table.get(key)?;
        Some(Found { price, key, date: table.date(), basis })
    };
    let id = without_size(id);
    let near = |id: &str| {
        // A profile that has no row: its Region's price of the model is nearer to it than the price elsewhere.
        get(&format!("bedrock/{region}/{id}"), Basis::Base)
            .or_else(|| get(id, Basis::Base))
            .or_else(|| get(without_version(id), Basis::Base))
            // Some models have a price only under the endpoint of their provider's own API.
            .or_else(|| get(&format!("bedrock_mantle/{region}/{id}"), Basis::Base))
            .or_else(|| get(&format!("bedrock_mantle/{id}"), Basis::Base))
    };
    get(&format!("bedrock/{region}/{id}"), Basis::Region)
        .or_else(|| get(id, basis))
        .or_else(|| near(id))
        .or_else(|| near(without_prefix(id)?))
}

/// A model id without what it says of the context: `[1m]`, or the `51k`, `512` or `mm` of provisioned throughput.
fn without_size(id: &str) -> &str {
    let id = id.split('[').next().unwrap_or(id);
    let is_size = |size: &str| {
        size == "mm" || size.strip_suffix('k').is_some_and(is_number) || (size.len() > 2 && is_number(size))
    };
    match id.rsplit_once(':') {
        Some((rest, size)) if is_size(size) => rest,
        _ => id,
    }
}

/// A model id without the Regions of an inference profile, such as `eu` or `us-gov`. Whatever stands before the first of
/// several dots is taken for them: AWS adds some, and the table has no row for what is left of anything else.
fn without_prefix(id: &str) -> Option<&str> {
    id.split_once('.').map(|(_, model)| model).filter(|model| model.contains('.'))
}

/// A model id without a number behind a colon: `amazon.titan-embed-image-v1:0` is `amazon.titan-embed-image-v1`.
fn without_version(id: &str) -> &str {
    match id.rsplit_once(':') {
        Some((rest, version)) if is_number(version) => rest,
        _ => id,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
