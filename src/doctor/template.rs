//! A CloudFormation template of the repairs that CloudFormation can make; the others stand in it as comments.

use serde_json::Value;

use super::Repair;
use super::page::plain;
use crate::config::fold;

const WIDTH: usize = 80;

/// The template, in YAML.
pub fn render(repairs: &[Repair]) -> String {
    let is_other = |repair: &&Repair| repair.resources.is_empty() && !repair.is_of_new;
    let others: Vec<_> = repairs.iter().filter(is_other).collect();
    let made = || repairs.iter().flat_map(|repair| &repair.resources);
    let mut page = String::new();
    if made().next().is_some() {
        page.push_str("AWSTemplateFormatVersion: \"2010-09-09\"\n");
        page.push_str("Description: What bedrock-tap needs and did not find\n");
        if made().any(|(_, resource)| resource["Type"] == "AWS::IAM::Role") {
            page.push_str("# It makes roles with names: deploy it with --capabilities CAPABILITY_NAMED_IAM.\n");
        }
    } else {
        page.push_str("# Nothing is missing that CloudFormation could make: there is no template.\n");
    }
    if !others.is_empty() {
        page.push_str("# Changes that are not in a template:\n");
        for repair in &others {
            comment(&mut page, "", &format!("- {}: {}", repair.what, repair.why));
            for line in repair.commands.iter().flat_map(|command| command.lines()) {
                page.push_str(&format!("#   {}\n", plain(line)));
            }
        }
    }
    if made().next().is_none() {
        return page;
    }
    page.push_str("Resources:\n");
    for repair in repairs {
        for (index, (id, resource)) in repair.resources.iter().enumerate() {
            if index == 0 {
                comment(&mut page, "  ", &format!("{}: {}", repair.what, repair.why));
            }
            page.push_str(&format!("  {id}:\n"));
            if resource["Type"] == "AWS::Logs::SubscriptionFilter" {
                // It is tried when it is made: log group, stream and role have to be there.
                let before = made().map(|(id, _)| id.as_str()).filter(|id| is_before(id));
                let before: Vec<_> = before.collect();
                if !before.is_empty() {
                    page.push_str(&format!("    DependsOn: {}\n", serde_json::json!(before)));
                }
            }
            yaml(&mut page, resource, 2);
        }
    }
    page
}

/// Whether a subscription filter needs the resource of this logical id.
fn is_before(id: &str) -> bool {
    id.starts_with("Stream") || id.starts_with("LogGroup") || id.starts_with("LogsRole")
}

/// Writes a comment at the beginning of lines.
pub fn note(page: &mut String, text: &str) {
    comment(page, "", text);
}

/// A comment, folded.
pub(super) fn comment(page: &mut String, indent: &str, text: &str) {
    let mut folded = String::new();
    fold(&mut folded, &plain(text), WIDTH - indent.len() - 2, 0, 0);
    for line in folded.lines() {
        page.push_str(&format!("{indent}# {line}\n"));
    }
}

/// Writes a value below its key: every string as JSON has it, which YAML takes for the same.
fn yaml(page: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let Value::Object(members) = value else { return };
    for (key, member) in members {
        match member {
            Value::Object(below) if !below.is_empty() => {
                page.push_str(&format!("{indent}{key}:\n"));
                yaml(page, member, depth + 1);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                page.push_str(&format!("{indent}{key}:\n"));
                for item in items {
                    let mut below = String::new();
                    yaml(&mut below, item, depth + 2);
                    // The first member stands behind the dash.
                    page.push_str(&format!("{indent}  - {}", below.trim_start()));
                }
            }
            plain => page.push_str(&format!("{indent}{key}: {plain}\n")),
        }
    }
}
