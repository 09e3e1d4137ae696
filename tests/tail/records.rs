//! Records of every shape that Bedrock writes, and of some that an attacker would like it to write.

use serde_json::{Value, json};

/// Characters that show nothing, or change how others are shown: none of them may reach a terminal.
pub(crate) const HOSTILE_INVISIBLE: [char; 12] = [
    '\u{202a}',
    '\u{202d}',
    '\u{202e}',
    '\u{2066}',
    '\u{2069}',
    '\u{200b}',
    '\u{200d}',
    '\u{200f}',
    '\u{feff}',
    '\u{ad}',
    '\u{2028}',
    '\u{e0041}',
];

/// An id as AWS writes them, another for each time.
fn request_id(time: &str) -> String {
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    format!("{}-0000-4000-8000-{digits:0<12.12}", &digits[6..14])
}

fn record(time: &str, operation: &str, model: &str, input: &Value, output: &Value) -> Value {
    let mut record = json!({
        "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": time, "accountId": "111122223333",
        "region": "us-east-2", "requestId": request_id(time), "operation": operation, "modelId": model,
        "identity": {"arn": "arn:aws:iam::111122223333:user/test-user"},
    });
    if !input.is_null() {
        record["input"] = input.clone();
    }
    if !output.is_null() {
        record["output"] = output.clone();
    }
    record
}

fn profile(id: &str) -> String {
    format!("arn:aws:bedrock:us-east-2:111122223333:inference-profile/{id}")
}

pub(crate) fn converse() -> Value {
    record(
        "2026-10-07T07:51:59Z",
        "ConverseStream",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        &json!({"inputTokenCount": 1645, "cacheReadInputTokenCount": 0, "inputBodyJson": {"system": [{"text": "Be brief."}],
            "messages": [{"role": "user", "content": [{"text": "What is the secret word\nin this document?"},
            {"document": {"format": "pdf", "name": "secret", "source": {"s3Uri": "s3://b/k"}}}]}]}}),
        &json!({"outputTokenCount": 15, "outputBodyJson": {"output": {"message": {"role": "assistant",
            "content": [{"text": "According to the document, the secret word is **PIN**, and there is a good deal more to say about it than fits a line."}]}},
            "stopReason": "end_turn", "metrics": {"latencyMs": 576}, "usage": {"inputTokens": 1645, "outputTokens": 15}}}),
    )
}

pub(crate) fn cached_tool_call() -> Value {
    let mut record = record(
        "2026-10-07T07:52:04.250Z",
        "Converse",
        "us.amazon.nova-lite-v1:0",
        &json!({"inputTokenCount": 437, "cacheReadInputTokenCount": 24316, "inputBodyJson": {"messages": [{"role": "user",
            "content": [{"text": "What is the weather in Lisbon? Use the tool."}]}]}}),
        &json!({"outputTokenCount": 49, "outputBodyJson": {"output": {"message": {"role": "assistant", "content": [
            {"text": "<thinking>I need the tool.</thinking>\n"}, {"toolUse": {"name": "get_weather", "input": {"city": "Lisbon"}}}]}},
            "stopReason": "tool_use", "metrics": {"latencyMs": 12556}, "usage": {}}}),
    );
    record["identity"]["arn"] = json!("arn:aws:sts::111122223333:assumed-role/AgentRuntimeRole/alice@example.com");
    record["inferenceRegion"] = json!("us-west-2");
    record
}

pub(crate) fn deepseek_stream() -> Value {
    record(
        "2026-10-07T07:52:09Z",
        "InvokeModelWithResponseStream",
        &profile("us.deepseek.r1-v1:0"),
        &json!({"inputTokenCount": 12, "inputBodyJson": {"messages": [{"role": "user", "content": "Say hi in 3 words."}]}}),
        &json!({"outputTokenCount": 60, "outputBodyJson": [
            {"choices": [{"message": {"content": null, "reasoning_content": "Okay, the "}, "stop_reason": null}]},
            {"choices": [{"message": {"content": null, "reasoning_content": "user wants"}, "stop_reason": "length"}],
             "amazon-bedrock-invocationMetrics": {"inputTokenCount": 12, "outputTokenCount": 60, "invocationLatency": 551}},
            "[DONE]"]}),
    )
}

pub(crate) fn llama_stream() -> Value {
    record(
        "2026-10-07T07:52:10Z",
        "InvokeModelWithResponseStream",
        &profile("us.meta.llama3-3-70b-instruct-v1:0"),
        &json!({"inputTokenCount": 17, "inputBodyJson": {"prompt": "<|user|>Say hi in 3 words.<|end|>"}}),
        &json!({"outputTokenCount": 5, "outputBodyJson": [{"generation": "Hello", "stop_reason": null},
            {"generation": " to you.", "stop_reason": "stop", "amazon-bedrock-invocationMetrics": {"invocationLatency": 198}}]}),
    )
}

pub(crate) fn guardrail_stream() -> Value {
    record(
        "2026-10-07T07:52:11Z",
        "InvokeModelWithResponseStream",
        "anthropic.claude-sonnet-4-20250514-v1:0",
        &json!({"inputTokenCount": 30, "inputBodyJson": {"system": "s", "messages": [{"role": "user", "content": "my card is …"}]}}),
        &json!({"outputTokenCount": 9, "outputBodyJson": [
            {"type": "message_start", "message": {"role": "assistant", "usage": {"input_tokens": 30, "output_tokens": 1}}},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Sorry, "}, "amazon-bedrock-guardrailAction": "INTERVENED"},
            {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "blocked."}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
            {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"invocationLatency": 2_345}}]}),
    )
}

pub(crate) fn throttled() -> Value {
    let mut record =
        record("2026-10-07T07:52:12Z", "InvokeModel", "us.anthropic.claude-opus-4-6-v1:0", &json!({}), &json!({}));
    record["errorCode"] = json!("ThrottlingException");
    record
}

pub(crate) fn rejected_chat() -> Value {
    let mut record = record(
        "2026-10-07T07:52:13Z",
        "ChatCompletions",
        &profile("us.openai.gpt-6-astra"),
        &Value::Null,
        &Value::Null,
    );
    record["errorCode"] = json!("validation_error");
    record
}

pub(crate) fn chat() -> Value {
    record(
        "2026-10-07T07:52:14Z",
        "ChatCompletions",
        &profile("us.openai.gpt-6-astra"),
        &json!({"inputBodyJson": {"messages": [{"role": "user", "content": "count"}]}}),
        &json!({"outputBodyJson": {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "60"}}],
            "usage": {"prompt_tokens": 24318, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 24316}}}}),
    )
}

pub(crate) fn responses_stream() -> Value {
    record(
        "2026-10-07T07:52:15Z",
        "Responses",
        &profile("us.openai.gpt-6-astra"),
        &json!({"inputTokenCount": 56, "inputBodyJson": {"input": [{"role": "developer", "content": "Use the tool."},
            {"role": "user", "content": "What is the weather in Lisbon?"}]}}),
        &json!({"outputTokenCount": 19, "outputBodyJson": [{"type": "response.created", "response": {"status": "in_progress", "output": []}},
            {"type": "response.completed", "response": {"status": "completed", "output": [{"type": "function_call",
             "name": "get_weather", "arguments": "{\"city\":\"Lisbon\"}"}], "usage": {"input_tokens": 56, "output_tokens": 19}}}]}),
    )
}

pub(crate) fn embedding() -> Value {
    record(
        "2026-10-08T00:00:01Z",
        "InvokeModel",
        "amazon.titan-embed-text-v2:0",
        &json!({"inputTokenCount": 7, "inputBodyJson": {"inputText": "a text"}}),
        &json!({"outputBodyJson": {"embedding": [0.1, 0.2], "inputTextTokenCount": 7}}),
    )
}

pub(crate) fn without_bodies() -> Value {
    let mut record = record(
        "2026-10-08T00:00:02Z",
        "InvokeModel",
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
        &json!({"inputTokenCount": 25, "inputBodyS3Path": "s3://bucket/key_input.json.gz"}),
        &json!({"outputTokenCount": 150}),
    );
    record["cacheReadInputTokenCount"] = json!(100);
    record
}

pub(crate) fn unknown_dialect() -> Value {
    record(
        "2026-10-08T00:00:03Z",
        "InvokeModel",
        "twelvelabs.marengo-v1:0",
        &json!({"inputBodyJson": {"inputType": "video", "parts": [{"deep": [1, 2, {"k": "v"}]}]}}),
        &json!({"outputBodyJson": {"data": [{"vector": [1]}], "status": "ok"}}),
    )
}

pub(crate) fn hostile() -> Value {
    let poison: String =
        HOSTILE_INVISIBLE.iter().collect::<String>() + "\u{1b}[2J\u{1b}]0;pwned\u{7}\u{9b}31m\r\n\0\u{8}\u{7f}日本語";
    let mut record = record(
        "2026-10-08T00:00:04Z",
        &format!("Converse{poison}"),
        &format!("us.{poison}.model{poison}"),
        &json!({"inputTokenCount": i64::MAX, "cacheReadInputTokenCount": i64::MIN, "inputBodyJson": {"messages": [
            {"role": poison, "content": [{"text": poison}, {"toolUse": {"name": poison, "input": {poison.as_str(): poison}}},
             {"document": {"format": poison, "name": poison}}, {"toolResult": {"content": [{"json": {"x": poison}}]}},
             {"other": poison}]}]}}),
        &json!({"outputTokenCount": -1, "outputBodyJson": {"stopReason": poison, "metrics": {"latencyMs": i64::MAX},
            "output": {"message": {"role": "assistant", "content": [{"text": poison.repeat(20)}]}}}}),
    );
    for field in ["requestId", "region", "accountId", "inferenceRegion"] {
        record[field] = json!(poison);
    }
    record["identity"]["arn"] = json!(format!("arn:aws:sts::1:assumed-role/{poison}/{poison}"));
    record
}

pub(crate) fn all() -> Vec<Value> {
    let mut failed = hostile();
    failed["errorCode"] = failed["requestId"].clone();
    failed["requestId"] = json!("another");
    vec![
        converse(),
        cached_tool_call(),
        deepseek_stream(),
        llama_stream(),
        guardrail_stream(),
        throttled(),
        rejected_chat(),
        chat(),
        responses_stream(),
        embedding(),
        without_bodies(),
        unknown_dialect(),
        hostile(),
        failed,
    ]
}
