//! A CloudFormation template of the repairs that CloudFormation can make; the others stand in it as comments.

use serde_json::Value;

use super::Repair;
use super::page::plain;
use crate::config::fold;

const WIDTH: usize = 80;

/// The template, in YAML.
pub fn render(repairs: &[Repair]) -> String {
    let others: Vec<_> = repairs.iter().filter(|repair| repair.resources.is_empty()).collect();
    let mut page = String::new();
    if others.len() < repairs.len() {
        page.push_str("AWSTemplateFormatVersion: \"2010-09-09\"\n");
        page.push_str("Description: What bedrock-tap needs and did not find\n");
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
    if others.len() == repairs.len() {
        return page;
    }
    page.push_str("Resources:\n");
    for repair in repairs {
        for (index, (id, resource)) in repair.resources.iter().enumerate() {
            if index == 0 {
                comment(&mut page, "  ", &format!("{}: {}", repair.what, repair.why));
            }
            page.push_str(&format!("  {id}:\n"));
            yaml(&mut page, resource, 2);
        }
    }
    page
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
