//! The s3 sink against an S3 by others, with faults in front of it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bedrock_tap::format::key::Template;
use bedrock_tap::format::{Lines, Tag};
use bedrock_tap::record::{Partition, ShardId};
use bedrock_tap::sink::s3::{self, Encoding, Encryption, Settings};
use bedrock_tap::sink::{Batch, Planned, Range, Sink, SinkError};

use super::contract::{self, Double, Trouble};
use crate::support::bucket_double::{BUCKET, BucketDouble, Fault};
use crate::support::objects_double::error_body;

pub(super) struct S3 {
    pub(super) bucket: BucketDouble,
    encoding: Encoding,
}

impl S3 {
    pub(super) async fn start(encoding: Encoding) -> Self {
        Self { bucket: BucketDouble::start().await, encoding }
    }
}

impl Double for S3 {
    fn plan(&self) -> Planned {
        let prefix = Arc::new(Template::parse("bedrock/date={date}/account={account}/").unwrap());
        s3::planned(Settings { encoding: self.encoding, prefix, ..self.bucket.settings() })
    }

    fn script(&self, troubles: &[Trouble]) {
        let fault = |trouble: &Trouble| match trouble {
            Trouble::Busy => Fault::Error(503, "SlowDown", Some(("retry-after", "1"))),
            Trouble::Partial => Fault::Error(503, "SlowDown", None),
            Trouble::Error => Fault::Error(500, "InternalError", None),
            Trouble::Hang => Fault::Silence,
            Trouble::AppliedThenCut => Fault::Cut,
        };
        self.bucket.script("any", troubles.iter().map(fault));
    }

    fn refuse(&self, _: &str) -> bool {
        false
    }

    fn held(&self) -> Vec<String> {
        self.bucket.keys().iter().flat_map(|key| self.bucket.lines(key)).collect()
    }

    fn is_idempotent(&self) -> bool {
        true
    }

    fn max_item_bytes(&self) -> usize {
        usize::MAX
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_contract() {
    contract::check(async || S3::start(Encoding::Zstd(1)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_compressed_or_by_gzip_arrives_as_well() {
    for encoding in [Encoding::Gzip(1), Encoding::Plain] {
        let s3 = S3::start(encoding).await;
        let items = contract::items(20);
        assert!(contract::deliver(&s3, &items, 7).await.is_empty());
        assert_eq!(s3.held(), items);
    }
}

async fn open(settings: Settings) -> Arc<dyn Sink> {
    (s3::planned(settings).opening)().await.unwrap()
}

/// A batch of items with the keys that they are filed under.
fn batch(items: &[(&str, String)], range: Option<Range>) -> Arc<Batch> {
    let mut lines = Lines::default();
    for (key, item) in items {
        lines.push_with(|out| out.extend_from_slice(item.as_bytes()));
        lines.tag_last(Tag { id: [7; 16], time: "2026-01-02T03:04:05Z".parse().unwrap(), key: (*key).into() });
    }
    Arc::new(Batch { parts: vec![lines], range: range.map(Arc::new) })
}

fn range(shard: &str) -> Option<Range> {
    let partition = Partition { stream: "calls".into(), shard: ShardId::new(shard) };
    Some(Range { partition, from: "start".into(), to: "after:123/4".into() })
}

/// Six bits a byte, so that it stays as large.
fn noise(bytes: usize) -> String {
    static NOISE: LazyLock<String> = LazyLock::new(|| {
        let mut state = 1_u64;
        let mut text = Vec::with_capacity(16 << 20);
        while text.len() < 16 << 20 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.extend((state ^ state >> 29).to_be_bytes().map(|byte| b'#' + (byte & 63)));
        }
        String::from_utf8(text).unwrap()
    });
    NOISE[..bytes].to_owned()
}

/// The smallest parts that S3 takes.
const PART: usize = 5 << 20;

/// The source of an error that asks to be tried again, with its causes.
#[track_caller]
fn retried(result: Result<(), SinkError>) -> (String, Option<Duration>) {
    match result {
        Err(SinkError::Retry { after, source }) => {
            (bedrock_tap::sink::retry::Causes(source.as_ref()).to_string(), after)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_prefix_is_an_object_and_a_range_is_written_once() {
    let bucket = BucketDouble::start().await;
    let sink = open(bucket.settings()).await;
    let items = [("a/x/", "1".to_owned()), ("a/y/", "2".to_owned()), ("a/x/", "3".to_owned())];
    for _ in 0..3 {
        sink.deliver(batch(&items, range("shardId-000000000001"))).await.unwrap();
    }
    let mut keys = bucket.keys();
    keys.sort();
    assert_eq!(keys.len(), 2, "{keys:?}");
    for (key, (folder, lines)) in keys.iter().zip([("a/x/", vec!["1", "3"]), ("a/y/", vec!["2"])]) {
        let start = format!("{folder}calls-shardId-000000000001-start-123_4-");
        assert!(key.starts_with(&start) && key.ends_with(".jsonl.zst"), "{key}");
        assert_eq!(bucket.lines(key), lines);
    }
    // Another shard is another object.
    sink.deliver(batch(&items, range("shardId-000000000002"))).await.unwrap();
    assert_eq!((bucket.keys().len(), bucket.files()), (4, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_no_range_is_named_by_its_time_and_content() {
    let bucket = BucketDouble::start().await;
    let sink = open(Settings { encoding: Encoding::Gzip(1), ..bucket.settings() }).await;
    for item in ["1", "2", "1"] {
        sink.deliver(batch(&[("dead/", item.to_owned())], None)).await.unwrap();
    }
    let keys = bucket.keys();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key.starts_with("dead/20260102T030405Z-") && key.ends_with(".jsonl.gz")), "{keys:?}");
    sink.deliver(Arc::default()).await.unwrap();
    assert_eq!(bucket.asked().len(), 3, "something was written for an empty batch");
}

#[tokio::test(flavor = "multi_thread")]
async fn unsafe_names_stay_in_the_bucket() {
    let bucket = BucketDouble::start().await;
    let prefix = Arc::new(Template::parse("lake/m={model}/").unwrap());
    let timeout = Duration::from_secs(30);
    let sink = open(Settings { prefix, timeout, encoding: Encoding::Plain, ..bucket.settings() }).await;
    let keys: Vec<String> = (0..5).map(|n| format!("lake/m={n}/")).collect();
    let items: Vec<(&str, String)> = keys.iter().map(|key| (key.as_str(), key.clone())).collect();
    let odd = range("/var/log/../ü %?#\n.gz");
    for _ in 0..2 {
        sink.deliver(batch(&items, odd.clone())).await.unwrap();
    }
    let written = bucket.keys();
    assert_eq!((written.len(), bucket.files()), (5, 5));
    for key in written {
        assert!(key.contains("/calls-_var_log_.._______.gz-start-123_4-"), "{key}");
        assert!(keys.contains(&bucket.lines(&key)[0]) && key.starts_with(&bucket.lines(&key)[0]), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_is_written_in_parts() {
    let bucket = BucketDouble::start().await;
    let timeout = Duration::from_secs(30);
    let settings = Settings { part_bytes: PART, timeout, encoding: Encoding::Plain, ..bucket.settings() };
    let sink = open(settings.clone()).await;
    let line = noise(3 * PART - 1);
    for _ in 0..2 {
        sink.deliver(batch(&[("a/", line.clone())], range("1"))).await.unwrap();
    }
    let mut expected = vec!["create"];
    expected.extend(["part"; 3]);
    expected.push("complete");
    assert_eq!(bucket.whats(), expected.repeat(2));
    let [key] = &bucket.keys()[..] else { panic!("one object") };
    assert!(bucket.lines(key) == [line], "the parts are not in order");
    // What has two parts at most goes at once.
    sink.deliver(batch(&[("a/", "x".repeat(2 * PART - 1))], range("2"))).await.unwrap();
    assert_eq!(bucket.whats().last(), Some(&"PUT"));
}

/// Waits until there was such a request.
async fn until_asked(bucket: &BucketDouble, what: &str) {
    let asked = async {
        while !bucket.whats().contains(&what) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap_or_else(|_| panic!("{what} was not asked for"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_fails_in_parts_is_aborted() {
    let check = async |what: &'static str, fault: Fault, expected: &str| {
        let bucket = BucketDouble::start().await;
        bucket.script(what, [fault]);
        let timeout = Duration::from_secs(10);
        let settings = Settings { part_bytes: PART, timeout, encoding: Encoding::Plain, ..bucket.settings() };
        let sink = open(settings).await;
        let (error, _) = retried(sink.deliver(batch(&[("a/", noise(2 * PART + 7))], range("1"))).await);
        assert!(error.contains(expected), "{error}");
        until_asked(&bucket, "abort").await;
        assert_eq!(bucket.keys(), Vec::<String>::new());
        // The next try writes it whole.
        sink.deliver(batch(&[("a/", noise(2 * PART + 7))], range("1"))).await.unwrap();
        assert_eq!(bucket.keys().len(), 1);
    };
    check("part", Fault::Error(500, "InternalError", None), "writing a part in the bucket logs failed: InternalError")
        .await;
    check("part", Fault::Cut, "writing a part").await;
    let late_error = Fault::Answer(error_body("InternalError"));
    check("complete", late_error, "completing an object in the bucket logs failed: InternalError (200)").await;
    check("complete", Fault::Answer("<html>hello</html>".to_owned()), "completing an object").await;
    check("complete", Fault::Answer(String::new()), "completing an object").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_dropped_half_way_is_aborted() {
    let bucket = BucketDouble::start().await;
    bucket.script("part", [Fault::Silence]);
    let timeout = Duration::from_secs(30);
    let sink = open(Settings { part_bytes: PART, timeout, encoding: Encoding::Plain, ..bucket.settings() }).await;
    let deliver = tokio::spawn(async move { sink.deliver(batch(&[("a/", noise(2 * PART + 7))], range("1"))).await });
    until_asked(&bucket, "part").await;
    deliver.abort();
    until_asked(&bucket, "abort").await;
    assert!(bucket.keys().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_of_s3_is_no_success() {
    let bucket = BucketDouble::start().await;
    let sink = open(bucket.settings()).await;
    let item = || batch(&[("a/", "1".to_owned())], range("1"));
    bucket.script("PUT", [Fault::Answer("<html>a portal</html>".to_owned())]);
    let (error, _) = retried(sink.deliver(item()).await);
    assert!(error.contains("the answer is none of S3; check that `endpoint_url`"), "{error}");
    sink.deliver(item()).await.unwrap();
    bucket.script("create", [Fault::Answer("<a/>".to_owned())]);
    retried(sink.probe().await);
    // One that does not end is not read to its end.
    let result = |padding: usize| {
        let padding = "x".repeat(padding);
        format!("<InitiateMultipartUploadResult><!--{padding}--><UploadId>a</UploadId></InitiateMultipartUploadResult>")
    };
    for (padding, whats) in [(2 << 20, vec!["create"]), (1000, vec!["create", "abort"])] {
        let before = bucket.whats().len();
        bucket.script("create", [Fault::Answer(result(padding))]);
        retried(sink.probe().await);
        assert_eq!(bucket.whats()[before..], whats);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_the_bucket_and_the_way_out() {
    let bucket = BucketDouble::start().await;
    let sink = open(bucket.settings()).await;
    let check = async |status: u16, code: &'static str, expected: &str| {
        let header = (status == 503).then_some(("retry-after", "7"));
        bucket.script("PUT", [Fault::Error(status, code, header)]);
        let (error, after) = retried(sink.deliver(batch(&[("a/", "1".to_owned())], range("1"))).await);
        let start = format!("writing an object in the bucket {BUCKET} failed: ");
        assert!(error.starts_with(&start) && error.contains(expected), "{error}");
        assert!(!error.contains("secret-text"), "{error}");
        assert_eq!(after, header.map(|_| Duration::from_secs(7)));
    };
    check(404, "NoSuchBucket", "NoSuchBucket (404); create it, or correct `bucket`").await;
    check(403, "AccessDenied", "AccessDenied (403); allow s3:PutObject").await;
    check(403, "SignatureDoesNotMatch", "check the credentials").await;
    check(403, "ExpiredToken", "check the credentials").await;
    check(400, "KMS.DisabledException", "check that `kms_key_id` is an enabled key").await;
    check(400, "KMS.NotFoundException", "check that `kms_key_id`").await;
    check(301, "PermanentRedirect", "set `region` to the bucket's Region").await;
    check(307, "TemporaryRedirect", "set `region`").await;
    check(400, "AuthorizationHeaderMalformed", "set `region`").await;
    check(400, "InvalidStorageClass", "correct `storage_class`").await;
    check(400, "EntityTooLarge", "set `object_size` to less").await;
    check(503, "SlowDown", "SlowDown (503)").await;
    check(400, "RequestTimeout", "RequestTimeout (400)").await;
    check(500, "InternalError", "InternalError (500)").await;
    check(501, "NotImplemented", "NotImplemented (501)").await;
    bucket.script("PUT", [Fault::Silence]);
    let (error, _) = retried(sink.deliver(batch(&[("a/", "1".to_owned())], range("1"))).await);
    assert!(error.contains("no answer in time") || error.contains("timed out"), "{error}");
    assert!(bucket.keys().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_say_how_objects_are_stored() {
    let bucket = BucketDouble::start().await;
    let settings = Settings {
        storage_class: Some("STANDARD".to_owned()),
        encryption: Some(Encryption::Kms(Some("alias/bedrock".to_owned()))),
        expected_bucket_owner: Some("123456789012".to_owned()),
        part_bytes: PART,
        encoding: Encoding::Gzip(1),
        timeout: Duration::from_secs(30),
        ..bucket.settings()
    };
    let sink = open(settings.clone()).await;
    sink.deliver(batch(&[("a/", "1".to_owned())], range("1"))).await.unwrap();
    sink.deliver(batch(&[("a/", noise(16 << 20))], range("2"))).await.unwrap();
    let sink = open(Settings { encryption: Some(Encryption::Aes256), encoding: Encoding::Zstd(1), ..settings }).await;
    sink.deliver(batch(&[("a/", "1".to_owned())], range("3"))).await.unwrap();
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for asked in bucket.asked() {
        let header = |name: &str| asked.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        *found.entry(asked.what).or_default() += 1;
        assert_eq!(header("x-amz-expected-bucket-owner").as_deref(), Some("123456789012"), "{}", asked.what);
        assert_eq!(header("content-encoding"), None, "{}", asked.what);
        // What knows no newer checksum is not sent one.
        assert!(asked.headers.keys().all(|name| !name.as_str().contains("checksum")), "{:?}", asked.headers);
        if asked.what == "PUT" || asked.what == "part" {
            assert_eq!(header("x-amz-content-sha256").map(|hash| hash.len()), Some(64));
        }
        let begins = matches!(asked.what, "PUT" | "create");
        let zstd = asked.key.ends_with(".zst");
        let expected = |text: &str| begins.then(|| text.to_owned());
        let (media, algorithm) = if zstd { ("zstd", "AES256") } else { ("gzip", "aws:kms") };
        assert_eq!(header("x-amz-storage-class"), expected("STANDARD"));
        assert_eq!(header("x-amz-server-side-encryption"), expected(algorithm));
        let key_id = expected("alias/bedrock").filter(|_| !zstd);
        assert_eq!(header("x-amz-server-side-encryption-aws-kms-key-id"), key_id);
        if begins {
            assert_eq!(header("content-type"), Some(format!("application/{media}")));
        }
    }
    assert_eq!((found["PUT"], found["create"], found["complete"]), (2, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_go_with_a_checksum_where_it_is_known() {
    let bucket = BucketDouble::start().await;
    let timeout = Duration::from_secs(30);
    let settings = Settings { crc32: Some(true), part_bytes: PART, timeout, ..bucket.settings() };
    let sink = open(Settings { encoding: Encoding::Plain, ..settings }).await;
    // The double compares what it computes.
    sink.deliver(batch(&[("a/", "1".to_owned())], range("1"))).await.unwrap();
    sink.deliver(batch(&[("a/", noise(2 * PART + 7))], range("2"))).await.unwrap();
    for asked in bucket.asked() {
        let has = |name: &str| asked.headers.contains_key(name);
        match asked.what {
            "PUT" | "part" => {
                assert!(has("x-amz-checksum-crc32") && has("content-length"), "{:?}", asked.headers.keys())
            }
            "create" => assert_eq!(asked.headers["x-amz-checksum-algorithm"], "CRC32"),
            _ => {}
        }
    }
    assert_eq!(bucket.keys().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_writes_nothing_and_finds_what_is_missing() {
    let bucket = BucketDouble::start().await;
    let prefix = Arc::new(Template::parse("lake/date={date}/").unwrap());
    let sink = open(Settings { prefix, ..bucket.settings() }).await;
    sink.probe().await.unwrap();
    assert_eq!(bucket.whats(), ["create", "abort"]);
    assert!(bucket.asked().iter().all(|asked| asked.key == "lake/bedrock-tap-probe.jsonl.zst"));
    assert!(bucket.asked()[1].query.contains("uploadId="));
    assert_eq!(bucket.files(), 0);
    bucket.script("create", [Fault::Error(404, "NoSuchBucket", None)]);
    assert!(retried(sink.probe().await).0.contains("create it, or correct `bucket`"));
    bucket.script("abort", [Fault::Error(403, "AccessDenied", None)]);
    assert!(retried(sink.probe().await).0.contains("s3:AbortMultipartUpload"));
    assert_eq!(bucket.files(), 0);
}
