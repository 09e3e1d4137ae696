//! Prompts and answers: text put together from word lists, with the markdown, code, quotes and log excerpts that
//! people paste into a chat.

use std::fmt::Write as _;

use super::random::Random;
use super::words::{ADJECTIVES, ADVERBS, CONNECTIVES, FOREIGN, NOUNS, OPENINGS, PREPOSITIONS, REQUESTS, VERBS};

/// A question of about `bytes` bytes: a request, then the material that it is about.
pub(super) fn question(random: &mut Random, bytes: usize) -> String {
    let mut out = String::with_capacity(bytes + 512);
    // Writing to a string cannot fail, here and below.
    let _ = write!(out, "{} the {} {}", random.pick(REQUESTS), random.pick(ADJECTIVES), random.pick(NOUNS));
    let _ = write!(out, " {} the {}.", random.pick(PREPOSITIONS), random.pick(NOUNS));
    fill(random, bytes, &mut out);
    out
}

/// An answer of about `bytes` bytes.
pub(super) fn answer(random: &mut Random, bytes: usize) -> String {
    let mut out = String::with_capacity(bytes + 512);
    out.push_str(random.pick(OPENINGS));
    out.push(' ');
    sentence(random, &mut out);
    fill(random, bytes, &mut out);
    out
}

/// Instructions of about `bytes` bytes, as a system prompt gives them.
pub(super) fn instructions(random: &mut Random, bytes: usize) -> String {
    let mut out = String::with_capacity(bytes + 256);
    let _ = write!(out, "You are an assistant for the {} {}.", random.pick(NOUNS), random.pick(NOUNS));
    while out.len() < bytes {
        let _ = write!(out, "\n- {} the {} ", random.pick(REQUESTS), random.pick(NOUNS));
        let _ = write!(out, "{} the {} {}", random.pick(PREPOSITIONS), random.pick(ADJECTIVES), random.pick(NOUNS));
        let _ = write!(out, " {}. ", random.pick(ADVERBS));
        if random.chance(400) {
            sentence(random, &mut out);
        }
    }
    out
}

/// A few words, as a title or the argument of a tool has them.
pub(super) fn phrase(random: &mut Random) -> String {
    format!("{} {} {}", random.pick(ADJECTIVES), random.pick(NOUNS), random.pick(NOUNS))
}

/// An identifier of two words.
pub(super) fn identifier(random: &mut Random, separator: char) -> String {
    format!("{}{separator}{}", random.pick(NOUNS), random.pick(NOUNS))
}

/// Cuts `text` as a model's stream does: at spaces, mostly a few words a piece, now and then inside a word.
pub(super) fn pieces<'a>(random: &mut Random, text: &'a str) -> Vec<&'a str> {
    let mut pieces = Vec::with_capacity(text.len() / 12 + 1);
    let mut rest = text;
    while !rest.is_empty() {
        let aim = random.between(2, 26).min(rest.len());
        let mut cut =
            rest.bytes().skip(aim).position(|byte| byte == b' ' || byte == b'\n').map_or(rest.len(), |p| p + aim);
        if cut > aim + 24 || random.chance(150) {
            cut = aim;
        }
        while !rest.is_char_boundary(cut) {
            cut += 1;
        }
        let (piece, tail) = rest.split_at(cut.max(1).min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

fn fill(random: &mut Random, bytes: usize, out: &mut String) {
    while out.len() < bytes {
        let missing = bytes - out.len();
        if missing < 240 {
            out.push(' ');
            sentence(random, out);
            continue;
        }
        out.push_str("\n\n");
        match random.weighted(&[55, 10, 8, 7, 10, 6, 4]) {
            0 => paragraph(random, missing, out),
            1 => list(random, out),
            2 => code(random, out),
            3 => table(random, out),
            4 => log_excerpt(random, out),
            5 => json_excerpt(random, out),
            _ => quotation(random, out),
        }
    }
}

fn paragraph(random: &mut Random, missing: usize, out: &mut String) {
    let end = out.len() + missing.min(random.between(200, 900));
    while out.len() < end {
        sentence(random, out);
        out.push(' ');
    }
}

fn sentence(random: &mut Random, out: &mut String) {
    let start = out.len();
    clause(random, out);
    if random.chance(450) {
        out.push_str(random.pick(&[", ", " "]));
        out.push_str(random.pick(CONNECTIVES));
        out.push(' ');
        clause(random, out);
    }
    match random.below(12) {
        0 => {
            let _ = write!(out, " ({})", random.pick(ADVERBS));
        }
        1 => {
            let _ = write!(out, ", \"{} {}\"", random.pick(ADJECTIVES), random.pick(NOUNS));
        }
        2 => {
            let _ = write!(out, " {}", random.pick(FOREIGN));
        }
        _ => {}
    }
    out.push_str(random.pick(&[".", ".", ".", ".", ".", ";", ":", "?"]));
    if let Some(first) = out.get_mut(start..=start) {
        first.make_ascii_uppercase();
    }
}

fn clause(random: &mut Random, out: &mut String) {
    noun_phrase(random, out);
    out.push(' ');
    out.push_str(random.pick(VERBS));
    out.push(' ');
    noun_phrase(random, out);
    match random.below(6) {
        0 => {
            let _ = write!(out, " {}", random.pick(ADVERBS));
        }
        1 | 2 => {
            let _ = write!(out, " {} ", random.pick(PREPOSITIONS));
            noun_phrase(random, out);
        }
        _ => {}
    }
}

fn noun_phrase(random: &mut Random, out: &mut String) {
    match random.below(12) {
        0 => {
            let _ = write!(out, "{} {}s", random.between(2, 9_999), random.pick(NOUNS));
        }
        1 => {
            let _ = write!(out, "{} no. ", random.pick(NOUNS));
            reference(random, out);
        }
        2 => {
            let _ = write!(out, "our {} {} {}", random.pick(ADJECTIVES), random.pick(NOUNS), random.pick(NOUNS));
        }
        3 => {
            let _ = write!(out, "**{} {}**", random.pick(ADJECTIVES), random.pick(NOUNS));
        }
        4..=7 => {
            let _ = write!(
                out,
                "{} {} {}",
                random.pick(&["the", "a", "each"]),
                random.pick(ADJECTIVES),
                random.pick(NOUNS)
            );
        }
        _ => {
            let _ = write!(out, "{} {}", random.pick(&["the", "this", "every", "one"]), random.pick(NOUNS));
        }
    }
}

/// The name of a ticket, an order, a build: what makes real text compress worse than prose.
fn reference(random: &mut Random, out: &mut String) {
    match random.below(4) {
        0 => {
            let _ = write!(out, "{}-{}", random.pick(&["ORD", "INC", "REQ", "PO"]), random.between(1_000, 999_999));
        }
        1 => random.hex(12, out),
        2 => random.alphanumeric(10, out),
        _ => {
            let _ =
                write!(out, "20{}-{:02}-{:02}", random.between(19, 26), random.between(1, 12), random.between(1, 28));
        }
    }
}

fn list(random: &mut Random, out: &mut String) {
    let _ = writeln!(out, "## {} {}", random.pick(ADJECTIVES), random.pick(NOUNS));
    for item in 1..=random.between(3, 7) {
        let _ = if item.is_multiple_of(2) { write!(out, "\n{item}. ") } else { write!(out, "\n- [ ] ") };
        sentence(random, out);
    }
}

fn table(random: &mut Random, out: &mut String) {
    let _ = write!(out, "| {} | {} | {} |\n|---|--:|---|", random.pick(NOUNS), random.pick(NOUNS), random.pick(NOUNS));
    for _ in 0..random.between(3, 9) {
        let _ = write!(out, "\n| {} ", phrase(random));
        let _ = write!(out, "| {}.{:02} | ", random.between(0, 20_000), random.below(100));
        reference(random, out);
        out.push_str(" |");
    }
}

fn code(random: &mut Random, out: &mut String) {
    let (name, other, field) = (identifier(random, '_'), identifier(random, '_'), random.pick(NOUNS));
    let (a, b) = (random.between(2, 900), random.between(2, 90_000));
    let _ = match random.below(4) {
        0 => write!(
            out,
            "```python\ndef {name}({field}: dict[str, int], limit: int = {a}) -> list[str]:\n    \"\"\"Returns the {field}s of \
             `{other}`.\"\"\"\n    {other} = [key for key, value in {field}.items() if value > {b}]\n    if not {other}:\n        \
             raise ValueError(f\"no {field} above {{limit}}\")\n    return sorted({other})[:limit]\n```"
        ),
        1 => write!(
            out,
            "```sql\nSELECT {field}, count(*) AS \"{name}\"\n  FROM {other}\n WHERE {field}_id = {b} AND status <> 'closed'\n GROUP \
             BY 1\nHAVING count(*) > {a}\n ORDER BY 2 DESC;\n```"
        ),
        2 => write!(
            out,
            "```rust\nfn {name}({field}: &[u64]) -> Option<u64> {{\n    let {other} = {field}.iter().filter(|n| **n > {b});\n    \
             {other}.copied().max().map(|n| n / {a})\n}}\n```"
        ),
        _ => write!(
            out,
            "```sh\ncurl -sS \"https://{field}.example.com/v{a}/{other}?limit={b}\" \\\n  -H 'accept: application/json' | jq -r \
             '.[] | \"\\(.id)\\t\\(.{field})\"'\n```"
        ),
    };
}

fn log_excerpt(random: &mut Random, out: &mut String) {
    out.push_str("```");
    for _ in 0..random.between(3, 12) {
        let _ = write!(
            out,
            "\n20{}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z ",
            random.between(24, 26),
            random.between(1, 12),
            random.between(1, 28),
            random.below(24),
            random.below(60),
            random.below(60),
            random.below(1000)
        );
        let _ = write!(out, "{} {}", random.pick(&["INFO", "INFO", "WARN", "ERROR"]), identifier(random, '.'));
        let _ = write!(out, " id=");
        reference(random, out);
        let _ = write!(out, " took={}ms {}=\"{}\"", random.between(1, 30_000), random.pick(NOUNS), phrase(random));
    }
    out.push_str("\n```");
}

fn json_excerpt(random: &mut Random, out: &mut String) {
    out.push_str("{\n  \"items\": [");
    for item in 0..random.between(2, 6) {
        let separator = if item == 0 { "" } else { "," };
        let _ = write!(out, "{separator}\n    {{\"{}\": \"{}\", ", random.pick(NOUNS), phrase(random));
        let _ = write!(out, "\"{}\": {}, \"ref\": \"", random.pick(NOUNS), random.between(0, 90_000));
        reference(random, out);
        let _ = write!(out, "\", \"path\": \"C:\\\\{}\\\\{}\"}}", random.pick(NOUNS), random.pick(NOUNS));
    }
    out.push_str("\n  ]\n}");
}

fn quotation(random: &mut Random, out: &mut String) {
    out.push_str("> \"");
    sentence(random, out);
    out.push_str("\"\n>\n> — ");
    out.push_str(&phrase(random));
    out.push_str(", ");
    out.push_str(random.pick(FOREIGN));
    out.push_str("\n\n\t");
    sentence(random, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_about_as_long_as_asked() {
        let mut random = Random::new(3);
        for bytes in [60, 300, 3_000, 30_000] {
            for text in [question(&mut random, bytes), answer(&mut random, bytes), instructions(&mut random, bytes)] {
                assert!(text.len() >= bytes.min(60) && text.len() < bytes * 5 / 4 + 1_500, "{bytes}: {}", text.len());
            }
        }
    }

    #[test]
    fn pieces_are_the_text() {
        let mut random = Random::new(4);
        let text = answer(&mut random, 20_000);
        let pieces = pieces(&mut random, &text);
        assert_eq!(pieces.concat(), text);
        assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() < 64));
    }
}
