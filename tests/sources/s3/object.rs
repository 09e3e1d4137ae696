//! An object, whatever its answers meet.

use std::time::Duration;

use bedrock_tap::budget::Budget;
use bedrock_tap::source::s3::object::{Object, ObjectError, ObjectSource, Objects, Trouble};
use bedrock_tap::source::{Read, Source as _, SourceError};
use bytes::Bytes;
use tokio::time::{sleep, timeout};

use crate::support::objects_double::{Asked, Meet, ObjectsDouble, etag};

const KEY: &str = "a b/\u{fc}+%.json";

fn object() -> Object {
    Object { bucket: "logs".into(), key: KEY.into(), version: None }
}

async fn source(double: &ObjectsDouble, object: Object) -> ObjectSource {
    let objects = Objects::connect(&double.access()).await.unwrap().patient_for(Duration::from_millis(300));
    ObjectSource::new(objects, object, 64 << 20, Budget::new(64 << 20))
}

/// The object's bytes, and the most that came at a time.
async fn read(mut source: ObjectSource) -> Result<(Vec<u8>, usize), SourceError> {
    let (mut bytes, mut most) = (Vec::new(), 0);
    loop {
        match source.next().await? {
            Read::End { .. } => return Ok((bytes, most)),
            Read::Records { records, .. } => {
                let before = bytes.len();
                records.iter().for_each(|record| bytes.extend_from_slice(&record.data));
                most = most.max(bytes.len() - before);
            }
        }
    }
}

fn content() -> Bytes {
    (0..200_000).map(|number| format!("line {number}\n")).collect::<String>().into()
}

/// Reads an object of some MB, whose requests meet these, and compares what comes of it and which ranges were asked for.
async fn check(meets: &[Meet], expected: Result<(), (Trouble, &str)>, ranges: &[Option<usize>]) {
    let double = ObjectsDouble::start().await;
    let content = content();
    double.put(&format!("logs/{KEY}"), content.clone());
    double.script(meets.to_vec());
    let found = timeout(Duration::from_secs(60), read(source(&double, object()).await)).await.expect("it does not end");
    match (found, expected) {
        (Ok((bytes, _)), Ok(())) => assert!(bytes == content, "{meets:?}: other bytes"),
        (Err(SourceError::Fatal { what, source: Some(error), .. }), Err((trouble, code))) => {
            let ObjectError { trouble: found, code: said } = error.downcast_ref().unwrap();
            assert_eq!((*found, said.as_str()), (trouble, code), "{meets:?}");
            assert_eq!(what, format!("s3://logs/{KEY}"));
        }
        (found, expected) => panic!("{meets:?}: {:?}, expected {expected:?}", found.map(|(bytes, _)| bytes.len())),
    }
    let asked: Vec<_> = double.asked();
    let expected: Vec<_> = ranges
        .iter()
        .map(|from| Asked {
            name: format!("logs/{KEY}"),
            range: from.map(|from| format!("bytes={from}-")),
            condition: from.map(|_| etag(&content)),
            version: None,
        })
        .collect();
    assert_eq!(asked, expected, "{meets:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_tried_again_where_it_broke() {
    use Meet::{Cut, Error, Silent};
    check(&[], Ok(()), &[None]).await;
    check(&[Cut(0), Cut(1_000_000)], Ok(()), &[None, None, Some(1_000_000)]).await;
    check(&[Cut(70_001), Cut(9), Cut(0)], Ok(()), &[None, Some(70_001), Some(70_010), Some(70_010)]).await;
    check(&[Silent(1_000_000)], Ok(()), &[None, Some(1_000_000)]).await;
    let busy = [Error(503, "SlowDown"), Error(500, "InternalError"), Error(400, "RequestTimeout")];
    check(&busy, Ok(()), &[None; 4]).await;
    let midst = [Cut(5), Error(503, "ServiceUnavailable"), Error(409, "OperationAborted")];
    check(&midst, Ok(()), &[None, Some(5), Some(5), Some(5)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_pass_is_named_at_once() {
    use Meet::{Cut, Error, Longer, OtherEtag, Shifted, Whole};
    use Trouble::{Archived, Changed, Denied, Elsewhere, Failed, Gone};
    for (status, code, trouble) in [
        (404, "NoSuchKey", Gone),
        (404, "NoSuchVersion", Gone),
        (403, "AccessDenied", Denied),
        (400, "KMS.DisabledException", Denied),
        (400, "ExpiredToken", Denied),
        (403, "InvalidObjectState", Archived),
        (301, "PermanentRedirect", Elsewhere),
        (400, "AuthorizationHeaderMalformed", Elsewhere),
        (405, "MethodNotAllowed", Failed),
    ] {
        check(&[Error(status, code)], Err((trouble, code)), &[None]).await;
    }
    let resumed = [None, Some(1_000_000)];
    let without = "an answer without the range that was asked for";
    check(&[Cut(1_000_000), Error(412, "PreconditionFailed")], Err((Changed, "PreconditionFailed")), &resumed).await;
    check(&[Cut(1_000_000), OtherEtag], Err((Changed, "another ETag")), &resumed).await;
    check(&[Cut(1_000_000), Whole], Err((Failed, without)), &resumed).await;
    check(&[Cut(1_000_000), Shifted(1)], Err((Failed, without)), &resumed).await;
    // What an answer promises beyond the object is asked for, and is not there.
    let end = content().len();
    check(&[Longer(10), Error(416, "InvalidRange")], Err((Failed, "InvalidRange")), &[None, Some(end)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tries_are_counted_anew_behind_each_byte() {
    let double = ObjectsDouble::start().await;
    double.put(&format!("logs/{KEY}"), content());
    double.script(vec![Meet::Cut(1000); 40]);
    let (bytes, _) = timeout(Duration::from_secs(60), read(source(&double, object()).await)).await.unwrap().unwrap();
    assert!(bytes == content());
    assert_eq!(double.asked().len(), 41);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_asked_for_and_an_empty_object_ends() {
    let double = ObjectsDouble::start().await;
    double.put("logs/empty", Bytes::new());
    let object = Object { bucket: "logs".into(), key: "empty".into(), version: Some("v 1".to_owned()) };
    assert_eq!(read(source(&double, object).await).await.unwrap(), (Vec::new(), 0));
    assert_eq!(double.asked()[0].version.as_deref(), Some("v%201"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_dropped_stops_reading() {
    let double = ObjectsDouble::start().await;
    double.put(&format!("logs/{KEY}"), content());
    let until = async |open: usize| {
        let all = timeout(Duration::from_secs(10), async {
            while double.open() != open {
                sleep(Duration::from_millis(10)).await;
            }
        });
        all.await.unwrap_or_else(|_| panic!("{} answers are open instead of {open}", double.open()));
    };
    double.script([Meet::Silent(1000)]);
    let objects = Objects::connect(&double.access()).await.unwrap();
    let mut source = ObjectSource::new(objects, object(), 64 << 20, Budget::new(64 << 20));
    assert!(timeout(Duration::from_millis(500), source.next()).await.is_err(), "it does not wait");
    until(1).await;
    drop(source);
    until(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_object_comes_in_pieces_and_no_faster_than_it_is_taken() {
    let double = ObjectsDouble::start().await;
    let size = 48 << 20;
    double.put(&format!("logs/{KEY}"), "0123456789abcde\n".repeat(size / 16));
    let objects = Objects::connect(&double.access()).await.unwrap();
    let budget = Budget::new(16 << 20);
    let mut source = ObjectSource::new(objects, object(), 64 << 20, budget.clone());
    let (mut held, mut total) = (Vec::new(), 0);
    // What is not through the line holds up what comes behind it.
    // The first piece may take its time on a busy machine; what comes behind it is read already.
    while let Ok(read) = timeout(Duration::from_secs(if total == 0 { 60 } else { 5 }), source.next()).await {
        let Read::Records { records, reservation, .. } = read.unwrap() else { panic!("all came at once") };
        total += records.iter().map(|record| record.data.len()).sum::<usize>();
        held.push(reservation);
    }
    assert!((1 << 20..=24 << 20).contains(&total), "{total} bytes came");
    drop(held);
    let (rest, most) = timeout(Duration::from_secs(60), read(source)).await.unwrap().unwrap();
    assert_eq!(total + rest.len(), size);
    assert!(most <= 9 << 20, "{most} bytes at a time");
}
