//! Evidence of a guardrail that intervened.

use super::super::json::Json;
use super::super::random::Random;

/// A guardrail's assessment of a text.
#[derive(Debug)]
pub(in super::super) struct Evidence {
    /// The guardrail's id.
    pub(in super::super) id: String,
    reason: &'static str,
    policy: usize,
    on_output: bool,
    latency: usize,
}

impl Evidence {
    /// An intervention of some policy.
    pub(in super::super) fn new(random: &mut Random) -> Self {
        let mut id = String::new();
        random.symbols(b"abcdefghijklmnopqrstuvwxyz0123456789", 12, &mut id);
        let policy = random.below(4);
        // Masking is an intervention too; it blocks nothing.
        let reason = if policy == 3 { "Guardrail masked." } else { "Guardrail blocked." };
        Self { id, reason, policy, on_output: random.chance(300), latency: random.between(140, 900) }
    }

    /// Writes the member `guardrail` of Converse's `trace`.
    pub(in super::super) fn converse(&self, blocked: &str, json: &mut Json) {
        json.key("guardrail").object(|json| {
            if self.on_output {
                json.key("modelOutput").array(|json| json.text(blocked));
                json.key("outputAssessments").object(|json| {
                    json.key(&self.id).array(|json| self.assessment(json));
                });
            } else {
                json.key("inputAssessment").object(|json| {
                    json.key(&self.id);
                    self.assessment(json);
                });
            }
            json.key("actionReason").text(self.reason);
        });
    }

    /// Writes the keys that Bedrock adds to a native body or a stream's event.
    pub(in super::super) fn native(&self, blocked: &str, json: &mut Json) {
        json.key("amazon-bedrock-trace").object(|json| {
            json.key("guardrail").object(|json| {
                if self.on_output {
                    json.key("modelOutput").array(|json| json.text(blocked));
                    json.key("outputs").array(|json| {
                        json.object(|json| {
                            json.key(&self.id);
                            self.assessment(json);
                        });
                    });
                } else {
                    json.key("input").object(|json| {
                        json.key(&self.id);
                        self.assessment(json);
                    });
                }
                json.key("actionReason").text(self.reason);
            });
        });
        json.key("amazon-bedrock-guardrailAction").text("INTERVENED");
    }

    fn assessment(&self, json: &mut Json) {
        json.object(|json| {
            match self.policy {
                0 => json.key("topicPolicy").object(|json| {
                    json.key("topics").array(|json| {
                        json.object(|json| {
                            json.key("name").text("Tariff negotiation");
                            json.key("type").text("DENY");
                            json.key("action").text("BLOCKED");
                        });
                    });
                }),
                1 => json.key("contentPolicy").object(|json| {
                    json.key("filters").array(|json| {
                        json.object(|json| {
                            json.key("type").text("PROMPT_ATTACK");
                            json.key("confidence").text("HIGH");
                            json.key("filterStrength").text("HIGH");
                            json.key("action").text("BLOCKED");
                        });
                    });
                }),
                2 => json.key("wordPolicy").object(|json| {
                    json.key("customWords").array(|json| {
                        json.object(|json| {
                            json.key("match").text("project heron");
                            json.key("action").text("BLOCKED");
                        });
                    });
                }),
                _ => json.key("sensitiveInformationPolicy").object(|json| {
                    json.key("piiEntities").array(|json| {
                        json.object(|json| {
                            json.key("match").text("analyst-3@example.com");
                            json.key("type").text("EMAIL");
                            json.key("action").text("ANONYMIZED");
                        });
                    });
                }),
            }
            json.key("invocationMetrics").object(|json| self.metrics(json));
        });
    }

    fn metrics(&self, json: &mut Json) {
        json.key("guardrailProcessingLatency").number(self.latency);
        json.key("usage").object(|json| {
            let units =
                ["topicPolicyUnits", "contentPolicyUnits", "wordPolicyUnits", "sensitiveInformationPolicyUnits"];
            for (index, unit) in units.into_iter().enumerate() {
                json.key(unit).number(u8::from(index == self.policy));
            }
        });
        json.key("guardrailCoverage").object(|json| {
            json.key("textCharacters").object(|json| {
                json.key("guarded").number(self.latency + 12);
                json.key("total").number(self.latency + 12);
            });
        });
    }
}
