//! SubscribeToShard as the service does it: records are pushed as they are put. The emulator's own subscriptions look
//! for records every 200 ms, which would be most of what is measured.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use ferrokinesis::event_stream::{encode_initial_response, encode_subscribe_event};
use ferrokinesis::sequence::{increment_sequence, parse_sequence, shard_ix_to_hex};
use ferrokinesis::store::Store;
use http_body::Frame;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use crate::services::operation;

/// A request to subscribe is some hundred bytes.
const MAX_BODY_BYTES: usize = 1 << 16;
/// A subscription's life. Source: the Kinesis API reference, `SubscribeToShard`.
const LIFE: Duration = Duration::from_secs(300);
/// An idle subscription gets an event so often, from the emulator as from the service.
const IDLE: Duration = Duration::from_millis(200);
/// Records of an event, at most.
const RECORDS: usize = 1000;

/// Wakes subscriptions when something was put.
#[derive(Clone)]
pub(crate) struct Push {
    store: Store,
    put: watch::Sender<()>,
}

impl Push {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, put: watch::Sender::new(()) }
    }
}

/// The layer before the emulator.
pub(crate) async fn push(State(push): State<Push>, request: Request, next: Next) -> Response {
    match operation(request.headers()) {
        "PutRecord" | "PutRecords" => {
            let response = next.run(request).await;
            push.put.send_replace(());
            response
        }
        "SubscribeToShard" => {
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, MAX_BODY_BYTES).await.expect("workers send whole calls");
            let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
            // The emulator judges the request; its stream is dropped before it began.
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            if !response.status().is_success() {
                return response;
            }
            let (frames, receiver) = mpsc::channel(4);
            tokio::spawn(subscription(push, asked, frames));
            let (mut parts, _) = response.into_parts();
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::new(Frames(receiver)))
        }
        _ => next.run(request).await,
    }
}

/// Sends events until the subscription's end, or until nobody reads it.
async fn subscription(push: Push, asked: Value, frames: mpsc::Sender<Bytes>) {
    let began = Instant::now();
    let arn = asked["ConsumerARN"].as_str().unwrap_or_default();
    let stream = arn.split("stream/").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let shard = asked["ShardId"].as_str().and_then(|id| id.rsplit('-').next()?.parse().ok()).expect("it was accepted");
    let (from, to) = (shard_ix_to_hex(shard), shard_ix_to_hex(shard + 1));
    let mut puts = push.put.subscribe();
    let mut at = start(&push.store, stream, shard as usize, &asked["StartingPosition"], &from, &to).await;
    if frames.send(encode_initial_response().into()).await.is_err() {
        return;
    }
    while began.elapsed() < LIFE {
        puts.mark_unchanged();
        let found = push.store.get_records_range_limited(stream, &format!("{from}/{at}"), &to, RECORDS).await;
        let record = |(key, record): &(String, ferrokinesis::types::StoredRecord)| {
            json!({
                "SequenceNumber": key.split('/').nth(1),
                "ApproximateArrivalTimestamp": record.approximate_arrival_timestamp,
                "Data": record.data,
                "PartitionKey": record.partition_key,
            })
        };
        let records: Vec<Value> = found.iter().map(record).collect();
        if let Some((key, _)) = found.last() {
            at = after(key.split('/').nth(1).expect("keys are made so"));
        }
        let event = json!({ "Records": records, "ContinuationSequenceNumber": at, "MillisBehindLatest": 0 });
        let event = encode_subscribe_event(event.to_string().as_bytes(), "application/json");
        if frames.send(event.into()).await.is_err() {
            return;
        }
        // A put of another shard wakes this one for nothing, but makes it send nothing.
        let idle = Instant::now() + IDLE;
        while timeout(idle.saturating_duration_since(Instant::now()), puts.changed()).await.is_ok() {
            puts.mark_unchanged();
            if !push.store.get_records_range_limited(stream, &format!("{from}/{at}"), &to, 1).await.is_empty() {
                break;
            }
        }
    }
}

/// The sequence number that a subscription begins at.
async fn start(store: &Store, stream: &str, shard: usize, position: &Value, from: &str, to: &str) -> String {
    let number = || position["SequenceNumber"].as_str().expect("it was accepted");
    match position["Type"].as_str() {
        Some("AT_SEQUENCE_NUMBER") => number().to_owned(),
        Some("AFTER_SEQUENCE_NUMBER") => after(number()),
        kind => {
            let found = store.get_stream(stream).await.map(|stream| stream.shards);
            let found = found.ok().and_then(|mut shards| (shard < shards.len()).then(|| shards.swap_remove(shard)));
            let first = found.expect("it was accepted").sequence_number_range.starting_sequence_number;
            if kind == Some("TRIM_HORIZON") {
                return first;
            }
            let held = store.get_records_range(stream, &format!("{from}/{first}"), to).await;
            held.last().and_then(|(key, _)| key.split('/').nth(1)).map_or(first, after)
        }
    }
}

fn after(number: &str) -> String {
    increment_sequence(&parse_sequence(number).expect("the emulator made it"), None)
}

/// A body of frames as they come.
struct Frames(mpsc::Receiver<Bytes>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
