//! A call: what was said, used and measured in one model turn, before any family's dialect writes it down.

use super::random::{Quantiles, Random};
use super::text;

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The model was done.
    End,
    /// The model asks for a tool.
    Tool,
    /// The limit of tokens was reached.
    Length,
    /// A guardrail intervened.
    Guardrail,
}

/// A tool on offer.
#[derive(Debug)]
pub(super) struct Tool {
    /// Its name.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) description: &'static str,
    /// Its arguments, all of them strings.
    pub(super) arguments: &'static [&'static str],
}

const TOOLS: &[Tool] = &[
    Tool { name: "find_shipment", description: "Looks a shipment up by its reference", arguments: &["reference"] },
    Tool { name: "search_documents", description: "Searches the archive", arguments: &["query", "language"] },
    Tool { name: "create_ticket", description: "Opens a ticket for a team", arguments: &["team", "title", "detail"] },
    Tool { name: "tide_table", description: "Gives high and low water of a port", arguments: &["port", "date"] },
    Tool { name: "run_query", description: "Runs a read-only SQL query", arguments: &["sql"] },
];

/// What was counted: the tokens roughly match the text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Tokens of the prompt, without cached ones.
    pub(super) input: usize,
    /// Tokens of the answer.
    pub(super) output: usize,
    /// Tokens read from the prompt cache.
    pub(super) cache_read: usize,
    /// Tokens written to the prompt cache.
    pub(super) cache_write: usize,
}

impl Usage {
    /// All tokens: Bedrock's total includes the cached ones.
    pub(super) fn total(self) -> usize {
        self.input + self.output + self.cache_read + self.cache_write
    }

    /// All tokens of the prompt.
    pub(super) fn prompt(self) -> usize {
        self.input + self.cache_read + self.cache_write
    }
}

/// How much is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Bytes of all prompts of a conversation.
    pub(super) prompt: Quantiles,
    /// Bytes of an answer.
    pub(super) answer: Quantiles,
}

/// One model turn.
#[derive(Debug)]
pub(super) struct Call {
    /// The system prompt, if there is one.
    pub(super) system: Option<String>,
    /// The conversation: user, assistant, user and so on; the last is the user's.
    pub(super) turns: Vec<String>,
    /// The answer's text; empty where the model goes straight to a tool.
    pub(super) answer: String,
    /// The model's reasoning, where it shows it.
    pub(super) reasoning: Option<String>,
    /// The tools on offer.
    pub(super) tools: &'static [Tool],
    /// The tool that the model asks for with its arguments, where [`Stop::Tool`].
    pub(super) asked: Option<(&'static Tool, Vec<String>)>,
    /// How the turn ended.
    pub(super) stop: Stop,
    /// What was counted.
    pub(super) usage: Usage,
    /// Whether the prompt is cached.
    pub(super) cached: bool,
    /// The limit of tokens that the caller set.
    pub(super) max_tokens: usize,
    /// The temperature that the caller set, in tenths.
    pub(super) temperature_tenths: usize,
    /// Milliseconds to the last byte.
    pub(super) latency_millis: usize,
    /// Milliseconds to the first byte.
    pub(super) first_byte_millis: usize,
    /// When, in seconds since 1970.
    pub(super) created: i64,
}

impl Call {
    /// A turn of about these sizes.
    pub(super) fn new(random: &mut Random, sizes: Sizes, stop: Stop, created: i64) -> Self {
        let prompt_bytes = random.quantile(sizes.prompt);
        let answer_bytes = random.quantile(sizes.answer);
        let cached = random.chance(250);
        let system = (cached || random.chance(600))
            .then(|| text::instructions(random, prompt_bytes / if cached { 2 } else { 4 }));
        let history = random.weighted(&[60, 20, 12, 8]);
        let mut turns = Vec::with_capacity(history * 2 + 1);
        let left = prompt_bytes.saturating_sub(system.as_ref().map_or(0, String::len));
        for _ in 0..history {
            turns.push(text::question(random, left / (history * 3)));
            turns.push(text::answer(random, left / (history * 3)));
        }
        turns.push(text::question(random, if history == 0 { left } else { left / 3 }));

        let tools =
            if stop == Stop::Tool || random.chance(120) { &TOOLS[..random.between(1, TOOLS.len())] } else { &[] };
        let asked = (stop == Stop::Tool).then(|| ask(random, tools));
        let answer = match stop {
            Stop::Guardrail => "Sorry, this request cannot be answered under the usage policy.".to_owned(),
            Stop::Tool if random.chance(500) => String::new(),
            Stop::Tool => text::answer(random, 120),
            Stop::End | Stop::Length => text::answer(random, answer_bytes),
        };
        let reasoning = (stop == Stop::End && random.chance(300)).then(|| text::answer(random, answer_bytes / 2));
        let mut call = Self {
            system,
            turns,
            answer,
            reasoning,
            tools,
            asked,
            stop,
            usage: Usage::default(),
            cached,
            max_tokens: 0,
            temperature_tenths: random.below(11),
            latency_millis: 0,
            first_byte_millis: random.between(180, 900),
            created,
        };
        call.measure(random);
        call
    }

    /// The question that is being answered.
    pub(super) fn question(&self) -> &str {
        self.turns.last().map_or("", String::as_str)
    }

    /// The system prompt and the turns as one text, for families that take only that.
    pub(super) fn flat(&self, user: &str, assistant: &str, out: &mut String) {
        out.push_str(self.system.as_deref().unwrap_or_default());
        for (index, turn) in self.turns.iter().enumerate() {
            out.push_str(if index.is_multiple_of(2) { user } else { assistant });
            out.push_str(turn);
        }
    }

    fn measure(&mut self, random: &mut Random) {
        let system = tokens(self.system.as_deref().unwrap_or_default());
        let turns: usize = self.turns.iter().map(|turn| tokens(turn) + 4).sum();
        let tools = self.tools.len() * 85;
        let asked: usize = self.asked.iter().flat_map(|(_, values)| values).map(|value| tokens(value) + 6).sum();
        let output = tokens(&self.answer) + tokens(self.reasoning.as_deref().unwrap_or_default()) + asked + 3;
        self.usage = Usage { input: turns + tools, output, cache_read: 0, cache_write: 0 };
        match (self.cached, random.chance(700)) {
            (true, true) => self.usage.cache_read = system,
            (true, false) => self.usage.cache_write = system,
            (false, _) => self.usage.input += system,
        }
        self.max_tokens = if self.stop == Stop::Length { output } else { output.next_power_of_two().max(1024) };
        self.latency_millis = self.first_byte_millis + output * random.between(6, 22);
    }
}

/// About how many tokens a text has.
pub(super) fn tokens(text: &str) -> usize {
    (text.len() * 10).div_ceil(43)
}

fn ask(random: &mut Random, tools: &'static [Tool]) -> (&'static Tool, Vec<String>) {
    let tool = &tools[random.below(tools.len())];
    let values = tool
        .arguments
        .iter()
        .map(|argument| match *argument {
            "date" => format!("2026-{:02}-{:02}", random.between(1, 12), random.between(1, 28)),
            "language" => random.pick(&["de", "en", "fr", "ja", "pt"]).to_owned(),
            "sql" => format!(
                "SELECT \"{0}\", count(*) FROM {1} WHERE state = 'open' GROUP BY \"{0}\"",
                text::identifier(random, '_'),
                text::identifier(random, '_')
            ),
            _ => text::phrase(random),
        })
        .collect();
    (tool, values)
}
