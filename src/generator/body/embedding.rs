//! The bodies of embedding models: a text in, a vector of numbers out.

use super::super::json::Json;
use super::super::random::Random;

/// Writes a request to Titan; version 2 takes the vector's length.
pub(in super::super) fn titan_request(text: &str, dimensions: Option<usize>, json: &mut Json) {
    json.object(|json| {
        json.key("inputText").text(text);
        if let Some(dimensions) = dimensions {
            json.key("dimensions").number(dimensions);
            json.key("normalize").raw("true");
        }
    });
}

/// Writes Titan's answer; version 2 says the vector twice.
pub(in super::super) fn titan_response(tokens: usize, dimensions: Option<usize>, random: &mut Random, json: &mut Json) {
    let mut vector = Json::with_capacity(1024 * 22);
    floats(dimensions.unwrap_or(1536), random, &mut vector);
    let vector = vector.finish();
    json.object(|json| {
        json.key("embedding").raw(&vector);
        if dimensions.is_some() {
            json.key("embeddingsByType").object(|json| json.key("float").raw(&vector));
        }
        json.key("inputTextTokenCount").number(tokens);
    });
}

/// Writes a request to Cohere's Embed.
pub(in super::super) fn cohere_request(texts: &[String], json: &mut Json) {
    json.object(|json| {
        json.key("texts").array(|json| texts.iter().for_each(|text| json.text(text)));
        json.key("input_type").text("search_document");
        json.key("truncate").text("END");
    });
}

/// Writes Embed's answer.
pub(in super::super) fn cohere_response(texts: &[String], random: &mut Random, json: &mut Json) {
    json.object(|json| {
        json.key("embeddings").array(|json| texts.iter().for_each(|_| floats(1024, random, json)));
        json.key("id").text(&random.uuid());
        json.key("response_type").text("embeddings_floats");
        json.key("texts").array(|json| texts.iter().for_each(|text| json.text(text)));
    });
}

/// Writes a vector as models do: small numbers of seven to ten digits.
fn floats(count: usize, random: &mut Random, json: &mut Json) {
    json.array(|json| {
        for _ in 0..count {
            let bits = random.bits();
            let sign = if bits & 1 == 0 { "" } else { "-" };
            // The sum of two uniform numbers, below a tenth in size: the middle is likelier than the ends.
            let size = ((bits >> 1) & 0x1f_ffff) + ((bits >> 32) & 0x1f_ffff);
            json.number(format_args!("{sign}0.0{:07}{}", size * 2, (bits >> 60) & 7));
        }
    });
}
