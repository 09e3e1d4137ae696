//! A stream in memory under the real SDK: no sockets, so that time can be paused; shards that split and merge; answers
//! and failures as scripted. What it answers is what the Kinesis API reference says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_sdk_kinesis::config::http::{HttpRequest, HttpResponse};
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bedrock_tap::record::ShardId;
use bedrock_tap::source::kinesis::client::{Kinesis, StreamTarget};
use serde_json::{Value, json};
use tokio::time::Instant;

/// An iterator's and a listing token's life. Source: the Kinesis API reference.
const LIFE: Duration = Duration::from_secs(300);
/// The most of a GetRecords answer. Source: as above.
const ANSWER_BYTES: usize = 10 * 1024 * 1024;

/// What becomes of the next call of an operation instead of its answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// An error with this status and code.
    Error(u16, &'static str),
    /// The answer comes after this time.
    Delay(Duration),
    /// The answer's body breaks off.
    Unreadable,
    /// The answer, with its records twice.
    Repeat,
}

/// A call that was made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) operation: String,
    pub(crate) input: Value,
    /// The bytes of the records that were given.
    pub(crate) bytes: usize,
}

#[derive(Debug, Default)]
struct Shard {
    parents: Vec<usize>,
    children: Vec<usize>,
    /// Sequence number, arrival in milliseconds, data.
    records: Vec<(u64, i64, Vec<u8>)>,
    closed: bool,
    /// A number between two records that reading may begin at.
    accepted: Option<u64>,
    /// The last record that was trimmed; 0 if none was.
    trimmed: u64,
    /// Gone from the stream.
    expired: bool,
}

#[derive(Debug)]
struct State {
    shards: Vec<Shard>,
    sequence: u64,
    faults: VecDeque<(&'static str, Fault)>,
    calls: Vec<Call>,
    page: usize,
    refuses_trimmed: bool,
    epoch: Instant,
}

/// A stream in memory.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    state: Arc<Mutex<State>>,
}

pub(crate) fn shard_id(number: usize) -> ShardId {
    ShardId::new(format!("shardId-{number:012}"))
}

impl Script {
    pub(crate) fn new(shards: usize) -> Self {
        let state = State {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            sequence: 100,
            faults: VecDeque::new(),
            calls: Vec::new(),
            page: 1000,
            refuses_trimmed: false,
            epoch: Instant::now(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The stream through the real SDK.
    pub(crate) fn kinesis(&self) -> Kinesis {
        let connector = SharedHttpConnector::new(self.clone());
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "script"))
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        Kinesis::new(aws_sdk_kinesis::Client::from_conf(config), StreamTarget::parse("logs").unwrap())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn put(&self, shard: usize, data: impl Into<Vec<u8>>) -> u64 {
        let mut state = self.state();
        state.sequence += 1;
        let record = (state.sequence, jiff::Timestamp::now().as_millisecond(), data.into());
        assert!(!state.shards[shard].closed, "shard {shard} is closed");
        state.shards[shard].records.push(record);
        state.sequence
    }

    /// A record that arrived so long ago.
    pub(crate) fn put_aged(&self, shard: usize, data: impl Into<Vec<u8>>, age: Duration) -> u64 {
        let sequence = self.put(shard, data);
        if let Some(record) = self.state().shards[shard].records.last_mut() {
            record.1 -= age.as_millis() as i64;
        }
        sequence
    }

    /// Trims a shard's records up to this one out of the stream.
    pub(crate) fn trim(&self, shard: usize, last: u64) {
        let shard = &mut self.state().shards[shard];
        shard.records.retain(|(sequence, ..)| *sequence > last);
        shard.trimmed = last;
    }

    /// Iterators at this number are given, though no record has it.
    pub(crate) fn accept(&self, shard: usize, sequence: u64) {
        self.state().shards[shard].accepted = Some(sequence);
    }

    /// From now on iterators at trimmed records are refused.
    pub(crate) fn refuse_trimmed(&self) {
        self.state().refuses_trimmed = true;
    }

    /// Closes shards and makes `children` that go on where they end.
    pub(crate) fn reshard(&self, parents: &[usize], children: usize) -> Vec<usize> {
        let mut state = self.state();
        let first = state.shards.len();
        let made: Vec<_> = (first..first + children).collect();
        state.shards.extend(made.iter().map(|_| Shard { parents: parents.to_vec(), ..Shard::default() }));
        for parent in parents {
            state.shards[*parent].closed = true;
            state.shards[*parent].children.clone_from(&made);
        }
        made
    }

    pub(crate) fn expire(&self, shard: usize) {
        self.state().shards[shard].expired = true;
    }

    /// The next calls of the operation go wrong, in this order.
    pub(crate) fn fault(&self, operation: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults.into_iter().map(|fault| (operation, fault)));
    }

    pub(crate) fn page(&self, shards: usize) {
        self.state().page = shards;
    }

    pub(crate) fn calls(&self, operation: &str) -> Vec<Call> {
        self.state().calls.iter().filter(|call| call.operation == operation).cloned().collect()
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let input: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap();
        let state = Arc::clone(&self.state);
        HttpConnectorFuture::new(async move {
            let fault = {
                let mut state = state.lock().unwrap();
                let call = Call { at: Instant::now(), operation: operation.clone(), input: input.clone(), bytes: 0 };
                state.calls.push(call);
                let at = state.faults.iter().position(|(of, _)| *of == operation);
                at.and_then(|at| state.faults.remove(at)).map(|(_, fault)| fault)
            };
            if let Some(Fault::Delay(time)) = fault {
                tokio::time::sleep(time).await;
            }
            let answer = match fault {
                Some(Fault::Error(status, code)) => Err((status, code)),
                _ => state.lock().unwrap().answer(&operation, &input),
            };
            let (status, mut body) = match answer {
                Ok(body) => (200, body),
                Err((status, "")) => (status, json!({})),
                Err((status, code)) => (status, json!({ "__type": code, "message": "scripted" })),
            };
            if let (Some(Fault::Repeat), Some(records)) = (&fault, body["Records"].as_array().cloned()) {
                body["Records"] = records.iter().chain(&records).cloned().collect();
            }
            let mut bytes = body.to_string().into_bytes();
            if matches!(fault, Some(Fault::Unreadable)) {
                bytes.truncate(bytes.len() / 2);
            }
            Ok(HttpResponse::new(status.try_into().unwrap(), bytes.into()))
        })
    }
}

type Answer = Result<Value, (u16, &'static str)>;

impl State {
    fn answer(&mut self, operation: &str, input: &Value) -> Answer {
        match operation {
            "ListShards" => self.list(input),
            "GetShardIterator" => self.iterator(input),
            "GetRecords" => self.records(input),
            other => panic!("{other} is not scripted"),
        }
    }

    fn list(&self, input: &Value) -> Answer {
        let from = match input["NextToken"].as_str() {
            Some(_) if !input["StreamName"].is_null() => return Err((400, "InvalidArgumentException")),
            Some(token) => self.open(token, "ExpiredNextTokenException")?.1,
            None => 0,
        };
        let listed = self.shards.iter().enumerate().filter(|(_, shard)| !shard.expired);
        let entry = |(number, shard): (usize, &Shard)| {
            let mut entry = json!({
                "ShardId": shard_id(number).as_str(),
                "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "1" },
                "SequenceNumberRange": { "StartingSequenceNumber": "1" },
            });
            if shard.closed {
                entry["SequenceNumberRange"]["EndingSequenceNumber"] = json!("9");
            }
            for (name, parent) in ["ParentShardId", "AdjacentParentShardId"].iter().zip(&shard.parents) {
                entry[*name] = json!(shard_id(*parent).as_str());
            }
            entry
        };
        let (all, until) = (listed.count(), from as usize + self.page);
        let listed = self.shards.iter().enumerate().filter(|(_, shard)| !shard.expired);
        let page: Vec<_> = listed.skip(from as usize).take(self.page).map(entry).collect();
        let mut answer = json!({ "Shards": page });
        if until < all {
            answer["NextToken"] = json!(self.seal(0, until as u64));
        }
        Ok(answer)
    }

    fn iterator(&self, input: &Value) -> Answer {
        let number = (0..self.shards.len()).find(|number| input["ShardId"] == shard_id(*number).as_str());
        let number = number.filter(|number| !self.shards[*number].expired).ok_or((400, "ResourceNotFoundException"))?;
        let shard = &self.shards[number];
        let records = &shard.records;
        let after = match input["ShardIteratorType"].as_str().unwrap() {
            "TRIM_HORIZON" => 0,
            "LATEST" => records.last().map_or(0, |(sequence, ..)| *sequence),
            "AT_TIMESTAMP" => {
                let from = (input["Timestamp"].as_f64().unwrap() * 1000.0) as i64;
                records.iter().take_while(|(_, arrival, _)| *arrival < from).last().map_or(0, |record| record.0)
            }
            kind @ ("AFTER_SEQUENCE_NUMBER" | "AT_SEQUENCE_NUMBER") => {
                let stored: u64 = input["StartingSequenceNumber"].as_str().unwrap().parse().unwrap();
                // A number that the shard gave out once is accepted for good: reading begins at what is left.
                let is_given = records.iter().any(|record| record.0 == stored) || shard.accepted == Some(stored);
                let is_known = is_given || stored <= shard.trimmed;
                if !is_known || (self.refuses_trimmed && stored <= shard.trimmed) {
                    return Err((400, "InvalidArgumentException"));
                }
                stored - u64::from(kind == "AT_SEQUENCE_NUMBER")
            }
            other => panic!("{other} is not scripted"),
        };
        Ok(json!({ "ShardIterator": self.seal(number, after) }))
    }

    fn records(&mut self, input: &Value) -> Answer {
        let (number, after) = self.open(input["ShardIterator"].as_str().unwrap(), "ExpiredIteratorException")?;
        let shard = &self.shards[number];
        if shard.expired {
            return Err((400, "ResourceNotFoundException"));
        }
        let (mut given, mut bytes, mut last) = (Vec::new(), 0, after);
        let mut rest = shard.records.iter().filter(|(sequence, ..)| *sequence > after).peekable();
        let limit = input["Limit"].as_u64().unwrap_or(10_000) as usize;
        while let Some((sequence, arrival, data)) =
            rest.next_if(|(.., data)| given.len() < limit && bytes + data.len() <= ANSWER_BYTES)
        {
            (bytes, last) = (bytes + data.len(), *sequence);
            given.push(json!({
                "SequenceNumber": sequence.to_string(),
                "ApproximateArrivalTimestamp": *arrival as f64 / 1000.0,
                "Data": STANDARD.encode(data),
                "PartitionKey": "k",
            }));
        }
        let is_behind = rest.next().is_some();
        let mut answer = json!({ "Records": given, "MillisBehindLatest": if is_behind { 5000 } else { 0 } });
        if shard.closed && !is_behind {
            let child = |child: &usize| {
                let range = json!({ "StartingHashKey": "0", "EndingHashKey": "1" });
                json!({ "ShardId": shard_id(*child).as_str(), "ParentShards": [], "HashKeyRange": range })
            };
            answer["ChildShards"] = shard.children.iter().map(child).collect();
        } else {
            answer["NextShardIterator"] = json!(self.seal(number, last));
        }
        if let Some(call) = self.calls.last_mut() {
            call.bytes = bytes;
        }
        Ok(answer)
    }

    /// A token that says when it was made.
    fn seal(&self, shard: usize, at: u64) -> String {
        format!("{shard}/{at}/{}", self.epoch.elapsed().as_millis())
    }

    fn open(&self, token: &str, expired: &'static str) -> Result<(usize, u64), (u16, &'static str)> {
        let parts: Vec<u64> = token.split('/').map(|part| part.parse().unwrap()).collect();
        let age = self.epoch.elapsed().saturating_sub(Duration::from_millis(parts[2]));
        if age > LIFE { Err((400, expired)) } else { Ok((parts[0] as usize, parts[1])) }
    }
}
