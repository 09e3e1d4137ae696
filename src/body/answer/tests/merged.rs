//! Answers that are one object.

use super::check;

/// A merged answer, which may also come as a list of itself.
fn merged(name: &str, body: &str, expected: &[&str]) {
    check(name, body, expected);
    check(&format!("{name}, in a list"), &format!("[{body},\"[DONE]\"]"), expected);
}

#[test]
fn converse() {
    merged(
        "Converse",
        r#"{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"s"}}},
          {"text":"a \"stopReason\":\"no\""},{"toolUse":{"toolUseId":"t1","name":"look","input":{"a":[1]}}}]}},"stopReason":"tool_use",
          "metrics":{"latencyMs":576},"usage":{"inputTokens":3,"outputTokens":401,"totalTokens":2193,"cacheReadInputTokens":0,
          "cacheWriteInputTokens":1789,"cacheReadInputTokenCount":0,"cacheWriteInputTokenCount":1789,
          "cacheDetails":[{"ttl":"5m","inputTokens":1000},{"ttl":"1h","inputTokens":789}]},
          "additionalModelResponseFields":{"stop_sequence":"x","stop_reason":"y","id":"z"},"performanceConfig":{"latency":"optimized"}}"#,
        &[
            r#"assistant: (thinking hm)|a "stopReason":"no"|(call look#t1 {"a":[1]})"#,
            "stop=tool_use>tool_use in=3 out=401 read=0 write=1789 1h=789 total=2193 ms=576",
        ],
    );
    merged(
        "Converse through a prompt router, whose total is off",
        r#"{"metrics":{"latencyMs":5.9},"output":{"message":{"content":[{"text":"x"}],"role":"assistant"}},"stopReason":"guardrail_intervened",
          "usage":{"inputTokens":10,"outputTokens":2,"totalTokens":13,"cacheDetails":[{"ttl":"5m","inputTokens":1}]},
          "trace":{"promptRouter":{"invokedModelId":"arn:m"}}}"#,
        &[
            "assistant: x",
            "stop=guardrail_intervened>guardrail_intervened in=10 out=2 1h=0 total=13 ms=5 off model=arn:m",
        ],
    );
    merged(
        "Nova",
        r#"{"output":{"message":{"content":[{"text":"red, \u0062lue"}],"role":"assistant"}},"stopReason":"end_turn","usage":{
          "inputTokens":539,"outputTokens":85,"totalTokens":664,"cacheReadInputTokenCount":40,"cacheWriteInputTokenCount":0}}"#,
        &["assistant: red, blue", "stop=end_turn>end_turn in=539 out=85 read=40 write=0 total=664"],
    );
}

#[test]
fn members_that_are_null_say_nothing() {
    let block = r#"{"reasoningContent":null,"image":null,"toolResult":null,"text":null,"toolUse":{"toolUseId":null,"name":"f","input":{}}}"#;
    merged(
        "Converse",
        &format!(
            r#"{{"output":{{"message":{{"role":"assistant","content":[{block}]}}}},"stopReason":null,"usage":null}}"#
        ),
        &["assistant: (call f {})", ""],
    );
    merged(
        "one of several answers",
        r#"{"choices":[{"index":null,"text":"a","data":null,"outputText":null,"message":null,"delta":null,"finish_reason":"stop","finishReason":null,
          "completionReason":null,"stop_reason":null,"usage":null}]}"#,
        &["assistant: a", "stop=stop>end_turn"],
    );
}

#[test]
fn anthropic() {
    merged(
        "Messages",
        r#"{"model":"claude-sonnet","id":"msg_bdrk_01","type":"message","role":"assistant","content":[
          {"type":"thinking","thinking":"hm","signature":"sig"},{"type":"redacted_thinking","data":"x"},{"type":"text","text":"ok"},
          {"type":"tool_use","id":"toolu_1","name":"f","input":{"q":"ü"}}],"stop_reason":"tool_use","stop_sequence":null,
          "usage":{"input_tokens":3,"cache_creation_input_tokens":1789,"cache_read_input_tokens":12,"output_tokens":401,
          "cache_creation":{"ephemeral_5m_input_tokens":1700,"ephemeral_1h_input_tokens":89},"service_tier":"standard"}}"#,
        &[
            r#"assistant: (thinking hm)|(thinking )|ok|(call f#toolu_1 {"q":"ü"})"#,
            "stop=tool_use>tool_use in=3 out=401 read=12 write=1789 1h=89 id=msg_bdrk_01 model=claude-sonnet",
        ],
    );
    for (word, reason) in [
        ("stop_sequence", "stop_sequence"),
        ("pause_turn", "other"),
        ("refusal", "content_filtered"),
        ("model_context_window_exceeded", "model_context_window_exceeded"),
    ] {
        let body =
            format!(r#"{{"content":[{{"type":"text","text":"x"}}],"stop_reason":"{word}","stop_sequence":"END"}}"#);
        merged(word, &body, &["assistant: x", &format!("stop={word}>{reason}")]);
    }
    merged(
        "Text completions",
        r#"{"type":"completion","completion":" Hi","stop_reason":"stop_sequence","stop":"\n\nHuman:"}"#,
        &["assistant:  Hi", "stop=stop_sequence>stop_sequence"],
    );
    merged(
        "an error",
        r#"{"type":"error","error":{"type":"overloaded_error","message":"no"},"request_id":"req_1"}"#,
        &["stop=overloaded_error>error request=req_1"],
    );
}

#[test]
fn completions() {
    merged(
        "Titan",
        r#"{"inputTextTokenCount":4,"results":[{"tokenCount":6,"outputText":"\nx","completionReason":"FINISH"}]}"#,
        &["assistant: \nx", "stop=FINISH>end_turn in=4 out=6"],
    );
    merged(
        "Titan, two results",
        r#"{"inputTextTokenCount":4,"results":[{"tokenCount":6,"outputText":"a","completionReason":"CONTENT_FILTERED"},
          {"tokenCount":1,"outputText":"b","completionReason":"LENGTH"}]}"#,
        &["assistant: a", "assistant: b", "stop=CONTENT_FILTERED>content_filtered in=4 out=7"],
    );
    merged(
        "Llama",
        r#"{"generation":"hi","prompt_token_count":17,"generation_token_count":5,"stop_reason":"length","images":null}"#,
        &["assistant: hi", "stop=length>max_tokens in=17 out=5"],
    );
    merged("Mistral", r#"{"outputs":[{"text":"hi","stop_reason":"stop"}]}"#, &["assistant: hi", "stop=stop>end_turn"]);
    merged(
        "Cohere Command",
        r#"{"generations":[{"finish_reason":"MAX_TOKENS","id":"g","text":"a"},{"finish_reason":"ERROR_TOXIC","id":"h","text":"b"}],"id":"i","prompt":"p"}"#,
        &["assistant: a", "assistant: b", "stop=MAX_TOKENS>max_tokens id=i"],
    );
    merged(
        "AI21 Jurassic",
        r#"{"id":1234,"prompt":{"text":"p","tokens":[]},"completions":[{"data":{"text":"x","tokens":[{}]},"finishReason":{"reason":"endoftext"}}]}"#,
        &["assistant: x", "stop=endoftext>end_turn id=1234"],
    );
    merged(
        "AI21 Jurassic, a bare reason",
        r#"{"completions":[{"data":{"text":"x"},"finishReason":"length"}]}"#,
        &["assistant: x", "stop=length>max_tokens"],
    );
    merged(
        "Pegasus",
        r#"{"message":"A dog runs.","finishReason":"stop"}"#,
        &["assistant: A dog runs.", "stop=stop>end_turn"],
    );
    merged(
        "a prompt that was answered with text by an OpenAI-like server",
        r#"{"object":"text_completion","choices":[{"index":0,"text":"x","finish_reason":"stop","stop_reason":"</s>"}],
          "usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#,
        &["assistant: x", "stop=stop>end_turn in=3 out=1 total=4"],
    );
}

#[test]
fn cohere_chat() {
    merged(
        "Command R",
        r#"{"chat_history":[{"role":"USER","message":"q"},{"role":"CHATBOT","message":"a"}],"citations":[],"finish_reason":"COMPLETE",
          "generation_id":"gen","response_id":"res","text":"a","tool_calls":[{"name":"f","parameters":{"x":1}},{"name":"f","parameters":{"x":2}}],
          "meta":{"api_version":{"version":"1"},"billed_units":{"input_tokens":5,"output_tokens":6},"tokens":{"input_tokens":71,"output_tokens":9}}}"#,
        &[r#"assistant: a|(call f {"x":1})|(call f {"x":2})"#, "stop=COMPLETE>tool_use in=71 out=9 id=res"],
    );
    merged(
        "Command R, billed only",
        r#"{"generation_id":"gen","text":"a","finish_reason":"STOP_SEQUENCE","meta":{"billed_units":{"input_tokens":5,"output_tokens":6}}}"#,
        &["assistant: a", "stop=STOP_SEQUENCE>stop_sequence in=5 out=6 id=gen"],
    );
    merged(
        "the newer chat",
        r#"{"id":"c","message":{"role":"assistant","tool_plan":"I will look","tool_calls":[{"id":"t","type":"function","function":{"name":"f",
          "arguments":"{\"x\":1}"}}],"content":[{"type":"text","text":"ok"}]},"finish_reason":"TOOL_CALL",
          "usage":{"billed_units":{"input_tokens":5.0,"output_tokens":6},"tokens":{"input_tokens":50,"output_tokens":7}}}"#,
        &[r#"assistant: (thinking I will look)|ok|(call f#t {"x":1})"#, "stop=TOOL_CALL>tool_use in=50 out=7 id=c"],
    );
    merged(
        "rerank",
        r#"{"results":[{"index":3,"relevance_score":0.9},{"index":0,"relevance_score":0.1,"document":{"text":"secret"}}],"id":"r"}"#,
        &["id=r"],
    );
}

#[test]
fn openai_chat() {
    merged(
        "what is spoken, and its words",
        r#"{"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":null,"refusal":null,
          "audio":{"id":"audio_1","expires_at":1,"data":"AAAA","transcript":"Hello"}}},{"index":1,"message":{"content":"b","audio":null}}]}"#,
        &["assistant: (audio of Some(3))|Hello", "assistant: b", "stop=stop>end_turn"],
    );
    merged(
        "cached tokens are counted in the prompt",
        r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","metadata":{"model":"of the caller","id":"his","role":"x"},"choices":[
          {"index":0,"finish_reason":"stop","message":{"annotations":[],"content":"60","refusal":null,"role":"assistant","reasoning_content":"hm",
          "reasoning":"hm"},"logprobs":null}],"usage":{"completion_tokens":5,"completion_tokens_details":{"audio_tokens":0,"reasoning_tokens":2},
          "prompt_tokens":24318,"prompt_tokens_details":{"audio_tokens":0,"cache_write_tokens":1,"cached_tokens":24316},"total_tokens":24323}}"#,
        &[
            "assistant: (thinking hm)|60",
            "stop=stop>end_turn in=1 out=5 read=24316 write=1 thought=2 total=24323 id=chatcmpl-1 model=m",
        ],
    );
    merged(
        "alternatives, of which the first one speaks for all",
        r#"{"choices":[{"index":1,"finish_reason":"length","message":{"role":"assistant","content":"b"}},
          {"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","tool_calls":[{"id":"x","type":"function","function":{"name":"f",
          "arguments":"{\"a\":\"\\n\"}"}},{"id":"y","function":{"name":"f","arguments":""}}],"content":null}},
          {"index":2,"finish_reason":"content_filter","message":{"role":"assistant","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}],
          "refusal":"no"}},{"index":3,"message":{"function_call":{"name":"g","arguments":"{}"}}}]}"#,
        &[
            r#"assistant: (call f#x {"a":"\n"})|(call f#y )"#,
            "assistant: b",
            "assistant: c|d|no",
            "assistant: (call g {})",
            "stop=tool_calls>tool_use",
        ],
    );
    merged(
        "Jamba, Palmyra, Qwen, DeepSeek, gpt-oss: thoughts in the text stay there",
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"<think>hm</think>ok"},"finish_reason":"content_filter"}],
          "usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":10,"prompt_tokens_details":null}}"#,
        &["assistant: <think>hm</think>ok", "stop=content_filter>content_filtered in=7 out=2 total=10 off"],
    );
    merged(
        "Mistral",
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"","tool_calls":[{"id":"abc","function":{"name":"f","arguments":"{}"}}]},
          "stop_reason":"tool_calls"}]}"#,
        &["assistant: (call f#abc {})", "stop=tool_calls>tool_use"],
    );
    merged(
        "an error",
        r#"{"error":{"message":"secret","type":"invalid_request_error","param":null,"code":"x"}}"#,
        &["stop=invalid_request_error>error"],
    );
}

#[test]
fn openai_responses() {
    merged(
        "a call",
        r#"{"id":"resp_1","object":"response","status":"completed","error":null,"incomplete_details":null,"model":"m","output":[
          {"id":"rs","type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]},
          {"id":"msg","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"yo","annotations":[]},
          {"type":"refusal","refusal":"no"}]},{"id":"fc","call_id":"call","type":"function_call","name":"f","arguments":"{\"a\":1}"},
          {"id":"ct","call_id":"c2","type":"custom_tool_call","name":"sh","input":"ls"},
          {"id":"e","type":"message","role":"assistant","content":[]}],
          "reasoning":{"effort":"low"},"text":{"format":{"type":"text"}},"tools":[{"name":"f"}],"metadata":{},"usage":{"input_tokens":56,
          "input_tokens_details":{"cached_tokens":6},"output_tokens":19,"output_tokens_details":{"reasoning_tokens":11},"total_tokens":75}}"#,
        &[
            "assistant: (thinking hm)",
            "assistant: yo|no",
            r#"assistant: (call f#call {"a":1})"#,
            "assistant: (call sh#c2 ls)",
            "stop=completed>tool_use in=50 out=19 read=6 thought=11 total=75 id=resp_1 model=m",
        ],
    );
    for (status, expected) in [
        (
            r#""status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}"#,
            "stop=max_output_tokens>max_tokens",
        ),
        (
            r#""incomplete_details":{"reason":"content_filter"},"status":"incomplete""#,
            "stop=content_filter>content_filtered",
        ),
        (r#""status":"failed","error":{"code":"server_error","message":"x"}"#, "stop=failed>error"),
        (r#""status":"in_progress""#, ""),
    ] {
        merged(status, &format!(r#"{{{status},"object":"response","output":[]}}"#), &[expected]);
    }
    merged("the status of something else", r#"{"status":"ok","object":"list"}"#, &[""]);
}

#[test]
fn vectors() {
    let check = |body: &str, expected: &str| merged(body, body, &[expected]);
    check(r#"{"embedding":[0.1,-2e-3, 3],"inputTextTokenCount":3}"#, "in=3 vectors=1x3");
    check(
        r#"{"embeddingsByType":{"binary":[1,0],"float":[0.5]},"embedding":[0.5],"inputTextTokenCount":3,"message":null}"#,
        "in=3 vectors=1x1",
    );
    check(r#"{"embeddingsByType":{"binary":[1,0],"float":[0.5]},"inputTextTokenCount":3}"#, "in=3 vectors=1x1");
    check(r#"{"embedding":[1,2],"message":"the image is too large"}"#, "vectors=1x2");
    check(
        r#"{"embeddings":[[1,2],[3,4],[5,6]],"id":"e","response_type":"embeddings_floats","texts":["a"],"images":[{"width":1}]}"#,
        "id=e vectors=3x2",
    );
    check(r#"{"embeddings":{"binary":[[1],[2]],"float":[[1,2,3],[4,5,6]],"base64":["AA"]}}"#, "vectors=2x3");
    check(r#"{"embeddings":{"ubinary":[[1,2],[3,4]]}}"#, "vectors=2x16");
    check(r#"{"embeddingsByType":{"binary":[1,0,1]}}"#, "vectors=1x3");
    check(r#"{"embeddings":{"base64":["AAAA","BBBB"]}}"#, "vectors=2x0");
    check(r#"{"embeddings":[{"embeddingType":"TEXT","embedding":[1,2,3,4]}]}"#, "vectors=1x4");
    check(
        r#"{"data":[{"embedding":[1,2],"startSec":0.0},{"embedding":[3,4]}],"usage":{"prompt_tokens":4,"total_tokens":4}}"#,
        "in=4 total=4 vectors=2x2",
    );
    check(r#"{"embeddings":[],"data":[],"embedding":null}"#, "");
    check(r#"{"embedding":[]}"#, "");
}

#[test]
fn images() {
    merged(
        "Titan, Nova Canvas",
        r#"{"images":["aGVsbG8=","\/9j/"],"error":null}"#,
        &["assistant: (image of Some(5))|(image of Some(3))", ""],
    );
    merged(
        "all filtered",
        r#"{"images":[],"error":"This request has been blocked by our content filters."}"#,
        &["stop=This request has been blocked by our content filters.>content_filtered"],
    );
    merged("what is no filter", r#"{"images":null,"error":"the disk is full"}"#, &["stop=error>error"]);
    merged(
        "Stability, older",
        r#"{"result":"success","artifacts":[{"seed":1,"base64":"aGVsbG8=","finishReason":"SUCCESS"},{"base64":"","finishReason":"CONTENT_FILTERED"}]}"#,
        &["assistant: (image of Some(5))", "stop=SUCCESS>end_turn"],
    );
    merged(
        "Stability",
        r#"{"seeds":[2130420379],"finish_reasons":[null],"images":["aGVsbG8="]}"#,
        &["assistant: (image of Some(5))", ""],
    );
    merged(
        "Stability, filtered",
        r#"{"finish_reasons":["Filter reason: prompt"]}"#,
        &["stop=Filter reason: prompt>content_filtered"],
    );
}
