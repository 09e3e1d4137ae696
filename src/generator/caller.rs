//! A caller: the account, Region and identity behind a call. All of them are invented.

use super::json::Json;
use super::random::Random;
use super::text;

const ACCOUNTS: &[&str] = &["111122223333", "123456789012", "210987654321", "444455556666", "777788889999"];
/// The Region that is called, the prefix of its inference profiles, and a Region that may serve the call instead.
const REGIONS: &[(&str, &str, &str)] = &[
    ("us-east-1", "us", "us-west-2"),
    ("us-east-2", "us", "us-east-1"),
    ("us-west-2", "us", "us-east-2"),
    ("eu-central-1", "eu", "eu-west-1"),
    ("eu-west-1", "eu", "eu-north-1"),
    ("ap-northeast-1", "apac", "ap-southeast-2"),
];
const ROLES: &[&str] = &[
    "AssistantBackend",
    "ChatGatewayTaskRole",
    "DocumentSearch",
    "NightlySummaries",
    "Notebook-Execution",
    "SupportDeskLambda",
    "ticket-triage",
];
const USERS: &[&str] = &["batch-import", "build-agent", "evaluation", "integration-test", "research/notebook-7"];
const TEAMS: &[&str] = &["billing", "claims", "fleet", "legal", "search", "support"];

/// Where a call is made and logged: the events of one log group share it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home {
    /// The account's twelve digits.
    pub(super) account: &'static str,
    /// The called Region.
    pub(super) region: &'static str,
    /// The prefix of the Region's inference profiles.
    pub(super) prefix: &'static str,
    /// Where a cross-Region call may be served.
    pub(super) elsewhere: &'static str,
}

impl Home {
    /// Any of a few.
    pub(super) fn new(random: &mut Random) -> Self {
        let account = random.pick(ACCOUNTS);
        let (region, prefix, elsewhere) = REGIONS[random.below(REGIONS.len())];
        Self { account, region, prefix, elsewhere }
    }
}

/// The ARN of someone who calls: a role's session (of a task, an instance, a person), a user, the account itself.
pub(super) fn arn(random: &mut Random, account: &str) -> String {
    match random.weighted(&[45, 20, 15, 15, 5]) {
        0 => {
            let mut session = String::new();
            random.hex(32, &mut session);
            format!("arn:aws:sts::{account}:assumed-role/{}/{session}", random.pick(ROLES))
        }
        1 => {
            format!("arn:aws:sts::{account}:assumed-role/{}/i-0{:016x}", random.pick(ROLES), random.bits())
        }
        2 => {
            let (team, number) = (random.pick(TEAMS), random.between(1, 40));
            let mut suffix = String::new();
            random.hex(16, &mut suffix);
            let role = format!("AWSReservedSSO_ModelUser_{suffix}");
            format!("arn:aws:sts::{account}:assumed-role/{role}/analyst-{number}.{team}@example.com")
        }
        3 => format!("arn:aws:iam::{account}:user/{}", random.pick(USERS)),
        _ => format!("arn:aws:iam::{account}:root"),
    }
}

/// Writes `requestMetadata` where the caller set some; the chat API of OpenAI is logged with `null`.
pub(super) fn request_metadata(random: &mut Random, null: bool, json: &mut Json) {
    if null {
        json.key("requestMetadata").raw("null");
    } else if random.chance(150) {
        json.key("requestMetadata").object(|json| {
            json.key("team").text(random.pick(TEAMS));
            if random.chance(500) {
                json.key("feature").text(&text::identifier(random, '-'));
            }
            json.key("trace").text(&random.uuid());
        });
    }
}
