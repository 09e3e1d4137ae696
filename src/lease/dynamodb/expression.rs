//! An expression: an update of a lease as DynamoDB takes it. What [`protocol::apply`](crate::lease::protocol::apply)
//! does to a row, in DynamoDB's words.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::row::{Checkpoint, PENDING_STATE, attribute};
use crate::lease::WorkerId;
use crate::lease::protocol::{Change, Update};
use crate::record::Position;
use crate::source::kinesis::shards::Start;

/// The condition of a row that is created.
pub(super) const IS_NEW: &str = "attribute_not_exists(leaseKey)";
/// The condition of every write to a row. That it exists says the counter, too; said twice, no change of the conditions
/// can make an update create a row.
pub(super) const IS_UNCHANGED: &str = "attribute_exists(leaseKey) AND leaseCounter = :counter";

const IS_NOT_ASKED: &str = "attribute_not_exists(checkpointOwner)";
/// A row of the KCL may lack the attribute.
const ONE_SWITCH_MORE: &str =
    "ownerSwitchesSinceCheckpoint = if_not_exists(ownerSwitchesSinceCheckpoint, :zero) + :one";

/// An update of one row. None of the attributes' names is a reserved word of DynamoDB.
pub(super) struct Expression {
    conditions: Vec<&'static str>,
    sets: Vec<&'static str>,
    removes: Vec<&'static str>,
    values: HashMap<String, AttributeValue>,
}

impl Expression {
    /// An update; `None` if its position is none of a shard.
    pub(super) fn of(update: &Update, start: Start) -> Option<Self> {
        let mut new = Self::unchanged(update.counter);
        let moved = match &update.change {
            Change::Renew { position } => {
                new.conditions.push(IS_NOT_ASKED);
                position.as_ref()
            }
            Change::Take { owner } => {
                new.sets.push("leaseOwner = :owner");
                new.removes.push("checkpointOwner");
                new.worker(":owner", owner);
                new.switch();
                None
            }
            Change::Ask { owner, draining } => {
                new.conditions.extend(["leaseOwner = :draining", IS_NOT_ASKED]);
                new.sets.extend(["leaseOwner = :owner", "checkpointOwner = :draining"]);
                new.worker(":owner", owner);
                new.worker(":draining", draining);
                new.switch();
                return Some(new);
            }
            Change::Commit { position } | Change::Announce { position: Some(position), .. } => Some(position),
            Change::Announce { position: None, .. } => None,
            Change::HandOver { position } => {
                new.conditions.push("attribute_exists(checkpointOwner)");
                new.removes.push("checkpointOwner");
                position.as_ref()
            }
            Change::Release { position } => {
                new.conditions.push(IS_NOT_ASKED);
                new.removes.push("leaseOwner");
                position.as_ref()
            }
        };
        new.count(update.counter);
        if let Some(position) = moved {
            new.go_on_at(position, start)?;
        }
        if let Change::Announce { to, .. } = &update.change {
            new.announce(to, start)?;
        } else if moved.is_some() {
            // What a KCL application was about to commit ends before this, or is delivered again.
            new.removes.extend([attribute::PENDING, attribute::PENDING_USER_RECORD, attribute::PENDING_STATE]);
        }
        Some(new)
    }

    fn unchanged(counter: u64) -> Self {
        let values = HashMap::from([(":counter".to_owned(), AttributeValue::N(counter.to_string()))]);
        Self { conditions: vec![IS_UNCHANGED], sets: Vec::new(), removes: Vec::new(), values }
    }

    fn count(&mut self, counter: u64) {
        self.sets.push("leaseCounter = :next");
        self.number(":next", counter + 1);
    }

    fn switch(&mut self) {
        self.sets.push(ONE_SWITCH_MORE);
        self.number(":zero", 0);
        self.number(":one", 1);
    }

    fn go_on_at(&mut self, position: &Position, start: Start) -> Option<()> {
        let Checkpoint { text, user_record, start } = Checkpoint::of(position, start)?;
        self.sets.extend(["checkpoint = :checkpoint", "checkpointSubSequenceNumber = :user_record"]);
        self.sets.push("ownerSwitchesSinceCheckpoint = :zero");
        self.values.insert(":checkpoint".to_owned(), AttributeValue::S(text));
        self.number(":user_record", user_record);
        self.number(":zero", 0);
        match start {
            Some(millis) => {
                self.sets.push("startTimestampMillis = :start");
                self.values.insert(":start".to_owned(), AttributeValue::N(millis.to_string()));
            }
            None => self.removes.push("startTimestampMillis"),
        }
        Some(())
    }

    fn announce(&mut self, to: &Position, start: Start) -> Option<()> {
        let Checkpoint { text, user_record, .. } = Checkpoint::of(to, start)?;
        self.sets.extend(["pendingCheckpoint = :pending", "pendingCheckpointSubSequenceNumber = :pending_record"]);
        self.sets.push("pendingCheckpointState = :state");
        self.values.insert(":pending".to_owned(), AttributeValue::S(text));
        self.number(":pending_record", user_record);
        self.values.insert(":state".to_owned(), AttributeValue::B(PENDING_STATE.into()));
        Some(())
    }

    fn worker(&mut self, name: &str, id: &WorkerId) {
        self.values.insert(name.to_owned(), AttributeValue::S(id.as_str().to_owned()));
    }

    fn number(&mut self, name: &str, number: u64) {
        self.values.insert(name.to_owned(), AttributeValue::N(number.to_string()));
    }

    /// The condition.
    pub(super) fn condition(&self) -> String {
        self.conditions.join(" AND ")
    }

    /// What is written.
    pub(super) fn update(&self) -> String {
        let sets = format!("SET {}", self.sets.join(", "));
        if self.removes.is_empty() { sets } else { format!("{sets} REMOVE {}", self.removes.join(", ")) }
    }

    /// The values that the two name.
    pub(super) fn values(self) -> HashMap<String, AttributeValue> {
        self.values
    }
}
