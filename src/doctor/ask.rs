//! Asking: every question that a configuration gives rise to, at the same time, each with a limit of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use tokio::task::JoinSet;

use super::facts::{AccountPolicy, Asked, Caller, Facts, Group, Place, Refusal, Refused, Stream, Table, WriterRole};
use super::{Options, facts};
use crate::aws::Access;
use crate::aws::signed::{Answered, Call, Signed};
use crate::checkpoint;
use crate::config::{Config, Coordination, KinesisSource, Source};
use crate::daemon::plan::streams;
use crate::lease::dynamodb::setup;
use crate::source::cloudwatch::client::Logs;

pub(super) mod bedrock;
pub(super) mod caller;
mod destinations;
mod kms;
pub(super) mod logs;
mod own_log;
mod queue;
mod rights;
pub(super) mod stream;
pub(super) mod table;

/// Calls of CloudWatch Logs a second: its describing calls share five to ten with everyone else in the account.
const LOGS_CALLS_PER_SECOND: f64 = 4.0;

/// How AWS is reached with some credentials in some Region. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reach {
    pub(super) config: SdkConfig,
    pub(super) signed: Signed,
    /// The endpoint of the service that a section of the configuration is of.
    pub(super) endpoint_url: Option<String>,
    pub(super) limit: Duration,
    /// The same for all with the same credentials and Region.
    pub(super) origin: usize,
}

impl Reach {
    async fn open(access: &Access, limit: Duration) -> Result<Self, String> {
        let config = match tokio::time::timeout(limit, access.load()).await {
            Err(_) => return Err(format!("the source of the AWS credentials does not answer within {limit:?}")),
            Ok(Err(error)) => return Err(error.to_string()),
            Ok(Ok(config)) => config,
        };
        let signed = Signed::new(&config).map_err(|error| format!("{error:#}"))?;
        Ok(Self { config, signed, endpoint_url: None, limit, origin: 0 })
    }

    pub(super) fn region(&self) -> &str {
        self.signed.region()
    }

    /// Waits for an answer, up to the limit.
    pub(super) async fn within<T>(&self, action: &str, asked: impl Future<Output = Asked<T>>) -> Asked<T> {
        match tokio::time::timeout(self.limit, asked).await {
            Ok(asked) => asked,
            Err(_) => Err(Refusal::late(action, self.limit)),
        }
    }

    /// Makes a signed call, within the limit.
    pub(super) async fn signed(&self, call: &Call) -> Asked<Answered> {
        let action = format!("{}:{}", call.service.name(), call.operation);
        let asked = async { self.signed.call(call).await.map_err(Refusal::from) };
        self.within(&action, Box::pin(asked)).await
    }

    /// CloudWatch Logs, at the section's endpoint if the section is its own.
    pub(super) fn logs(&self, is_own_section: bool) -> Logs {
        let mut builder = aws_sdk_cloudwatchlogs::config::Builder::from(&self.config)
            .retry_config(aws_config::retry::RetryConfig::disabled());
        if let Some(url) = self.endpoint_url.as_deref().filter(|_| is_own_section) {
            builder = builder.endpoint_url(url);
        }
        let client = aws_sdk_cloudwatchlogs::Client::from_conf(builder.build());
        Logs::new(&client, LOGS_CALLS_PER_SECOND, Arc::new(jiff::Timestamp::now))
    }
}

/// What was opened, so that each role is taken on once.
pub(super) struct Reaches {
    limit: Duration,
    opened: Vec<(Access, Result<Reach, String>)>,
}

impl Reaches {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, opened: Vec::new() }
    }

    /// How to reach AWS as this says.
    pub(super) async fn get(&mut self, access: &Access) -> Result<Reach, String> {
        let shared = Access { endpoint_url: None, ..access.clone() };
        let known = self.opened.iter().find(|(known, _)| *known == shared).map(|(_, reach)| reach.clone());
        let reach = match known {
            Some(reach) => reach,
            None => {
                let opened = Box::pin(Reach::open(&shared, self.limit)).await;
                let reach = opened.map(|reach| Reach { origin: self.opened.len(), ..reach });
                self.opened.push((shared, reach.clone()));
                reach
            }
        };
        reach.map(|reach| Reach { endpoint_url: access.endpoint_url.clone(), ..reach })
    }
}

/// Runs them together, and gives their results in order.
pub(super) async fn together<T: Send + 'static>(
    asked: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut running = JoinSet::new();
    for (index, asked) in asked.into_iter().enumerate() {
        running.spawn(async move { (index, asked.await) });
    }
    let mut results = BTreeMap::new();
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((index, result)) => results.insert(index, result),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
    }
    results.into_values().collect()
}

/// Where something is asked, or why it cannot be.
struct Lot<T> {
    reach: Reach,
    of: T,
}

/// Asks everything.
pub(super) async fn gather(config: &Arc<Config>, options: &Options) -> Facts {
    let mut reaches = Reaches::new(options.limit);
    let mut facts = Facts::default();
    let destinations = tokio::spawn(destinations::ask(Arc::clone(config), options.limit));
    let own_log = tokio::spawn(own_log::ask(options.own_log_group.clone(), options.limit));
    let lots = streams_of(config, &mut reaches, &mut facts).await;
    let tables = tables_of(config, &mut reaches, &mut facts).await;
    queue::ask(config, &mut reaches, &mut facts).await;
    let source = Arc::clone(config);
    let asked = lots.iter().map(|lot| {
        let (reach, given, config) = (lot.reach.clone(), lot.of.clone(), Arc::clone(&source));
        async move {
            match &config.source {
                Source::Kinesis(source) => Some(Box::pin(stream::stream(&reach, source, &given)).await),
                _ => None,
            }
        }
    });
    let described = together(tables.into_iter().map(|lot| async move {
        let (name, kind, is_made) = lot.of;
        Box::pin(table::table(&lot.reach, name, kind, is_made)).await
    }));
    let sites = sites_of(config, &lots, &mut reaches, &mut facts).await;
    let options = Arc::new(options.clone());
    let places = sites.iter().map(|site| {
        let (site, config, options) = (site.clone(), Arc::clone(config), Arc::clone(&options));
        async move { Box::pin(place(site, config, options)).await }
    });
    let callers = reaches.opened.iter().filter_map(|(access, reach)| Some((access.clone(), reach.clone().ok()?)));
    let callers = callers.collect::<Vec<_>>().into_iter().map(|(access, reach)| async move {
        let caller = Box::pin(caller::caller(&reach)).await;
        (access, caller)
    });
    let (streams, tables, places, callers) =
        tokio::join!(together(asked), described, together(places), together(callers));
    facts.streams = streams.into_iter().flatten().collect();
    facts.tables = tables;
    facts.places = places;
    facts.own_log = own_log.await.unwrap_or(facts::OwnLog::Unknown);
    after(config, &sites, &callers, &mut reaches, &mut facts).await;
    facts.callers = callers.into_iter().map(|(access, caller)| Caller { role: role_of(&access), ..caller }).collect();
    facts.destinations = destinations.await.unwrap_or_default();
    facts
}

fn role_of(access: &Access) -> Option<String> {
    access.assume_role.as_ref().map(|role| role.role_arn.clone())
}

/// What is asked with the answers to the rest: roles of filters, the subscriptions of the service's own log, rights.
async fn after(
    config: &Arc<Config>,
    sites: &[Site],
    callers: &[(Access, Caller)],
    reaches: &mut Reaches,
    facts: &mut Facts,
) {
    let own = facts.own_log.clone();
    let own_filters = async {
        match (&own, sites.first()) {
            (facts::OwnLog::Group(name), Some(site)) => {
                let logs = site.reach.logs(site.is_own_section);
                Some(Box::pin(logs::group(&site.reach, &logs, name)).await.filters)
            }
            _ => None,
        }
    };
    let arns: Vec<_> = facts.streams.iter().filter_map(|stream| stream.arn().map(str::to_owned)).collect();
    let wanted = facts.places.iter().zip(sites).map(|(place, site)| {
        let filters = place.groups.iter().flat_map(|group| group.filters.iter().flatten());
        let ours = filters.filter(|filter| arns.contains(&filter.destination));
        let roles: Vec<_> =
            ours.filter_map(|filter| Some((filter.role.clone()?, filter.destination.clone()))).collect();
        let reach = site.reach.clone();
        async move {
            let mut found = BTreeMap::new();
            for (role, stream) in roles {
                let asked = Box::pin(writer(&reach, &role, &stream)).await;
                found.insert(role, asked);
            }
            found
        }
    });
    let (own_filters, roles) = tokio::join!(own_filters, together(wanted.collect::<Vec<_>>()));
    facts.own_filters = own_filters;
    for (place, roles) in facts.places.iter_mut().zip(roles) {
        place.roles = roles;
    }
    facts.rights = Box::pin(rights::ask(config, callers, reaches, facts)).await;
}

/// What is known of the role of a filter.
async fn writer(reach: &Reach, role: &str, stream: &str) -> WriterRole {
    let name = role.rsplit('/').next().unwrap_or(role);
    let exists = caller::role_arn(reach, name).await.map(|arn| arn.is_some());
    let put = ["kinesis:PutRecord".to_owned()];
    let may_write = match exists {
        Ok(false) => None,
        _ => Some(caller::simulate(reach, role, &put, stream, None).await.map(|allowed| !allowed.is_empty())),
    };
    WriterRole { exists, may_write }
}

/// The streams, and how each is reached.
async fn streams_of(config: &Config, reaches: &mut Reaches, facts: &mut Facts) -> Vec<Lot<String>> {
    let mut lots = Vec::new();
    let Source::Kinesis(source) = &config.source else { return lots };
    for given in source.streams() {
        match reaches.get(&streams::client(source, given).access).await {
            Ok(reach) => lots.push(Lot { reach, of: given.to_owned() }),
            Err(why) => facts.unreached(format!("stream {}", KinesisSource::name_of(given)), why),
        }
    }
    lots
}

/// The tables, and how each is reached.
async fn tables_of(config: &Config, reaches: &mut Reaches, facts: &mut Facts) -> Vec<Lot<(String, setup::Kind, bool)>> {
    let (Coordination::Dynamodb(table), Source::Kinesis(source)) = (&config.coordination, &config.source) else {
        return Vec::new();
    };
    let reach = match reaches.get(&streams::table_access(source, table)).await {
        Ok(reach) => reach,
        Err(why) => {
            facts.unreached(format!("table {}", table.table), why);
            return Vec::new();
        }
    };
    let mut wanted = vec![(table.table.clone(), setup::LEASES, table.create_table)];
    if config.detect.is_on() && config.detect.keep_state {
        let name = format!("{}{}", table.table, checkpoint::dynamodb::SUFFIX);
        wanted.push((name, checkpoint::dynamodb::KIND, table.create_table));
    }
    wanted.into_iter().map(|of| Lot { reach: reach.clone(), of }).collect()
}

/// A place, and how it is reached.
#[derive(Clone)]
pub(super) struct Site {
    reach: Reach,
    /// Whether the endpoint of the section is that of CloudWatch Logs.
    is_own_section: bool,
    streams: Vec<usize>,
}

/// The places whose Bedrock is read.
async fn sites_of(config: &Config, lots: &[Lot<String>], reaches: &mut Reaches, facts: &mut Facts) -> Vec<Site> {
    let (access, is_own_section) = match &config.source {
        Source::Kinesis(_) => {
            let mut sites: Vec<Site> = Vec::new();
            for (index, lot) in lots.iter().enumerate() {
                // Streams that are read with the same credentials in the same Region are of one place.
                let is_same = |site: &&mut Site| site.reach.origin == lot.reach.origin;
                match sites.iter_mut().find(is_same) {
                    Some(site) => site.streams.push(index),
                    None => {
                        let streams = vec![index];
                        sites.push(Site { reach: lot.reach.clone(), is_own_section: false, streams });
                    }
                }
            }
            return sites;
        }
        Source::Cloudwatch(source) => (source.access(), true),
        Source::S3(source) => (source.access(), false),
        Source::Firehose(_) => (Access::default(), false),
        Source::File(_) => return Vec::new(),
    };
    match reaches.get(&access).await {
        Ok(reach) => vec![Site { reach, is_own_section, streams: Vec::new() }],
        Err(why) => {
            facts.unreached("Bedrock's logging".to_owned(), why);
            Vec::new()
        }
    }
}

/// All about a place.
async fn place(site: Site, config: Arc<Config>, options: Arc<Options>) -> Place {
    let Site { reach, is_own_section, streams } = site;
    let logs = reach.logs(is_own_section);
    let groups = async {
        let logging = bedrock::logging(&reach).await;
        let of_bedrock = logging.as_ref().ok().and_then(|logging| logging.as_ref()?.group.clone());
        let named = match &config.source {
            Source::Cloudwatch(source) => source.log_groups.clone(),
            Source::S3(_) | Source::File(_) => Vec::new(),
            Source::Kinesis(_) | Source::Firehose(_) => options.log_group.clone().or(of_bedrock).into_iter().collect(),
        };
        let mut groups: Vec<Group> = Vec::new();
        for name in &named {
            groups.push(Box::pin(logs::group(&reach, &logs, name)).await);
        }
        (logging, groups)
    };
    let policies = async {
        let is_subscribed = matches!(config.source, Source::Kinesis(_) | Source::Firehose(_));
        let asked: Option<Asked<Vec<AccountPolicy>>> =
            if is_subscribed { Some(Box::pin(logs::policies(&reach, &logs)).await) } else { None };
        asked
    };
    let ((logging, groups), policies) = tokio::join!(groups, policies);
    Place { region: reach.region().to_owned(), logging, groups, policies, roles: BTreeMap::new(), streams }
}

impl Facts {
    /// Notes what cannot be asked because nothing of AWS can be reached with its credentials.
    fn unreached(&mut self, what: String, why: String) {
        self.unreached.push((what, why));
    }
}

impl Stream {
    /// Its ARN, as far as it is known.
    pub(super) fn arn(&self) -> Option<&str> {
        match &self.found {
            Ok(Some(found)) => Some(&found.arn),
            _ => Some(self.given.as_str()).filter(|given| given.starts_with("arn:")),
        }
    }
}

impl Table {
    /// Whether the question about it was answered, and it is not there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.found, Ok(None))
    }
}

impl Refusal {
    /// Whether the right to ask is what is missing.
    pub(super) fn is_denied(&self) -> bool {
        self.refused == Refused::Right
    }
}
