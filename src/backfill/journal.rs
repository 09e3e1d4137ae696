//! The journal: which backfills were begun and which are finished, beside the positions of what they read. A backfill that
//! is begun anew is another run of the same job, with positions of its own.

use std::sync::Arc;

use super::Job;
use crate::checkpoint::{CheckpointError, CheckpointStore};
use crate::record::{Partition, Position, ShardId};

/// One run of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    job: String,
    number: u32,
}

/// What the journal says of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It was never begun, or is to be begun anew.
    New(Run),
    /// It was begun and goes on.
    Begun(Run),
    /// Everything was delivered.
    Finished,
}

impl Run {
    /// Looks for a job, and notes that it is begun. With `restart` it is begun anew, whatever became of it before.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn find(job: &Job, restart: bool, store: &dyn CheckpointStore) -> Result<Found, CheckpointError> {
        let job = job.name();
        let runs = store.load(&job).await?;
        let numbers = runs.iter().filter_map(|(partition, _)| partition.shard.as_str().parse::<u32>().ok());
        let newest = numbers.max();
        let run = |number| Run { job: job.clone(), number };
        match newest {
            Some(number) if !restart => {
                let ended = store.load(&run(number).ended()).await?;
                Ok(if ended.is_empty() { Found::Begun(run(number)) } else { Found::Finished })
            }
            _ => {
                let number = newest.map_or(1, |newest| newest.saturating_add(1));
                let partition = Partition { stream: job.as_str().into(), shard: ShardId::new(number.to_string()) };
                store.begin(partition, Position::TrimHorizon).await?;
                Ok(Found::New(run(number)))
            }
        }
    }

    /// A run that nothing is known of, for one that leaves no trace.
    pub fn untold(job: &Job) -> Self {
        Self { job: job.name(), number: 0 }
    }

    /// The stream that the positions of its partitions are stored under.
    pub fn stream(&self) -> Arc<str> {
        format!("{} run {}", self.job, self.number).into()
    }

    /// Notes that everything was delivered.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn finish(&self, store: &dyn CheckpointStore) -> Result<(), CheckpointError> {
        let partition = Partition { stream: self.ended().into(), shard: ShardId::new("all") };
        store.begin(partition, Position::End).await
    }

    fn ended(&self) -> String {
        format!("{} ended", self.stream())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Access;
    use crate::backfill::Place;
    use crate::checkpoint::memory::Memory;

    fn job(prefix: &str, to: &str) -> Job {
        let place = Place::Objects { bucket: "logs".into(), prefix: prefix.into() };
        Job { place, from: "2026-01-01T00:00:00Z".parse().unwrap(), to: to.parse().unwrap(), access: Access::default() }
    }

    #[tokio::test]
    async fn a_job_goes_on_until_it_is_finished_and_may_be_begun_anew() {
        let store = Memory::default();
        let one = job("a", "2026-01-02T00:00:00Z");
        let find = |job: &Job, restart| {
            let (job, store) = (job.clone(), &store);
            async move { Run::find(&job, restart, store).await.unwrap() }
        };
        let Found::New(first) = find(&one, false).await else { panic!("it is new") };
        assert_eq!(find(&one, false).await, Found::Begun(first.clone()));
        first.finish(&store).await.unwrap();
        assert_eq!(find(&one, false).await, Found::Finished);
        let Found::New(second) = find(&one, true).await else { panic!("it is begun anew") };
        assert_ne!(second.stream(), first.stream());
        assert_eq!(find(&one, false).await, Found::Begun(second));
        for other in [job("a", "2026-01-02T00:00:01Z"), job("b", "2026-01-02T00:00:00Z")] {
            assert!(matches!(find(&other, false).await, Found::New(_)));
        }
    }
}
