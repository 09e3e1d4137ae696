//! Positions that are no sequence numbers, in a store on disk.

use bedrock_tap::checkpoint::CheckpointStore as _;
use bedrock_tap::checkpoint::local::{Local, Settings};
use bedrock_tap::record::{Partition, Position, ShardId};

#[tokio::test]
async fn they_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { directory: directory.path().to_path_buf() };
    let partition = |shard: &str| Partition { stream: "s3".into(), shard: ShardId::new(shard) };
    let positions = [
        (partition("a/2026/01/02"), Position::Key("a/2026/01/02/03/\u{fc} 1.json.gz".into())),
        (partition("group"), Position::UpTo("2026-01-02T03:04:05.678Z".parse().unwrap())),
    ];
    let store = Local::open(&settings).unwrap();
    for (partition, position) in positions.clone() {
        store.begin(partition, position).await.unwrap();
    }
    drop(store);
    assert_eq!(Local::open(&settings).unwrap().load("s3").await.unwrap(), positions);
}
