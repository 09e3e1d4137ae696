//! Log groups, their subscription filters, and the account's. Source: the CloudWatch Logs API reference,
//! `DescribeSubscriptionFilters`, `DescribeAccountPolicies`, `TestMetricFilter`.

use aws_sdk_cloudwatchlogs::types::PolicyType;
use serde::Deserialize;

use super::{Reach, kms};
use crate::doctor::facts::{AccountPolicy, Asked, Filter, Group, Refusal, Refused};
use crate::source::cloudwatch::client::{self, LogGroup, Logs};
use crate::source::cloudwatch::error::{CallError, Policy};

/// The pattern that takes Bedrock's records, and the notice of its permission check not.
pub(in crate::doctor) const PATTERN: &str = r#"{ $.schemaType = "ModelInvocationLog" }"#;

/// What a pattern is tried with: a record as Bedrock writes it, without anything in it.
const SAMPLE: &str = r#"{"timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","identity":{"arn":"arn:aws:sts::123456789012:assumed-role/a/b"},"region":"us-east-1","requestId":"00000000-0000-0000-0000-000000000000","operation":"Converse","modelId":"amazon.nova-lite-v1:0","input":{"inputContentType":"application/json","inputBodyJson":{},"inputTokenCount":1},"output":{"outputContentType":"application/json","outputBodyJson":{},"outputTokenCount":1},"schemaType":"ModelInvocationLog","schemaVersion":"1.0"}"#;

/// Pages of account policies that are read: there is one policy of this kind in an account and Region.
const MAX_PAGES: usize = 10;

/// All about a log group. `calls` is the pace of the client, which this asks little.
pub(super) async fn group(reach: &Reach, logs: &Logs, name: &str) -> Group {
    let given = client::Group::of(name);
    let (found, filters) = tokio::join!(described(reach, logs, &given), filters(reach, logs, &given));
    let key = match &found {
        Ok(Some(LogGroup { kms_key: Some(key), .. })) => Some(kms::state(reach, key).await),
        _ => None,
    };
    Group { name: given.name.to_string(), found, filters, key }
}

async fn described(reach: &Reach, logs: &Logs, group: &client::Group) -> Asked<Option<LogGroup>> {
    let asked = async {
        match logs.describe(group).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.policy == Policy::NotFound => Ok(None),
            Err(error) => Err(refusal(error)),
        }
    };
    reach.within("logs:DescribeLogGroups", asked).await
}

fn refusal(error: CallError) -> Refusal {
    let refused = match (error.policy, error.code.as_str()) {
        (Policy::Denied, "AccessDeniedException" | "AccessDenied") => Refused::Right,
        (Policy::Denied, _) => Refused::Credentials,
        (Policy::NotFound, _) => Refused::Missing,
        (_, "no answer in time") => Refused::Late,
        _ => Refused::Other,
    };
    let CallError { operation, code, message, .. } = error;
    Refusal { action: format!("logs:{operation}"), refused, code, message }
}

async fn filters(reach: &Reach, logs: &Logs, group: &client::Group) -> Asked<Vec<Filter>> {
    let action = "logs:DescribeSubscriptionFilters";
    let asked = async {
        let call = logs.client().describe_subscription_filters().log_group_name(&*group.name);
        // A log group has two at most, and a page fifty.
        let answer = Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error))?;
        let mut filters: Vec<Filter> = Vec::new();
        for filter in answer.subscription_filters.unwrap_or_default() {
            filters.push(Filter {
                name: filter.filter_name.unwrap_or_default(),
                pattern: filter.filter_pattern.unwrap_or_default(),
                destination: filter.destination_arn.unwrap_or_default(),
                role: filter.role_arn.filter(|role| !role.is_empty()),
                distribution: filter.distribution.map(|distribution| distribution.as_str().to_owned()),
                matches: None,
            });
        }
        Ok(filters)
    };
    let mut filters = match reach.within(action, asked).await {
        Err(refusal) if refusal.refused == Refused::Missing => return Ok(Vec::new()),
        asked => asked?,
    };
    for filter in &mut filters {
        filter.matches = try_pattern(reach, logs, &filter.pattern).await;
    }
    Ok(filters)
}

/// Tries a pattern that is not known; none where it is known, and needs no question.
async fn try_pattern(reach: &Reach, logs: &Logs, pattern: &str) -> Option<Asked<bool>> {
    let action = "logs:TestMetricFilter";
    if takes_bedrock(pattern) {
        return None;
    }
    let asked = async {
        let call = logs.client().test_metric_filter().filter_pattern(pattern).log_event_messages(SAMPLE);
        let answer = Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error))?;
        Ok(!answer.matches.unwrap_or_default().is_empty())
    };
    Some(reach.within(action, asked).await)
}

/// Whether a pattern is one that is known to let Bedrock's records through.
pub(in crate::doctor) fn takes_bedrock(pattern: &str) -> bool {
    let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    pattern.trim().is_empty() || bare(pattern) == bare(PATTERN)
}

/// The document of an account's policy.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    destination_arn: Option<String>,
    role_arn: Option<String>,
    filter_pattern: Option<String>,
    distribution: Option<String>,
}

/// The account's subscription policies in this Region.
pub(super) async fn policies(reach: &Reach, logs: &Logs) -> Asked<Vec<AccountPolicy>> {
    let action = "logs:DescribeAccountPolicies";
    let asked = async {
        let (mut policies, mut token) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let call = logs.client().describe_account_policies().policy_type(PolicyType::SubscriptionFilterPolicy);
            let call = call.set_next_token(token.take());
            let answer = Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error))?;
            for policy in answer.account_policies.unwrap_or_default() {
                let document = policy.policy_document.unwrap_or_default();
                let document: Document = serde_json::from_str(&document).map_err(|_| Refusal::unreadable(action))?;
                policies.push(AccountPolicy {
                    filter: Filter {
                        name: policy.policy_name.unwrap_or_default(),
                        pattern: document.filter_pattern.unwrap_or_default(),
                        destination: document.destination_arn.unwrap_or_default(),
                        role: document.role_arn,
                        distribution: document.distribution,
                        matches: None,
                    },
                    except: excepted(policy.selection_criteria.as_deref().unwrap_or_default()),
                });
            }
            token = answer.next_token;
            if token.is_none() {
                break;
            }
        }
        Ok(policies)
    };
    reach.within(action, asked).await
}

/// The names in `LogGroupName NOT IN ["…", "…"]`, the only form that there is.
fn excepted(criteria: &str) -> Vec<String> {
    let list = criteria.find('[').map(|at| &criteria[at..]).unwrap_or_default();
    let list = &list[..list.rfind(']').map_or(0, |at| at + 1)];
    serde_json::from_str(list).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_that_a_policy_leaves_out_are_read() {
        let check = |criteria: &str, expected: &[&str]| assert_eq!(excepted(criteria), expected, "{criteria}");
        check(r#"LogGroupName NOT IN ["/a", "/b"]"#, &["/a", "/b"]);
        check("", &[]);
        check("LogGroupName NOT IN [", &[]);
        check("]LogGroupName[", &[]);
        check("[1]", &[]);
    }

    #[test]
    fn known_patterns_need_no_question() {
        let check = |pattern: &str, expected: bool| assert_eq!(takes_bedrock(pattern), expected, "{pattern}");
        check("", true);
        check(" ", true);
        check(PATTERN, true);
        check(r#"{$.schemaType="ModelInvocationLog"}"#, true);
        check(r#"{ $.schemaType = "other" }"#, false);
        check("ERROR", false);
    }

    #[test]
    fn the_sample_is_a_record() {
        let sample: serde_json::Value = serde_json::from_str(SAMPLE).unwrap();
        assert_eq!(sample["schemaType"], "ModelInvocationLog");
    }
}
