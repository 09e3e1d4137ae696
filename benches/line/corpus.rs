//! The corpus: the same 2,000 records in every run, and what they are like. The comparisons are only as good as the
//! corpus is true to what a subscription delivers, so its properties are printed above every result.

use bedrock_tap::generator::{Generator, Profile};
use bedrock_tap::record::{Origin, Record};
use bytes::Bytes;

/// The seed of every benchmark.
const SEED: u64 = 20_261_007;
/// Records in the corpus: about 250 MB inflated, so that no cache holds it.
pub(crate) const RECORDS: usize = 2_000;

/// What is measured with.
pub(crate) struct Corpus {
    /// The records as a stream would give them.
    pub(crate) records: Vec<Record>,
    /// Bytes of all records inflated: what every rate is told in.
    pub(crate) inflated_bytes: usize,
    /// Bytes of the largest record inflated.
    pub(crate) largest_bytes: usize,
    /// Log events of all records that are invocations.
    pub(crate) invocations: usize,
}

impl Corpus {
    /// Generates the corpus.
    pub(crate) fn new() -> Self {
        let mut generator = Generator::new(SEED, Profile::bench());
        let mut corpus =
            Self { records: Vec::with_capacity(RECORDS), inflated_bytes: 0, largest_bytes: 0, invocations: 0 };
        for index in 0..RECORDS {
            let generated = generator.record();
            corpus.inflated_bytes += generated.inflated_bytes;
            corpus.largest_bytes = corpus.largest_bytes.max(generated.inflated_bytes);
            corpus.invocations += generated.request_ids.len();
            let origin = Origin::File { path: "corpus".into(), offset: index as u64 };
            corpus.records.push(Record::new(Bytes::from(generated.data), origin));
        }
        corpus
    }

    /// Bytes of all records as they came.
    pub(crate) fn compressed_bytes(&self) -> usize {
        self.records.iter().map(|record| record.data.len()).sum()
    }
}

/// Inflates a record of the corpus, which is one gzip member, into a buffer that is large enough.
pub(crate) fn inflate<'a>(floor: &mut libdeflater::Decompressor, data: &[u8], buffer: &'a mut [u8]) -> &'a [u8] {
    let length = floor.gzip_decompress(data, buffer).expect("the corpus is gzip");
    &buffer[..length]
}
