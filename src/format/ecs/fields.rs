//! The fields of the record itself: `aws_bedrock.invocation`.

use sha2::{Digest, Sha256};

use crate::body::{Kind, Text, Value, View, moved_to};
use crate::format::names::filled;
use crate::format::object::Object;
use crate::invocation::{Invocation, Section};

/// From this size on a request's body is also told by its length and hash. One term of an index is shorter: a mapping
/// has to pass over longer values of a body, and these two are what can still be searched for.
const MASSIVE_BYTES: usize = 32 << 10;

/// Settings of image models, by the models' names and Elastic's (source: Amazon's model parameters for Titan and Nova).
const GENERATION: [(&str, &str); 6] = [
    ("cfgScale", "cfg_scale"),
    ("height", "height"),
    ("numberOfImages", "number_of_images"),
    ("quality", "quality"),
    ("seed", "seed"),
    ("width", "width"),
];

/// What an image is varied by.
const VARIATION: [(&str, &str); 4] = [
    ("images", "images"),
    ("negativeText", "negative_text"),
    ("similarityStrength", "similarity_strength"),
    ("text", "text"),
];

pub(super) fn write(object: &mut Object<'_>, invocation: &Invocation<'_>, view: &View<'_>) {
    let (request, answer) = view.bodies();
    object.string("error_code", filled(invocation.error_code));
    object.object_if_any("input", |object| {
        object.json("input_body_json", request);
        if let Some(body) = request.filter(|body| body.0.len() > MASSIVE_BYTES) {
            object.hex("input_body_json_massive_hash", &Sha256::digest(body.0));
            object.integer("input_body_json_massive_length", i64::try_from(body.0.len()).ok());
        }
        path(object, "input_body_s3_path", invocation, Section::Input);
        if let Some(input) = &invocation.input {
            object.string("input_content_type", filled(input.input_content_type));
            object.integer("input_token_count", input.input_token_count);
        }
    });
    object.string("model_id", filled(Some(invocation.model_id)));
    object.object_if_any("output", |object| {
        object.json("output_body_json", answer);
        path(object, "output_body_s3_path", invocation, Section::Output);
        if let Some(output) = &invocation.output {
            object.string("output_content_type", filled(output.output_content_type));
            object.integer("output_token_count", output.output_token_count);
        }
    });
    object.string("request_id", filled(invocation.request_id));
    object.string("schema_type", filled(invocation.schema_type));
    object.string("schema_version", filled(invocation.schema_version));
    if let Some(body) = request {
        asked_image(object, Value::new(body));
    }
    if let Some(body) = answer {
        made_image(object, Value::new(body));
    }
}

fn path(object: &mut Object<'_>, key: &'static str, invocation: &Invocation<'_>, section: Section) {
    object.said(key, moved_to(invocation, section).as_ref());
}

/// What the request's body says of an image to be made.
fn asked_image(object: &mut Object<'_>, body: Value<'_>) {
    let [task, generation, variation] = named(body, ["taskType", "imageGenerationConfig", "imageVariationParams"]);
    object.said("task_type", task.and_then(text).as_ref());
    settings(object, "image_generation_config", generation, &GENERATION);
    settings(object, "image_variation_params", variation, &VARIATION);
}

/// What the answer's body says of images. Of any other kind than here these are other families' words.
fn made_image(object: &mut Object<'_>, body: Value<'_>) {
    let [images, artifacts, result, error] = named(body, ["images", "artifacts", "result", "error"]);
    let list = |value: &Value<'_>| value.kind() == Kind::Array;
    object.json("images", images.filter(list).map(Value::raw));
    object.json("artifacts", artifacts.filter(list).map(Value::raw));
    object.said("result", result.and_then(text).as_ref());
    object.said("error", error.and_then(text).as_ref());
}

fn settings(object: &mut Object<'_>, key: &'static str, of: Option<Value<'_>>, names: &[(&'static str, &'static str)]) {
    let Some(of) = of else { return };
    object.object_if_any(key, |object| {
        for &(theirs, elastics) in names {
            object.json(elastics, of.get(theirs).filter(|value| value.kind() != Kind::Object).map(Value::raw));
        }
    });
}

/// The members of these names, found in one walk; the last one where a name stands twice.
fn named<'a, const N: usize>(body: Value<'a>, names: [&str; N]) -> [Option<Value<'a>>; N] {
    let mut found = [None; N];
    for (key, value) in body.members() {
        if let Some(place) = names.iter().position(|name| *name == key) {
            found[place] = Some(value);
        }
    }
    found
}

fn text(value: Value<'_>) -> Option<Text<'_>> {
    value.as_text().filter(|text| !text.is_empty())
}
