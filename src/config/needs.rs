//! Needs: which actions of AWS a configuration needs, on which resources, and with whose credentials.

use crate::aws::Access;
use crate::aws::actions::{ACTIONS, Action, Use};

use super::sinks::{ClusterAuth, HttpAuth};
use super::{
    AlertSink, CloudwatchMode, Config, Coordination, DeadLetter, DynamodbCoordination, Elasticsearch, Firehose, Http,
    Kinesis, KinesisSource, Mode, S3, S3List, S3Source, Signing, Sink, Source, Sqs,
};

/// Where ARNs are of that the configuration does not say itself: the account and the Region of the credentials. What is
/// not known is `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// The account's 12 digits.
    pub account: Option<String>,
    /// The Region.
    pub region: Option<String>,
}

/// One use of AWS that a configuration makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// What it is for.
    pub usage: Use,
    /// Whose credentials ask, and where.
    pub access: Access,
    /// The ARNs; a part that is not known is `*`.
    pub resources: Vec<String>,
}

impl Need {
    /// The actions.
    pub fn actions(&self) -> impl Iterator<Item = &'static Action> {
        let usage = self.usage;
        ACTIONS.iter().filter(move |action| action.uses.contains(&usage))
    }
}

/// What a configuration needs when it runs. Where `Use::is_of_key`, it is needed only if a key of the account encrypts.
/// Not in it is what the credentials' own source asks for, such as SSO.
pub fn in_use(config: &Config, home: &Home) -> Vec<Need> {
    let mut needs = Needs { home, found: Vec::new() };
    match &config.source {
        Source::Kinesis(source) => needs.streams(source),
        Source::S3(source) => needs.objects(source),
        Source::Cloudwatch(source) => {
            let access = source.access();
            let groups: Vec<_> = source.log_groups.iter().flat_map(|group| needs.log_group(group, &access)).collect();
            needs.add(Use::Groups, &access, groups.clone());
            if source.mode == CloudwatchMode::Live {
                needs.add(Use::LiveGroups, &access, groups);
                needs.add(Use::GroupNames, &access, vec!["*".to_owned()]);
            }
        }
        Source::Firehose(_) | Source::File(_) => {}
    }
    if let (Coordination::Dynamodb(table), Source::Kinesis(source)) = (&config.coordination, &config.source) {
        needs.tables(source, table, config.detect.is_on() && config.detect.keep_state);
    }
    if config.bodies.fetch {
        needs.bodies(config);
    }
    needs.destinations(config);
    needs.found
}

struct Needs<'h> {
    home: &'h Home,
    found: Vec<Need>,
}

impl Needs<'_> {
    fn add(&mut self, usage: Use, access: &Access, resources: Vec<String>) {
        if let Some(role) = &access.assume_role
            && usage != Use::Role
        {
            let own = Access { assume_role: None, endpoint_url: None, ..access.clone() };
            self.add(Use::Role, &own, vec![role.role_arn.clone()]);
        }
        match self.found.iter_mut().find(|need| need.usage == usage && need.access == *access) {
            Some(need) => {
                let new: Vec<_> = resources.into_iter().filter(|arn| !need.resources.contains(arn)).collect();
                need.resources.extend(new);
            }
            None => self.found.push(Need { usage, access: access.clone(), resources }),
        }
    }

    fn arn(&self, service: &str, access: &Access, account: Option<&str>, resource: &str) -> String {
        let region = access.region.as_deref().or(self.home.region.as_deref()).unwrap_or("*");
        let account = account.or(self.account(access)).unwrap_or("*");
        format!("arn:{}:{service}:{region}:{account}:{resource}", partition(region))
    }

    /// The account that a bare name is looked for in: the one of the role, if there is one.
    fn account<'s>(&'s self, access: &'s Access) -> Option<&'s str> {
        match &access.assume_role {
            Some(role) => role.role_arn.split(':').nth(4),
            None => self.home.account.as_deref(),
        }
    }

    fn streams(&mut self, source: &KinesisSource) {
        for stream in source.streams() {
            let access = Access {
                region: source.region_of(stream).map(str::to_owned),
                profile: source.profile.clone(),
                endpoint_url: source.endpoint_url.clone(),
                assume_role: source.role_of(stream).map(super::AssumeRole::settings),
                ..Access::default()
            };
            let arn = self.stream(stream, &access);
            let consumer = format!("{arn}/consumer/{}:*", source.consumer);
            if source.mode != Mode::Polling {
                self.add(Use::Consumer, &access, vec![consumer]);
                if source.register_consumer {
                    self.add(Use::Registration, &access, vec![arn.clone()]);
                }
            }
            self.add(Use::Stream, &access, vec![arn]);
            self.key(Use::StreamKey, &access);
        }
    }

    fn stream(&self, stream: &str, access: &Access) -> String {
        if stream.starts_with("arn:") {
            return stream.to_owned();
        }
        self.arn("kinesis", access, None, &format!("stream/{stream}"))
    }

    /// Which key it is, the configuration does not say.
    fn key(&mut self, usage: Use, access: &Access) {
        let arn = self.arn("kms", access, None, "key/*");
        self.add(usage, access, vec![arn]);
    }

    fn log_group(&self, group: &str, access: &Access) -> [String; 2] {
        let arn = match group.starts_with("arn:") {
            true => group.strip_suffix(":*").unwrap_or(group).to_owned(),
            false => self.arn("logs", access, None, &format!("log-group:{group}")),
        };
        let below = format!("{arn}:*");
        [arn, below]
    }

    fn objects(&mut self, source: &S3Source) {
        let access = Access { region: source.region().map(str::to_owned), ..source.aws.access() };
        let part = partition(access.region.as_deref().or(self.home.region.as_deref()).unwrap_or("*"));
        let (buckets, prefixes) = match source.list.as_ref().and_then(|list| S3List::place(&list.url).ok()) {
            Some((bucket, prefix)) => (vec![bucket.to_owned()], vec![prefix.to_owned()]),
            None => (source.buckets.clone(), source.include.clone()),
        };
        let any = |names: Vec<String>, other: &str| if names.is_empty() { vec![other.to_owned()] } else { names };
        let (buckets, prefixes) = (any(buckets, "*"), any(prefixes, ""));
        for bucket in &buckets {
            let keys = prefixes.iter().map(|prefix| format!("arn:{part}:s3:::{bucket}/{prefix}*")).collect();
            self.add(Use::Objects, &access, keys);
            self.add(Use::Listing, &access, vec![format!("arn:{part}:s3:::{bucket}")]);
        }
        self.key(Use::ObjectsKey, &access);
        if let Some(url) = &source.queue_url {
            let access = Access { endpoint_url: source.queue_endpoint_url.clone(), ..access };
            let queue = self.queue(url, &access);
            self.add(Use::Notifications, &access, vec![queue]);
            self.key(Use::NotificationsKey, &access);
        }
    }

    /// The ARN of a queue, which its URL ends in: `…/ACCOUNT/NAME`.
    fn queue(&self, url: &str, access: &Access) -> String {
        let mut parts = url.rsplit('/');
        let name = parts.next().unwrap_or_default();
        let account = parts.next().filter(|account| super::validate::is_account(account));
        self.arn("sqs", access, account, name)
    }

    fn tables(&mut self, source: &KinesisSource, table: &DynamodbCoordination, remembers: bool) {
        let access = Access {
            region: table.region_beside(source).map(str::to_owned),
            profile: table.profile_beside(source).map(str::to_owned),
            endpoint_url: table.endpoint_url.clone(),
            assume_role: table.assume_role.as_ref().map(super::AssumeRole::settings),
            ..Access::default()
        };
        let leases = self.arn("dynamodb", &access, None, &format!("table/{}", table.table));
        let remembered = remembers.then(|| format!("{leases}-detection"));
        self.add(Use::Leases, &access, vec![leases.clone()]);
        if let Some(arn) = &remembered {
            self.add(Use::Remembered, &access, vec![arn.clone()]);
        }
        if table.create_table {
            self.add(Use::Tables, &access, std::iter::once(leases).chain(remembered).collect());
        }
    }

    fn bodies(&mut self, config: &Config) {
        let bodies = &config.bodies;
        let access = Access {
            region: bodies.region_beside(&config.source).map(str::to_owned),
            profile: bodies.profile_beside(&config.source).map(str::to_owned),
            endpoint_url: bodies.endpoint_url.clone(),
            assume_role: bodies.assume_role.as_ref().map(super::AssumeRole::settings),
            ..Access::default()
        };
        let part = partition(access.region.as_deref().or(self.home.region.as_deref()).unwrap_or("*"));
        // A body's key names the account of its call, which may be any whose logs are read.
        let below = "AWSLogs/*/BedrockModelInvocationLogs/*/data/*";
        let keys = bodies.buckets.iter().map(|bucket| format!("arn:{part}:s3:::{bucket}/*{below}")).collect();
        self.add(Use::Bodies, &access, keys);
        self.key(Use::ObjectsKey, &access);
    }

    fn destinations(&mut self, config: &Config) {
        for sink in config.sinks.values() {
            match sink {
                Sink::S3(sink) => self.object_sink(&sink.to),
                Sink::Firehose(sink) => self.firehose_sink(&sink.to),
                Sink::Kinesis(sink) => self.kinesis_sink(&sink.to),
                Sink::Sqs(sink) => self.sqs_sink(&sink.to),
                Sink::Http(sink) => self.http_sink(&sink.to),
                Sink::Elasticsearch(sink) => self.cluster(&sink.to),
                Sink::Stdout(_) | Sink::File(_) | Sink::SplunkHec(_) | Sink::Otlp(_) | Sink::Null(_) => {}
            }
        }
        for sink in config.alerts.values() {
            match sink {
                AlertSink::S3(sink) => self.object_sink(&sink.to),
                AlertSink::Firehose(sink) => self.firehose_sink(&sink.to),
                AlertSink::Kinesis(sink) => self.kinesis_sink(&sink.to),
                AlertSink::Sqs(sink) => self.sqs_sink(&sink.to),
                AlertSink::Http(sink) => self.http_sink(&sink.to),
                AlertSink::Elasticsearch(sink) => self.cluster(&sink.to),
                AlertSink::Stdout(_)
                | AlertSink::File(_)
                | AlertSink::SplunkHec(_)
                | AlertSink::Otlp(_)
                | AlertSink::Null(_) => {}
            }
        }
        for letter in std::iter::once(&config.dead_letter()).chain(config.dead_letters.values()) {
            match letter {
                DeadLetter::S3(to) => self.object_sink(to),
                DeadLetter::Firehose(to) => self.firehose_sink(to),
                DeadLetter::Kinesis(to) => self.kinesis_sink(to),
                DeadLetter::Sqs(to) => self.sqs_sink(to),
                DeadLetter::Http(to) => self.http_sink(to),
                DeadLetter::Elasticsearch(to) => self.cluster(to),
                DeadLetter::File(_) | DeadLetter::Stdout(_) | DeadLetter::SplunkHec(_) | DeadLetter::Otlp(_) => {}
            }
        }
    }

    fn object_sink(&mut self, sink: &S3) {
        let access = sink.access.access();
        let (bucket, prefix, _) = sink.place();
        // What the events fill in is not known.
        let beginning = prefix.split('{').next().unwrap_or_default();
        let part = partition(access.region.as_deref().or(self.home.region.as_deref()).unwrap_or("*"));
        let arn = match bucket.starts_with("arn:") {
            // Of an access point, whose objects stand behind `object`.
            true => format!("{bucket}/object/{beginning}*"),
            false => format!("arn:{part}:s3:::{bucket}/{beginning}*"),
        };
        self.add(Use::ObjectSink, &access, vec![arn]);
        match &sink.kms_key_id {
            Some(arn) if arn.starts_with("arn:") => self.add(Use::ObjectSinkKey, &access, vec![arn.clone()]),
            _ => self.key(Use::ObjectSinkKey, &access),
        }
    }

    fn firehose_sink(&mut self, sink: &Firehose) {
        let access = sink.access.access();
        let arn = self.arn("firehose", &access, None, &format!("deliverystream/{}", sink.stream));
        self.add(Use::FirehoseSink, &access, vec![arn]);
    }

    fn kinesis_sink(&mut self, sink: &Kinesis) {
        let mut access = sink.access.access();
        access.region = access.region.or_else(|| KinesisSource::region_in(&sink.stream).map(str::to_owned));
        let arn = self.stream(&sink.stream, &access);
        self.add(Use::KinesisSink, &access, vec![arn]);
        self.key(Use::KinesisSinkKey, &access);
    }

    fn sqs_sink(&mut self, sink: &Sqs) {
        let mut access = sink.access.access();
        let of_url = super::sinks::QueueUrl::parse(&sink.queue_url).ok().and_then(|url| url.region);
        access.region = access.region.or_else(|| of_url.map(str::to_owned));
        let arn = self.queue(&sink.queue_url, &access);
        self.add(Use::SqsSink, &access, vec![arn]);
        self.key(Use::SqsSinkKey, &access);
    }

    fn http_sink(&mut self, sink: &Http) {
        if let Some(HttpAuth::Sigv4(signing)) = sink.auth.as_deref() {
            self.signed(signing);
        }
    }

    fn cluster(&mut self, sink: &Elasticsearch) {
        if let Some(ClusterAuth::Sigv4(signing)) = &sink.auth {
            self.signed(signing);
        }
    }

    /// What is behind a URL has a name of its own, which the URL does not always show. What the signature of another service
    /// is good for is not known here.
    fn signed(&mut self, signing: &Signing) {
        let access = signing.access();
        let (usage, resource) = match signing.service.as_str() {
            "es" => (Use::Domain, "domain/*"),
            "aoss" => (Use::Collection, "collection/*"),
            "execute-api" => (Use::Gateway, "*"),
            "lambda" => (Use::FunctionUrl, "function:*"),
            _ => return,
        };
        let arn = self.arn(&signing.service, &access, None, resource);
        self.add(usage, &access, vec![arn]);
    }
}

/// The partition of a Region.
fn partition(region: &str) -> &'static str {
    match region.split('-').next() {
        Some("cn") => "aws-cn",
        Some("us") if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}
