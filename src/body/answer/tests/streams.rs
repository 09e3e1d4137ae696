//! Answers that are lists of events.

use super::check;

#[test]
fn anthropic() {
    let stream = r#"[{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,
          "usage":{"input_tokens":12,"cache_creation_input_tokens":4,"cache_read_input_tokens":8,"output_tokens":1}}},
          {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}},{"type":"ping"},
          {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h"}},
          {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"m"}},
          {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"abc"}},
          {"type":"content_block_stop","index":0},
          {"delta":{"type":"text_delta","text":"o"},"index":1,"type":"content_block_delta"},
          {"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"type":"char_location","cited_text":"x"}}},
          {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"k\n"}},
          {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu","name":"f","input":{}}},
          {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}},
          {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}},
          {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":":1}"}},
          {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"tool2","name":"g","input":{}}},
          {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":""}},"#;
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":40,"input_tokens":12,
          "cache_read_input_tokens":0}},{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":12,
          "outputTokenCount":40,"invocationLatency":1200,"firstByteLatency":300,"cacheReadInputTokenCount":8}},"[DONE]"]"#;
    let said = r#"assistant: (thinking hm)|ok
|(call f#toolu {"a":1})|(call g#tool2 {})"#;
    let facts = "stop=tool_use>tool_use in=12 out=40 read=8 write=4 ms=1200 first=300 id=msg_1 model=claude";
    check("Anthropic", &format!("{stream}{end}"), &[said, facts]);
    check(
        "Anthropic, broken off",
        &format!(r#"{stream}{{"type":"error","error":{{"type":"api_error","message":"no"}}}}]"#),
        &[said, "stop=api_error>error in=12 out=1 read=8 write=4 id=msg_1 model=claude"],
    );
    check(
        "Anthropic, cut",
        &format!("{}]", stream.trim_end_matches(',')),
        &[said, "in=12 out=1 read=8 write=4 id=msg_1 model=claude"],
    );
    check(
        "Anthropic, blocks that interleave and begin out of order",
        r#"[{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"b","name":"g","input":{}}},
          {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"f","input":{}}},
          {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"b\":"}},
          {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}},
          {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}},
          {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"2}"}},
          {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1}"}},
          {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"y"}},
          {"type":"content_block_start","index":3,"content_block":{"type":"redacted_thinking","data":"zzz"}}]"#,
        &[r#"assistant: xy|(call f#a {"a":1})|(call g#b {"b":2})|(thinking )"#, ""],
    );
    check(
        "Anthropic, Text completions",
        r#"[{"type":"completion","completion":" H","stop_reason":null,"stop":null},{"type":"completion","completion":"i","stop_reason":"max_tokens",
          "stop":null,"amazon-bedrock-invocationMetrics":{"inputTokenCount":9,"outputTokenCount":2}}]"#,
        &["assistant:  Hi", "stop=max_tokens>max_tokens in=9 out=2"],
    );
}

#[test]
fn converse() {
    check(
        "Converse",
        r#"[{"messageStart":{"role":"assistant"}},{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"h"}}}},
          {"contentBlockDelta":{"delta":{"reasoningContent":{"text":"m"}},"contentBlockIndex":0}},
          {"contentBlockDelta":{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"s"}}}},{"contentBlockStop":{"contentBlockIndex":0}},
          {"contentBlockDelta":{"contentBlockIndex":1,"delta":{"text":"a"}}},
          {"contentBlockStart":{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t","name":"f"}}}},
          {"contentBlockDelta":{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"x\""}}}},
          {"contentBlockDelta":{"contentBlockIndex":1,"delta":{"text":"b"}}},
          {"contentBlockDelta":{"contentBlockIndex":2,"delta":{"toolUse":{"input":":1}"}}}},
          {"contentBlockDelta":{"contentBlockIndex":1,"delta":{"citation":{"title":"x"}}}},
          {"contentBlockDelta":{"contentBlockIndex":3,"delta":{"reasoningContent":{"redactedContent":"xx"}}}},
          {"messageStop":{"stopReason":"max_tokens"}},{"metadata":{"usage":{"inputTokens":2,"outputTokens":3,"totalTokens":5},
          "metrics":{"latencyMs":7},"trace":{"promptRouter":{"invokedModelId":"m"}}}}]"#,
        &[
            r#"assistant: (thinking hm)|ab|(call f#t {"x":1})|(thinking )"#,
            "stop=max_tokens>max_tokens in=2 out=3 total=5 ms=7 model=m",
        ],
    );
    check(
        "Converse without indexes",
        r#"[{"contentBlockDelta":{"delta":{"text":"a"}}},{"contentBlockDelta":{"delta":{"text":"b"}}},{"contentBlockStart":{"start":
          {"toolUse":{"name":"f"}}}},{"contentBlockDelta":{"delta":{"toolUse":{"input":"{}"}}}},{"contentBlockDelta":{"delta":{"text":"c"}}}]"#,
        &["assistant: ab|(call f {})|c", ""],
    );
    check(
        "a tool of the provider's, and an image in pieces",
        r#"[{"contentBlockStart":{"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"s","name":"nova_grounding","type":"server_tool_use"}}}},
          {"contentBlockDelta":{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{}"}}}},
          {"contentBlockStart":{"contentBlockIndex":1,"start":{"toolResult":{"toolUseId":"s","type":"x","status":"success"}}}},
          {"contentBlockDelta":{"contentBlockIndex":1,"delta":{"toolResult":[{"text":"fo"}]}}},
          {"contentBlockDelta":{"contentBlockIndex":1,"delta":{"toolResult":[{"text":"und"},{"json":{"a":1}}]}}},
          {"contentBlockStart":{"contentBlockIndex":2,"start":{"image":{"format":"png"}}}},
          {"contentBlockDelta":{"contentBlockIndex":2,"delta":{"image":{"source":{"bytes":"AAAA"}}}}},
          {"contentBlockDelta":{"contentBlockIndex":2,"delta":{"image":{"source":{"bytes":"AA=="}}}}},
          {"contentBlockDelta":{"contentBlockIndex":3,"delta":{"image":{"source":{"bytes":"AAAA"}},"toolResult":null}}},
          {"contentBlockStart":{"contentBlockIndex":4,"start":{}}},{"contentBlockStart":{"contentBlockIndex":4,"start":null}},
          {"contentBlockDelta":{"contentBlockIndex":4,"delta":{"text":"a","reasoningContent":null,"signature":null,"toolUse":null}}},
          {"contentBlockDelta":{"contentBlockIndex":5,"delta":{"toolResult":[{"text":"lost"}]}}}]"#,
        &[
            r#"assistant: (call nova_grounding#s {})|(result found(json {"a":1}))|(image of Some(4))|(image of Some(3))|a|(result lost)"#,
            "",
        ],
    );
    check(
        "Nova",
        r#"[{"messageStart":{"role":"assistant"}},{"contentBlockDelta":{"delta":{"text":"a"},"contentBlockIndex":0}},
          {"contentBlockStop":{"contentBlockIndex":0}},{"messageStop":{"stopReason":"end_turn"}},{"metadata":{"usage":{"inputTokens":5,"outputTokens":2,
          "cacheReadInputTokenCount":3,"cacheWriteInputTokenCount":0},"metrics":{},"trace":{}},
          "amazon-bedrock-invocationMetrics":{"inputTokenCount":5,"outputTokenCount":2,"invocationLatency":9,"firstByteLatency":4}}]"#,
        &["assistant: a", "stop=end_turn>end_turn in=5 out=2 read=3 write=0 ms=9 first=4"],
    );
    for name in ["internalServerException", "modelStreamErrorException", "throttlingException"] {
        check(
            name,
            &format!(
                r#"[{{"contentBlockDelta":{{"delta":{{"text":"a"}}}}}},{{"messageStop":{{"stopReason":"end_turn"}}}},{{"{name}":{{"message":"no"}}}}]"#
            ),
            &["assistant: a", &format!("stop={name}>error")],
        );
    }
}

#[test]
fn completions() {
    check(
        "Llama",
        r#"[{"generation":"He","prompt_token_count":17,"generation_token_count":1,"stop_reason":null},{"generation":"llo","prompt_token_count":null,
          "generation_token_count":2,"stop_reason":null},{"generation":"","prompt_token_count":null,"generation_token_count":5,"stop_reason":"stop",
          "amazon-bedrock-invocationMetrics":{"inputTokenCount":17,"outputTokenCount":5,"invocationLatency":198,"firstByteLatency":117}}]"#,
        &["assistant: Hello", "stop=stop>end_turn in=17 out=5 ms=198 first=117"],
    );
    check(
        "Titan",
        r#"[{"outputText":"He","index":0,"totalOutputTextTokenCount":null,"completionReason":null,"inputTextTokenCount":5},
          {"outputText":"llo","index":1,"totalOutputTextTokenCount":4,"completionReason":"STOP_CRITERIA_MET","inputTextTokenCount":null}]"#,
        &["assistant: Hello", "stop=STOP_CRITERIA_MET>stop_sequence in=5 out=4"],
    );
    check(
        "Mistral",
        r#"[{"outputs":[{"text":"He","stop_reason":null}]},{"outputs":[{"text":"llo","stop_reason":"length"}]}]"#,
        &["assistant: Hello", "stop=length>max_tokens"],
    );
    check(
        "Cohere Command",
        r#"[{"text":"He","is_finished":false},{"text":"llo","is_finished":false},{"is_finished":true,"finish_reason":"COMPLETE",
          "amazon-bedrock-invocationMetrics":{"inputTokenCount":1,"outputTokenCount":2}}]"#,
        &["assistant: Hello", "stop=COMPLETE>end_turn in=1 out=2"],
    );
    check(
        "Cohere Command, two generations",
        r#"[{"text":"a","index":0,"is_finished":false},{"text":"x","index":1,"is_finished":false},{"text":"b","index":0,"is_finished":false},
          {"index":0,"is_finished":true,"finish_reason":"COMPLETE"},{"index":1,"is_finished":true,"finish_reason":"MAX_TOKENS"}]"#,
        &["assistant: ab", "assistant: x", "stop=COMPLETE>end_turn"],
    );
    check(
        "Pegasus",
        r#"[{"message":"A dog"},{"message":" runs."},{"message":"","finishReason":"length"}]"#,
        &["assistant: A dog runs.", "stop=length>max_tokens"],
    );
}

#[test]
fn cohere_chat() {
    let pieces = r#"{"is_finished":false,"event_type":"stream-start","generation_id":"gen"},
          {"is_finished":false,"event_type":"text-generation","text":"He"},{"is_finished":false,"event_type":"text-generation","text":"llo"},
          {"is_finished":false,"event_type":"citation-generation","citations":[{"start":0,"end":1,"text":"H"}]},
          {"is_finished":false,"event_type":"tool-calls-generation","text":"","tool_calls":[{"name":"f","parameters":{"x":1}}]},"#;
    let end = r#"{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE","response":{"response_id":"res","text":"Hello",
          "generation_id":"gen","chat_history":[{"role":"USER","message":"q"}],"finish_reason":"COMPLETE","tool_calls":[{"name":"f","parameters":{"x":1}}]},
          "amazon-bedrock-invocationMetrics":{"inputTokenCount":7,"outputTokenCount":2}}"#;
    let said = r#"assistant: Hello|(call f {"x":1})"#;
    let facts = "stop=COMPLETE>tool_use in=7 out=2 id=res";
    check("Command R says all twice", &format!("[{pieces}{end}]"), &[said, facts]);
    let without_calls = pieces.replace(r#","tool_calls":[{"name":"f","parameters":{"x":1}}]"#, "");
    assert_ne!(without_calls, pieces);
    check("Command R, with the calls at the end alone", &format!("[{without_calls}{end}]"), &[said, facts]);
    check("Command R, of which only the end is left", &format!("[{end}]"), &[said, facts]);
    let plan = |text: &str| pieces.replace(r#"generation","text":"","tool_calls""#, text);
    let repeated = plan(r#"generation","text":"Hello","tool_calls""#);
    assert_ne!(repeated, pieces);
    check("Command R, whose calls repeat the plan", &format!("[{repeated}{end}]"), &[said, facts]);
    let call =
        r#"[{"event_type":"tool-calls-generation","text":"Hello","tool_calls":[{"name":"f","parameters":{"x":1}}]}]"#;
    check("Command R, whose plan stands with the calls alone", call, &[said, ""]);
    check(
        "the newer chat",
        r#"[{"type":"message-start","id":"c","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}},
          {"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I "}}},{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"look"}}},
          {"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"t","type":"function","function":{"name":"f","arguments":""}}}}},
          {"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{\"x\""}}}}},
          {"type":"tool-call-start","index":1,"delta":{"message":{"tool_calls":{"id":"u","type":"function","function":{"name":"f","arguments":""}}}}},
          {"type":"tool-call-delta","index":1,"delta":{"message":{"tool_calls":{"function":{"arguments":"{}"}}}}},
          {"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":":1}"}}}}},{"type":"tool-call-end","index":0},
          {"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}},
          {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"He"}}}},
          {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"llo"}}}},{"type":"content-end","index":0},
          {"type":"citation-start","index":0,"delta":{"message":{"citations":{"start":1,"text":"x"}}}},
          {"type":"message-end","delta":{"finish_reason":"TOOL_CALL","usage":{"billed_units":{"input_tokens":1,"output_tokens":1},
          "tokens":{"input_tokens":50,"output_tokens":7}}}}]"#,
        &[
            r#"assistant: (thinking I look)|Hello|(call f#t {"x":1})|(call f#u {})"#,
            "stop=TOOL_CALL>tool_use in=50 out=7 id=c",
        ],
    );
}

#[test]
fn openai_chat() {
    check(
        "what is spoken, and its words",
        r#"[{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"audio":{"id":"audio_1","transcript":"He"}}}]},
          {"choices":[{"index":0,"delta":{"audio":{"data":"AAAA"}}}]},{"choices":[{"index":0,"delta":{"audio":{"transcript":"llo"}}}]},
          {"choices":[{"index":0,"delta":{"audio":{"data":"AAAA"}}}]},{"choices":[{"index":0,"delta":{"audio":{"expires_at":1}},"finish_reason":"stop"}]}]"#,
        &["assistant: (audio of Some(6))|Hello", "stop=stop>end_turn"],
    );
    check(
        "calls that interleave, and a last event without choices",
        r#"[{"id":"chatcmpl","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],
          "usage":null},{"choices":[{"index":0,"delta":{"reasoning":"h","reasoning_content":"h"}}]},{"choices":[{"index":0,"delta":{"reasoning":"m"}}]},
          {"choices":[{"index":0,"delta":{"content":"a\ud83d"}}]},
          {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"f","arguments":""}}]}}]},
          {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"y","type":"function","function":{"name":"f","arguments":"{"}},
          {"index":0,"function":{"arguments":"{\"a\""}}]}}]},
          {"choices":[{"index":0,"delta":{"content":"\ude00b"}}]},
          {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"","function":{"arguments":":1}"}}]}}]},
          {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"y","function":{"name":"f","arguments":"}"}}]}}]},
          {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]},
          {"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105,"prompt_tokens_details":{"cached_tokens":90}},
          "amazon-bedrock-invocationMetrics":{"inputTokenCount":10,"cacheReadInputTokenCount":90,"outputTokenCount":5,"invocationLatency":3}},"[DONE]"]"#,
        &[
            "assistant: (thinking hm)|a\u{1f600}b|(call f#x {\"a\":1})|(call f#y {})",
            "stop=tool_calls>tool_use in=10 out=5 read=90 total=105 ms=3 id=chatcmpl model=m",
        ],
    );
    check(
        "alternatives that interleave, each with its own calls",
        r#"[{"choices":[{"index":1,"delta":{"content":"x"}}]},{"choices":[{"index":0,"delta":{"content":"a"}}]},
          {"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"id":"p","function":{"name":"f","arguments":"{"}}]}},
          {"index":0,"delta":{"tool_calls":[{"index":0,"id":"q","function":{"name":"g","arguments":"["}}]}}]},
          {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"]"}}]},"finish_reason":"length"}]},
          {"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]},"finish_reason":"stop"}]}]"#,
        &["assistant: a|(call g#q [])", "assistant: x|(call f#p {})", "stop=length>max_tokens"],
    );
    check(
        "two calls with one index are two",
        r#"[{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{}"}}]}}]},
          {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"y","function":{"name":"g","arguments":"{"}}]}}]},
          {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}}]}]"#,
        &["assistant: (call f#x {})|(call g#y {})", ""],
    );
    check(
        "the old function call, a refusal, and content in a list",
        r#"[{"choices":[{"delta":{"function_call":{"name":"f","arguments":"{"}}}]},{"choices":[{"delta":{"function_call":{"arguments":"}"}}}]},
          {"choices":[{"delta":{"refusal":"n"}}]},{"choices":[{"delta":{"refusal":"o"}}]},
          {"choices":[{"delta":{"content":[{"type":"text","text":"a"}]}}]},{"choices":[{"delta":{"content":[{"type":"text","text":"b"}]}}]}]"#,
        &["assistant: ab|no|(call f {})", ""],
    );
    check(
        "DeepSeek",
        r#"[{"choices":[{"index":0,"message":{"role":"assistant","content":null,"reasoning_content":"h"},"stop_reason":null}]},
          {"choices":[{"index":0,"message":{"content":null,"reasoning_content":"m"}}]},{"choices":[{"index":0,"message":{"content":"hi"},
          "stop_reason":"length"}],"amazon-bedrock-invocationMetrics":{"invocationLatency":551}}]"#,
        &["assistant: (thinking hm)|hi", "stop=length>max_tokens ms=551"],
    );
    check(
        "Mistral",
        r#"[{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"stop_reason":null}]},{"choices":[{"index":0,"message":
          {"role":"assistant","content":"","tool_calls":[{"id":"x","function":{"name":"f","arguments":"{}"}},{"id":"y","function":{"name":"f","arguments":"{}"}}]},
          "stop_reason":"tool_calls"}]}]"#,
        &["assistant: a|(call f#x {})|(call f#y {})", "stop=tool_calls>tool_use"],
    );
    check(
        "a message behind its deltas repeats them",
        r#"[{"choices":[{"index":0,"message":{"content":"a"},"delta":{"content":"a"}}]},{"choices":[{"index":0,"delta":{"content":"b"},"message":null}]},
          {"choices":[{"index":0,"message":{"role":"assistant","content":"ab"},"finish_reason":"stop"}]}]"#,
        &["assistant: ab", "stop=stop>end_turn"],
    );
    check(
        "metrics that were taken over with the cached tokens in them",
        r#"[{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":5,"total_tokens":105,"prompt_tokens_details":{"cached_tokens":90}}},
          {"amazon-bedrock-invocationMetrics":{"inputTokenCount":100,"outputTokenCount":5}}]"#,
        &["in=10 out=5 read=90 total=105"],
    );
}

#[test]
fn openai_responses() {
    let created = r#"{"type":"response.created","response":{"id":"resp","object":"response","status":"in_progress","model":"m","output":[],"usage":null}},"#;
    let pieces = r#"{"type":"response.output_item.added","output_index":1,"item":{"id":"fc","call_id":"c","type":"function_call","name":"f","arguments":""}},
          {"type":"response.output_item.added","output_index":0,"item":{"id":"msg","type":"message","role":"assistant","content":[]}},
          {"type":"response.content_part.added","item_id":"msg","output_index":0,"content_index":0,"part":{"type":"output_text","text":""}},
          {"type":"response.function_call_arguments.delta","item_id":"fc","output_index":1,"delta":"{\"a\""},
          {"type":"response.output_text.delta","item_id":"msg","output_index":0,"content_index":0,"delta":"a"},
          {"type":"response.output_text.delta","item_id":"msg","output_index":0,"content_index":1,"delta":"x"},
          {"type":"response.output_text.delta","item_id":"msg","output_index":0,"content_index":0,"delta":"b"},
          {"type":"response.output_text.done","item_id":"msg","output_index":0,"content_index":0,"text":"ab"},
          {"type":"response.function_call_arguments.delta","item_id":"fc","output_index":1,"delta":":1}","obfuscation":"zzz"},
          {"type":"response.function_call_arguments.done","item_id":"fc","output_index":1,"arguments":"{\"a\":1}"}"#;
    let said = ["assistant: ab|x", r#"assistant: (call f#c {"a":1})"#];
    check("cut", &format!("[{created}{pieces}]"), &[said[0], said[1], "id=resp model=m"]);
    let without_indexes = pieces.replace(r#""output_index":0,"#, "").replace(r#""output_index":1,"#, "");
    check(
        "told by ids, in the order in which they came",
        &format!("[{created}{without_indexes}]"),
        &[said[1], said[0], "id=resp model=m"],
    );
    let done = r#"{"type":"response.output_item.done","output_index":1,"item":{"id":"fc","call_id":"c","type":"function_call","name":"f","arguments":"{\"a\":1}"}}"#;
    check("cut after an item", &format!("[{created}{pieces},{done}]"), &[said[0], said[1], "id=resp model=m"]);
    let completed = r#"{"type":"response.completed","response":{"id":"resp","status":"completed","error":null,"incomplete_details":null,"output":[
          {"id":"msg","type":"message","role":"assistant","content":[{"type":"output_text","text":"ab"},{"type":"output_text","text":"x"}]},
          {"id":"fc","call_id":"c","type":"function_call","name":"f","arguments":"{\"a\":1}"}],"metadata":{"id":"his"},
          "usage":{"input_tokens":56,"output_tokens":19,"total_tokens":75}}}"#;
    check(
        "complete, which says all again",
        &format!("[{created}{pieces},{done},{completed}]"),
        &[said[0], said[1], "stop=completed>tool_use in=56 out=19 total=75 id=resp model=m"],
    );
    let ends = [
        (
            r#"{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}}"#,
            "stop=max_output_tokens>max_tokens id=resp model=m",
        ),
        (
            r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"x"},"output":[]}}"#,
            "stop=failed>error id=resp model=m",
        ),
        (r#"{"type":"error","code":"x","message":"secret"}"#, "stop=error>error id=resp model=m"),
    ];
    for (end, facts) in ends {
        check(end, &format!("[{created}{pieces},{end}]"), &[said[0], said[1], facts]);
    }
    check(
        "thoughts, a refusal and a tool of the caller's",
        r#"[{"type":"response.output_item.added","output_index":0,"item":{"id":"rs","type":"reasoning","summary":[]}},
          {"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"h"},
          {"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":1,"delta":"z"},
          {"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"m"},
          {"type":"response.reasoning_text.delta","output_index":0,"content_index":0,"delta":"long"},
          {"type":"response.refusal.delta","output_index":1,"content_index":0,"delta":"no"},
          {"type":"response.output_item.added","output_index":2,"item":{"type":"custom_tool_call","call_id":"c","name":"sh","input":""}},
          {"type":"response.custom_tool_call_input.delta","output_index":2,"delta":"l"},
          {"type":"response.custom_tool_call_input.delta","output_index":2,"delta":"s"},
          {"type":"response.output_item.done","output_index":3,"item":{"type":"compaction","id":"w"}}]"#,
        &[
            "assistant: (thinking hm)|(thinking z)|(thinking long)",
            "assistant: no",
            "assistant: (call sh#c ls)",
            r#"assistant: (json {"type":"compaction","id":"w"})"#,
            "",
        ],
    );
}
