use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue};

use super::*;
use crate::format::Lines;
use crate::format::key::Template;

fn batch(items: u8) -> Batch {
    let (mut lines, template) = (Lines::default(), Template::parse("logs").unwrap());
    for n in 1..=items {
        lines.push_with(|out| out.extend_from_slice(b"{}"));
        lines.tag_last(template.tag_of([n; 16], jiff::Timestamp::UNIX_EPOCH));
    }
    Batch { parts: vec![lines], range: None }
}

fn answer(status: u16, body: &str) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("7"));
    Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// What becomes of the items: `ok`, what is retried and why, and what is refused.
fn told(status: u16, body: &str, items: u8) -> String {
    match read(&answer(status, body), &batch(items), true).map_err(|rest| rest.into_error("logs")) {
        Ok(()) => "ok".into(),
        Err(SinkError::Retry { after, source }) => {
            assert_eq!(after, Some(std::time::Duration::from_secs(7)));
            assert_eq!(source.downcast_ref::<Held>().unwrap().items, usize::from(items));
            format!("all: {source}")
        }
        Err(SinkError::Partial { retry, refused, source, .. }) => format!("{retry:?} {refused:?}: {source}"),
        Err(SinkError::Refused { answer }) => format!("refused: {answer}"),
        Err(error) => format!("{error:?}"),
    }
}

fn entry(n: u8, rest: &str) -> String {
    format!(r#"{{"create":{{"_index":"logs","_id":"{}",{rest}}}}}"#, format!("{n:02x}").repeat(16))
}

fn fault(n: u8, status: u16, kind: &str, reason: &str) -> String {
    entry(n, &format!(r#""status":{status},"error":{{"type":"{kind}","reason":"{reason}"}}"#))
}

fn bulk(entries: &[String]) -> String {
    format!(r#"{{"took":1,"errors":false,"items":[{}]}}"#, entries.join(","))
}

#[test]
fn an_item_is_taken_refused_or_tried_again() {
    let check = |status: u16, kind: &str, reason: &str, expected: &str| {
        let found = told(200, &bulk(&[entry(1, r#""status":201"#), fault(2, status, kind, reason)]), 2);
        assert!(found.contains(expected), "{status} {kind}: {found}");
    };
    let (again, refused) = ("[1] []: 1 items for the index logs: ", r#"[] [(1, ""#);
    check(409, "version_conflict_engine_exception", "document already exists", "ok");
    check(409, "resource_already_exists_exception", "", &format!("{again}the cluster fails, with status 409"));
    check(429, "es_rejected_execution_exception", "queue", &format!("{again}the cluster is busy"));
    check(429, "rejected_execution_exception", "queue", &format!("{again}the cluster is busy"));
    check(429, "circuit_breaking_exception", "data too large", &format!("{again}the cluster is busy"));
    check(429, "cluster_block_exception", "flood-stage watermark", &format!("{again}the index is closed or blocked"));
    check(503, "unavailable_shards_exception", "", &format!("{again}the cluster fails, with status 503"));
    check(500, "null_pointer_exception", "", &format!("{again}the cluster fails, with status 500"));
    check(404, "index_not_found_exception", "", &format!("{again}there is no such index"));
    check(400, "index_closed_exception", "", &format!("{again}the index is closed"));
    check(403, "cluster_block_exception", "FORBIDDEN/12", &format!("{again}the index is closed or blocked"));
    check(403, "security_exception", "", &format!("{again}the credentials may not write there"));
    check(401, "security_exception", "", &format!("{again}the cluster does not accept the credentials"));
    check(400, "invalid_index_name_exception", "", &format!("{again}the cluster takes no index of this name"));
    check(400, "validation_exception", "this action would add [2] shards", &format!("{again}the cluster makes no"));
    check(400, "illegal_argument_exception", "pipeline with id [x] does not exist", &format!("{again}the ingest"));
    check(400, "illegal_argument_exception", "Document ID is not supported in create", &format!("{again}the coll"));
    check(400, "illegal_argument_exception", "explicit index in bulk is not allowed", &format!("{again}the cluster d"));
    check(400, "illegal_argument_exception", "no write index is defined for alias [a]", &format!("{again}there is no"));
    // What quotes the document comes later in a reason.
    check(400, "illegal_argument_exception", "field [pipeline with id [x]]", refused);
    check(400, "mapper_parsing_exception", "failed to parse", refused);
    check(
        400,
        "document_parsing_exception",
        "[1:2] failed",
        "[] [(1, \"400: document_parsing_exception: [1:2] failed\")]",
    );
    check(500, "fail_processor_exception", "not wanted", refused);
    check(413, "x", "", refused);
    check(422, "x", "", refused);
    check(0, "x", "", &format!("{again}the answer does not say"));
    check(201, "x", "both taken and not", &format!("{again}the answer does not say"));
    check(400, &"k".repeat(9000), &"r".repeat(9000), &format!("{}\")]", "r".repeat(500)));
}

#[test]
fn what_a_failure_store_has_is_not_where_it_belongs() {
    let used = bulk(&[entry(1, r#""status":201,"failure_store":"used""#)]);
    assert!(told(200, &used, 1).starts_with(r#"[] [(0, "201: the data stream's failure store has it")]"#));
    let not = bulk(&[entry(1, r#""status":201,"failure_store":"not_applicable_or_unknown""#)]);
    assert_eq!(told(200, &not, 1), "ok");
}

#[test]
fn an_answer_that_lies_is_not_believed() {
    let ok = |n: u8| entry(n, r#""status":201"#);
    assert_eq!(told(200, &bulk(&[ok(1), ok(2), ok(3)]), 3), "ok");
    let not_said = "all: 3 items for the index logs: the answer does not say what became of them";
    let check = |body: &str, expected: &str| {
        let found = told(200, body, 3);
        assert_eq!(found, expected, "{body:.100}");
    };
    for body in ["", "{}", "[]", "null", "<html>", r#"{"errors":false}"#, r#"{"errors":false,"items":null}"#] {
        check(body, not_said);
    }
    check(&bulk(&[]), not_said);
    check(&bulk(&[ok(1), ok(2)]), not_said);
    check(&bulk(&[ok(1), ok(2), ok(3), ok(4)]), not_said);
    check(&bulk(&[ok(1), "{}".into(), ok(3)]), not_said);
    check(&bulk(&[ok(1), ok(2), r#"{"index":{"status":201}}"#.into()]), not_said);
    check(&bulk(&[ok(1), ok(2), entry(3, r#""status":"201""#)]), not_said);
    check(&bulk(&[ok(1), ok(2), entry(3, r#""status":99999"#)]), not_said);
    check(&bulk(&[ok(1), ok(2), entry(3, r#""status":200,"error":"yes""#)]), not_said);
    // In another order, what is said of the others is not said of these.
    check(&bulk(&[ok(2), ok(1), ok(3)]), &not_said.replace("all: 3", "[0, 1] []: 2"));
    check(&bulk(&[ok(1), ok(2), r#"{"create":{"status":201}}"#.into()]), &not_said.replace("all: 3", "[2] []: 1"));
    check(&format!(r#"{{"items":[{}]}}"#, vec!["{}"; 2_000_000].join(",")), not_said);
    check(&format!(r#"{{"items":[{}]}}"#, vec![ok(1); 200_000].join(",")), not_said);
    check(&format!(r#"{{"items":{}"#, "[".repeat(1 << 20)), not_said);
}

#[test]
fn without_ids_entries_are_taken_in_their_order() {
    let body = r#"{"items":[{"create":{"_id":"theirs","status":201}},{"create":{"status":201}}]}"#;
    assert_eq!(read(&answer(200, body), &batch(2), false), Ok(()));
}

#[test]
fn what_is_worth_a_persons_time_is_said_first() {
    let busy = fault(1, 429, "es_rejected_execution_exception", "");
    let missing = fault(2, 404, "index_not_found_exception", "");
    let refused = fault(3, 400, "mapper_parsing_exception", "bad");
    let found = told(200, &bulk(&[busy.clone(), missing.clone()]), 2);
    assert!(found.starts_with("all: 2 items for the index logs: there is no such index"), "{found}");
    let found = told(200, &bulk(&[busy, missing, refused]), 3);
    assert!(found.starts_with(r#"[0, 1] [(2, "400: mapper_parsing_exception: bad")]: 2 items"#), "{found}");
}

#[test]
fn an_answer_may_be_about_the_whole_request() {
    let check = |status: u16, body: &str, expected: &str| {
        let found = told(status, body, 3);
        assert!(found.starts_with(expected), "{status}: {found}");
    };
    let error = |kind: &str, reason: &str| format!(r#"{{"error":{{"type":"{kind}","reason":"{reason}"}},"status":0}}"#);
    let held = "all: 3 items for the index logs: ";
    check(
        400,
        &error("illegal_argument_exception", "Malformed"),
        "refused: 400: illegal_argument_exception: Malformed",
    );
    check(
        400,
        &error("illegal_argument_exception", "explicit index in bulk"),
        &format!("{held}the cluster does not let"),
    );
    check(400, "<html>HTTP request sent to HTTPS port</html>", &format!("{held}the cluster fails, with status 400"));
    check(413, "<html>", "refused: 413 Payload Too Large: <html>");
    check(401, "", &format!("{held}the cluster does not accept the credentials"));
    check(403, r#"{"message":"signature"}"#, &format!("{held}the credentials may not write there"));
    check(403, &error("cluster_block_exception", ""), &format!("{held}the index is closed or blocked"));
    check(404, "", &format!("{held}there is no such index or path"));
    check(429, "", &format!("{held}the cluster is busy"));
    for status in [202, 302, 500, 502, 503, 504] {
        let why = if status == 202 { "the answer does not say" } else { "the cluster fails, with status" };
        check(status, "", &format!("{held}{why}"));
    }
}
