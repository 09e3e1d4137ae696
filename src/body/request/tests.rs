//! Requests of every family, as one text each.

use super::*;
use crate::body::{Arguments, Media, Parameters, Tool, ToolCall};
use crate::invocation::RawJson;

/// A request as lines that can be read: system, messages, tools, parameters.
fn shown(request: &Request<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if !request.system.is_empty() {
        lines.push(format!("system= {}", parts(&request.system)));
    }
    lines
        .extend(request.messages.iter().map(|message| format!("{}: {}", message.role.decode(), parts(&message.parts))));
    for Tool { name, description, schema } in &request.tools {
        let description = description.as_ref().map(|text| format!(" \"{}\"", text.decode())).unwrap_or_default();
        let schema = schema.map(|schema| format!(" {}", schema.0)).unwrap_or_default();
        lines.push(format!("tool {}{description}{schema}", name.decode()));
    }
    let parameters = parameters(&request.parameters);
    if !parameters.is_empty() {
        lines.push(format!("with{parameters}"));
    }
    lines
}

fn parameters(parameters: &Parameters<'_>) -> String {
    let Parameters { max_tokens, temperature, top_p, top_k, stop_sequences, stream } = parameters;
    let mut shown = String::new();
    let mut push = |name: &str, value: Option<String>| {
        shown.extend(value.map(|value| format!(" {name}={value}")));
    };
    push("max", max_tokens.map(|n| n.to_string()));
    push("temperature", temperature.map(str::to_owned));
    push("top_p", top_p.map(str::to_owned));
    push("top_k", top_k.map(|n| n.to_string()));
    let stops: Vec<_> = stop_sequences.iter().map(Text::escaped).collect();
    push("stop", (!stops.is_empty()).then(|| stops.join(",")));
    push("stream", stream.map(|stream| stream.to_string()));
    shown
}

fn parts(parts: &[Part<'_>]) -> String {
    parts.iter().map(part).collect::<Vec<_>>().join("|")
}

fn part(part: &Part<'_>) -> String {
    let id = |id: &Option<Text<'_>>| id.as_ref().map(|id| format!(" #{}", id.decode())).unwrap_or_default();
    match part {
        Part::Text(text) => text.decode().into_owned(),
        Part::Reasoning(text) => format!("(thinking {})", text.decode()),
        Part::ToolCall(ToolCall { id: call, name, arguments }) => {
            let arguments = match arguments {
                Arguments::Json(json) => json.0.to_owned(),
                Arguments::Text(text) => format!("'{}'", text.decode()),
            };
            format!("(call{} {} {arguments})", id(call), name.decode())
        }
        Part::ToolResult(ToolResult { id: call, is_error, parts: inner }) => {
            format!("({}{} {})", if *is_error { "failure" } else { "result" }, id(call), parts(inner))
        }
        Part::Media(media) => format!("({})", self::media(media)),
        Part::Json(json) => format!("(json {})", json.0),
    }
}

fn media(Media { kind, media_type, name, bytes, uri }: &Media<'_>) -> String {
    let mut shown = kind.as_str().to_owned();
    let mut push = |before: &str, text: Option<String>| shown.extend(text.map(|text| format!(" {before}{text}")));
    push("", media_type.as_ref().map(|text| text.decode().into_owned()));
    push("name=", name.as_ref().map(|text| text.decode().into_owned()));
    push("bytes=", bytes.map(|bytes| bytes.to_string()));
    push("at ", uri.as_ref().map(|text| text.decode().into_owned()));
    shown
}

fn check(name: &str, body: &str, expected: &[&str]) {
    serde_json::from_str::<serde::de::IgnoredAny>(body).unwrap_or_else(|err| panic!("{name} is no JSON: {err}"));
    assert_eq!(shown(&read(Value::new(RawJson(body)))), expected, "{name}");
}

#[test]
fn converse() {
    check(
        "all there is",
        r#"{"modelId":"x","system":[{"text":"be brief"},{"cachePoint":{"type":"default"}},
            {"guardContent":{"text":{"text":"guarded","qualifiers":["grounding_source"]}}}],
          "messages":[
            {"role":"user","content":[{"text":"what is this?"},
              {"image":{"format":"png","source":{"bytes":"iVBORw0KGgo="}}},
              {"document":{"format":"pdf","name":"secret","source":{"s3Uri":"s3://b/AWSLogs/1/data/r_input_media_00.pdf"}}},
              {"video":{"format":"mp4","source":{"s3Location":{"uri":"s3://mine/v.mp4","bucketOwner":"111122223333"}}}},
              {"audio":{"format":"wav","source":{"bytes":"UklGRg=="}}},
              {"guardContent":{"text":{"text":"look","qualifiers":["query"]}}},
              {"guardContent":{"image":{"format":"jpeg","source":{"bytes":"AAAA"}}}},
              {"cachePoint":{"type":"default"}}]},
            {"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"c2ln"}}},
              {"reasoningContent":{"redactedContent":"AAAA"}},
              {"toolUse":{"toolUseId":"t1","name":"look","input":{"a":1}}}]},
            {"role":"user","content":[{"toolResult":{"toolUseId":"t1","status":"error","content":[{"json":{"b":2}},{"text":"no"},
              {"image":{"format":"gif","source":{"bytes":"AAA="}}},{"document":{"format":"csv","name":"d","source":{"bytes":"AA=="}}},
              {"searchResult":{"source":"doc-7","title":"T","content":[{"text":"found"}]}}]}}]},
            {"role":"assistant","content":[{"citationsContent":{"content":[{"text":"cited"},{"text":" too"}],
              "citations":[{"title":"T","sourceContent":[{"text":"found"}]}]}}]},
            {"role":"user","content":[{"searchResult":{"source":"https://example.com/","title":"S","content":[{"text":"hit"}],"citations":{"enabled":true}}}]}],
          "inferenceConfig":{"maxTokens":512,"temperature":0.50,"topP":0.9,"stopSequences":["END","\n\n"]},
          "additionalModelRequestFields":{"top_k":50,"thinking":{"type":"enabled","budget_tokens":1024},
            "tools":[{"type":"computer_20250124","name":"computer","display_width_px":1024}]},
          "toolConfig":{"tools":[{"toolSpec":{"name":"look","description":"Looks \"it\" up","inputSchema":{"json":{"type":"object"}}}},
            {"cachePoint":{"type":"default"}},{"systemTool":{"name":"nova_grounding"}}],"toolChoice":{"auto":{}}}}"#,
        &[
            "system= be brief|guarded",
            "user: what is this?|(image png bytes=8)|(document pdf name=secret at s3://b/AWSLogs/1/data/r_input_media_00.pdf)|\
             (video mp4 at s3://mine/v.mp4)|(audio wav bytes=4)|look|(image jpeg bytes=3)",
            "assistant: (thinking hm)|(thinking )|(call #t1 look {\"a\":1})",
            "user: (failure #t1 (json {\"b\":2})|no|(image gif bytes=2)|(document csv name=d bytes=1)|\
             (document name=T at doc-7)|found)",
            "assistant: cited| too",
            "user: (document name=S at https://example.com/)|hit",
            "tool computer",
            "tool look \"Looks \"it\" up\" {\"type\":\"object\"}",
            "tool nova_grounding",
            "with max=512 temperature=0.50 top_p=0.9 top_k=50 stop=END,\\n\\n",
        ],
    );
    check(
        "documents that are text",
        r#"{"messages":[{"role":"user","content":[{"document":{"format":"txt","name":"a","source":{"text":"all of it"}}},
          {"document":{"name":"b","context":"from the wiki","source":{"content":[{"text":"one"},{"text":"two"}]}}}]}]}"#,
        &["user: (document txt name=a)|all of it|(document name=b)|from the wiki|one|two"],
    );
    check(
        "a prompt that Bedrock keeps",
        r#"{"promptVariables":{"genre":{"text":"jazz"},"number":{"text":"3"}}}"#,
        &["user: jazz|3"],
    );
    check(
        "keys that are escaped",
        r#"{"m\u0065ssages":[{"r\u006fle":"user","c\u006fntent":[{"t\u0065xt":"hi"}]}],"inference\u0043onfig":{"max\u0054okens":3}}"#,
        &["user: hi", "with max=3"],
    );
}

#[test]
fn nova() {
    check(
        "native",
        r#"{"schemaVersion":"messages-v1","system":[{"text":"s"}],"messages":[{"role":"user","content":[{"text":"hi"},
          {"video":{"format":"mp4","source":{"s3Location":{"uri":"s3://b/v.mp4"}}}}]},{"role":"assistant","content":[{"text":"yo"}]}],
          "inferenceConfig":{"max_new_tokens":300,"temperature":0.7,"topP":0.9,"topK":20,"stopSequences":["X"]},
          "toolConfig":{"tools":[{"toolSpec":{"name":"f","inputSchema":{"json":{}}}}]}}"#,
        &[
            "system= s",
            "user: hi|(video mp4 at s3://b/v.mp4)",
            "assistant: yo",
            "tool f {}",
            "with max=300 temperature=0.7 top_p=0.9 top_k=20 stop=X",
        ],
    );
    check(
        "top k of Nova through Converse",
        r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":9},
          "additionalModelRequestFields":{"inferenceConfig":{"topK":1,"maxTokens":1}}}"#,
        &["user: hi", "with max=9 top_k=1"],
    );
    for (name, params, expected) in [
        (
            "textToImageParams",
            r#"{"text":"a cat","negativeText":"dogs","conditionImage":"AAAA","controlMode":"CANNY_EDGE"}"#,
            "a cat|dogs|(image bytes=3)",
        ),
        (
            "inPaintingParams",
            r#"{"text":"a","image":"AAAA","maskPrompt":"the sky","negativeText":"n"}"#,
            "a|(image bytes=3)|the sky|n",
        ),
        (
            "outPaintingParams",
            r#"{"image":"AAAA","maskImage":"AAA=","text":"a","outPaintingMode":"DEFAULT"}"#,
            "(image bytes=3)|(image bytes=2)|a",
        ),
        (
            "imageVariationParams",
            r#"{"images":["AAAA","AA=="],"text":"v","similarityStrength":0.7}"#,
            "(image bytes=3)|(image bytes=1)|v",
        ),
        (
            "colorGuidedGenerationParams",
            r##"{"colors":["#ff8080"],"referenceImage":"AAAA","text":"c"}"##,
            "(image bytes=3)|c",
        ),
        ("backgroundRemovalParams", r#"{"image":"AAAA"}"#, "(image bytes=3)"),
        (
            "textToVideoParams",
            r#"{"text":"waves","images":[{"format":"png","source":{"bytes":"AAAA"}}]}"#,
            "waves|(image png bytes=3)",
        ),
        (
            "multiShotManualParams",
            r#"{"shots":[{"text":"one"},{"text":"two","image":{"format":"png","source":{"s3Location":{"uri":"s3://b/i.png"}}}}]}"#,
            "one|two|(image png at s3://b/i.png)",
        ),
        (
            "singleEmbeddingParams",
            r#"{"embeddingPurpose":"GENERIC_INDEX","embeddingDimension":3072,"text":{"truncationMode":"END","value":"t"}}"#,
            "t",
        ),
        (
            "singleEmbeddingParams",
            r#"{"text":{"source":{"s3Location":{"uri":"s3://b/t.txt"}}}}"#,
            "(document at s3://b/t.txt)",
        ),
        (
            "singleEmbeddingParams",
            r#"{"image":{"format":"jpeg","detailLevel":"STANDARD_IMAGE","source":{"bytes":"AAAA"}}}"#,
            "(image jpeg bytes=3)",
        ),
        (
            "segmentedEmbeddingParams",
            r#"{"audio":{"format":"mp3","source":{"s3Location":{"uri":"s3://b/a.mp3"}}}}"#,
            "(audio mp3 at s3://b/a.mp3)",
        ),
    ] {
        let body = format!(r#"{{"taskType":"T","imageGenerationConfig":{{"width":1024,"seed":1}},"{name}":{params}}}"#);
        check(name, &body, &[&format!("user: {expected}")]);
    }
}

#[test]
fn a_job_has_the_models_own_body_in_it() {
    check(
        "Nova Reel",
        r#"{"modelId":"m","outputDataConfig":{"s3OutputDataConfig":{"s3Uri":"s3://b/"}},"modelInput":{"taskType":"TEXT_VIDEO",
          "textToVideoParams":{"text":"a drone","images":[{"format":"png","source":{"bytes":"AAAA"}}]},"videoGenerationConfig":{"seed":1}}}"#,
        &["user: a drone|(image png bytes=3)"],
    );
    check("Luma Ray", r#"{"modelInput":{"prompt":"fly","max_tokens":3}}"#, &["user: fly", "with max=3"]);
    check("a job in a job", r#"{"modelInput":{"prompt":"a","modelInput":{"prompt":"b"}}}"#, &["user: a"]);
}

#[test]
fn titan() {
    check(
        "text",
        r#"{"inputText":"p","textGenerationConfig":{"maxTokenCount":100,"temperature":0,"topP":1,"stopSequences":["User:"]}}"#,
        &["user: p", "with max=100 temperature=0 top_p=1 stop=User:"],
    );
    check("embedding", r#"{"inputText":"p","dimensions":512,"normalize":true}"#, &["user: p"]);
    check(
        "embedding of an image",
        r#"{"inputText":"p","inputImage":"AAAA","embeddingConfig":{}}"#,
        &["user: p|(image bytes=3)"],
    );
}

#[test]
fn anthropic() {
    check(
        "messages",
        r#"{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["x"],"max_tokens":1024,"temperature":1.0,"top_p":0.99,"top_k":5,
          "stop_sequences":["a","b"],"system":[{"type":"text","text":"be brief","cache_control":{"type":"ephemeral"}}],
          "messages":[{"role":"user","content":"hi"},
            {"role":"user","content":[
              {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},
              {"type":"image","source":{"type":"url","url":"https://example.com/a.png"}},
              {"type":"image","source":{"type":"file","file_id":"file_1"}},
              {"type":"document","title":"D","context":"c","source":{"type":"base64","media_type":"application/pdf","data":"AA=="}},
              {"type":"document","source":{"type":"text","media_type":"text/plain","data":"plain \"text\""}},
              {"type":"document","source":{"type":"content","content":[{"type":"text","text":"in"},{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"AAAA"}}]}},
              {"type":"document","source":{"data":"as text","media_type":"text/plain","type":"text"}},
              {"type":"document","source":{"type":"content","content":"as one"}},
              {"type":"search_result","source":"https://example.com/","title":"S","content":[{"type":"text","text":"hit"}]},
              {"type":"container_upload","file_id":"file_2"},{"type":"mystery","x":1}]},
            {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"AAAA"},
              {"type":"text","text":"ok","citations":null},{"type":"tool_use","id":"t1","name":"f","input":{"a":[1]}},
              {"type":"server_tool_use","id":"t2","name":"web_search","input":{"query":"q"}},
              {"type":"web_search_tool_result","tool_use_id":"t2","content":[{"type":"web_search_result","url":"https://e.com","title":"E","encrypted_content":"x"}]},
              {"type":"web_search_tool_result","tool_use_id":"t3","content":{"type":"web_search_tool_result_error","error_code":"max_uses_exceeded"}},
              {"type":"web_fetch_tool_result","tool_use_id":"t4","content":{"type":"web_fetch_result","url":"https://e.com/p","content":
                {"type":"document","source":{"type":"text","media_type":"text/plain","data":"page"},"title":"P"}}},
              {"type":"bash_code_execution_tool_result","tool_use_id":"t5","content":{"type":"bash_code_execution_result","stdout":"out","stderr":"","return_code":0,"content":[]}},
              {"type":"mcp_tool_use","id":"t6","name":"m","server_name":"s","input":{}},
              {"type":"mcp_tool_result","tool_use_id":"t6","is_error":false,"content":[{"type":"text","text":"r"}]}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":[{"type":"text","text":"no"},
              {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]},{"type":"tool_result","tool_use_id":"t7","content":"42"},
              {"type":"tool_result","tool_use_id":"t8"}]}],
          "tools":[{"name":"f","description":"d","input_schema":{"type":"object"}},{"type":"custom","name":"g","input_schema":{}},
            {"type":"bash_20250124","name":"bash"}],"tool_choice":{"type":"auto"}}"#,
        &[
            "system= be brief",
            "user: hi",
            "user: (image image/png bytes=3)|(image at https://example.com/a.png)|(image at file_1)|\
             (document application/pdf name=D bytes=1)|c|(document text/plain)|plain \"text\"|(document)|in|(image image/gif bytes=3)|\
             (document text/plain)|as text|(document)|as one|(document name=S at https://example.com/)|hit|(document at file_2)|\
             (json {\"type\":\"mystery\",\"x\":1})",
            "assistant: (thinking hm)|(thinking )|ok|(call #t1 f {\"a\":[1]})|(call #t2 web_search {\"query\":\"q\"})|\
             (result #t2 (document name=E at https://e.com))|\
             (failure #t3 (json {\"type\":\"web_search_tool_result_error\",\"error_code\":\"max_uses_exceeded\"}))|\
             (result #t4 (document at https://e.com/p)|(document text/plain name=P)|page)|(result #t5 out)|\
             (call #t6 m {})|(result #t6 r)",
            "user: (failure #t1 no|(image image/png bytes=3))|(result #t7 42)|(result #t8 )",
            "tool f \"d\" {\"type\":\"object\"}",
            "tool g {}",
            "tool bash",
            "with max=1024 temperature=1.0 top_p=0.99 top_k=5 stop=a,b",
        ],
    );
    check(
        "text",
        r#"{"prompt":"\n\nHuman: hi\n\nAssistant:","max_tokens_to_sample":200,"stop_sequences":["\n\nHuman:"],"top_k":250,"top_p":0.5}"#,
        &["user: \n\nHuman: hi\n\nAssistant:", "with max=200 top_p=0.5 top_k=250 stop=\\n\\nHuman:"],
    );
    check("system as text", r#"{"system":"be brief","messages":[]}"#, &["system= be brief"]);
}

#[test]
fn llama_mistral_deepseek_qwen_writer_ai21() {
    check(
        "Llama",
        r#"{"prompt":"<|begin_of_text|>hi","images":["AAAA"],"max_gen_len":512,"temperature":0.5,"top_p":0.9}"#,
        &["user: <|begin_of_text|>hi|(image bytes=3)", "with max=512 temperature=0.5 top_p=0.9"],
    );
    check(
        "Mistral",
        r#"{"prompt":"<s>[INST]hi[/INST]","max_tokens":400,"stop":["</s>"],"temperature":0.7,"top_p":0.7,"top_k":50}"#,
        &["user: <s>[INST]hi[/INST]", "with max=400 temperature=0.7 top_p=0.7 top_k=50 stop=</s>"],
    );
    check(
        "Mistral chat",
        r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"","tool_calls":
          [{"id":"c1","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c1","name":"f","content":"{\"b\":2}"},
          {"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"done"}]}],
          "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}],"tool_choice":"auto","max_tokens":5}"#,
        &[
            "system: s",
            "user: u",
            "assistant: (call #c1 f '{\"a\":1}')",
            "tool: (result #c1 {\"b\":2})",
            "assistant: (thinking hm)|done",
            "tool f \"d\" {\"type\":\"object\"}",
            "with max=5",
        ],
    );
    check(
        "Pixtral",
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"t"},{"type":"image_url","image_url":{"url":"data:image/webp;base64,AAAAAA=="}},
          {"type":"image_url","image_url":"https://example.com/a.jpg"},{"type":"document_url","document_url":"https://example.com/d.pdf","document_name":"d"}]}]}"#,
        &[
            "user: t|(image image/webp bytes=4)|(image at https://example.com/a.jpg)|(document name=d at https://example.com/d.pdf)",
        ],
    );
    check(
        "DeepSeek",
        r#"{"prompt":"<|begin▁of▁sentence|>hi","max_tokens":512,"stop":"x","temperature":1e-1}"#,
        &["user: <|begin▁of▁sentence|>hi", "with max=512 temperature=1e-1 stop=x"],
    );
    check(
        "DeepSeek chat",
        r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","reasoning_content":"hm","content":"b"},{"role":"user","content":"c"}],"max_tokens":10}"#,
        &["user: a", "assistant: (thinking hm)|b", "user: c", "with max=10"],
    );
    check(
        "Qwen",
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"t"},{"type":"video_url","video_url":{"url":"https://example.com/v.mp4"}}]},
          {"role":"assistant","reasoning":"same","reasoning_content":"same","content":"x"}],"max_tokens":8,"stream":true}"#,
        &["user: t|(video at https://example.com/v.mp4)", "assistant: (thinking same)|x", "with max=8 stream=true"],
    );
    check("Qwen, a prompt", r#"{"prompt":"p","top_k":20}"#, &["user: p", "with top_k=20"]);
    check(
        "Writer",
        r#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":100,"stop":["a"],"temperature":0}"#,
        &["user: hi", "with max=100 temperature=0 stop=a"],
    );
    check(
        "AI21 Jurassic",
        r#"{"prompt":"p","maxTokens":200,"temperature":0.5,"topP":0.5,"stopSequences":["x"],"countPenalty":{"scale":0}}"#,
        &["user: p", "with max=200 temperature=0.5 top_p=0.5 stop=x"],
    );
    check(
        "AI21 Jamba",
        r#"{"messages":[{"role":"user","content":"p"}],"n":1,"max_tokens":9,"documents":[{"content":"known","metadata":[{"key":"a","value":"b"}]}]}"#,
        &["user: p", "user: known", "with max=9"],
    );
    check(
        "open models' text generation",
        r#"{"inputs":"p","parameters":{"max_new_tokens":64,"top_p":0.9,"do_sample":true}}"#,
        &["user: p", "with max=64 top_p=0.9"],
    );
}

#[test]
fn cohere() {
    check(
        "Command",
        r#"{"prompt":"p","max_tokens":400,"temperature":0.75,"p":0.01,"k":0,"stop_sequences":["x"],"return_likelihoods":"NONE","stream":false}"#,
        &["user: p", "with max=400 temperature=0.75 top_p=0.01 top_k=0 stop=x stream=false"],
    );
    check(
        "Command R",
        r#"{"message":"b","preamble":"be brief","chat_history":[{"role":"USER","message":"a"},
          {"role":"CHATBOT","message":"calling","tool_calls":[{"name":"f","parameters":{"x":1}}]},
          {"role":"TOOL","tool_results":[{"call":{"name":"f","parameters":{"x":1}},"outputs":[{"y":2},"z"]}]},{"role":"SYSTEM","message":"s"}],
          "documents":[{"title":"T","snippet":"S"},{"id":"d2","data":{"text":"D","url":"https://e.com"}},"bare"],
          "tool_results":[{"call":{"name":"g"},"outputs":[{"text":"r"}]}],
          "tools":[{"name":"f","description":"d","parameter_definitions":{"x":{"type":"int","required":true}}}],"p":0.5,"k":3,"max_tokens":10}"#,
        &[
            "system= be brief",
            "user: a",
            "assistant: calling|(call f {\"x\":1})",
            "tool: (result (json {\"y\":2})|z)",
            "system: s",
            "user: b|(document name=T)|S|(document at https://e.com)|D|bare",
            "tool: (result (json {\"text\":\"r\"}))",
            "tool f \"d\" {\"x\":{\"type\":\"int\",\"required\":true}}",
            "with max=10 top_p=0.5 top_k=3",
        ],
    );
    check(
        "the newer chat",
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"q"}]},{"role":"assistant","tool_plan":"I will look","tool_calls":
          [{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":
          [{"type":"document","document":{"id":"1","data":"found"}}]}]}"#,
        &["user: q", "assistant: (thinking I will look)|(call #c f '{}')", "tool: (result #c found)"],
    );
    check(
        "embeddings",
        r#"{"texts":["a","b"],"images":["data:image/png;base64,AAAA"],"input_type":"search_document","embedding_types":["float"]}"#,
        &["user: a|b|(image image/png bytes=3)"],
    );
    check(
        "embeddings of contents",
        r#"{"input_type":"search_query","inputs":[{"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]}"#,
        &["user: a|(image image/png bytes=1)"],
    );
    check("reranking", r#"{"query":"q","documents":["a",{"text":"b"}],"top_n":1,"api_version":2}"#, &["user: q|a|b"]);
}

#[test]
fn openai() {
    check(
        "chat",
        r#"{"model":"m","messages":[{"role":"developer","content":"d"},{"role":"system","content":[{"type":"text","text":"s"}]},
          {"role":"user","name":"n","content":[{"type":"text","text":"t"},
            {"type":"image_url","image_url":{"url":"data:image\/png;base64,AAA\u003d","detail":"low"}},{"type":"image_url","image_url":{"url":"https:\/\/e.com\/a"}},
            {"type":"image_url","image_url":{"url":"data:"}},
            {"type":"input_audio","input_audio":{"data":"AAAA","format":"mp3"}},
            {"type":"file","file":{"filename":"f.pdf","file_data":"data:application/pdf;base64,AAAA"}},{"type":"file","file":{"file_id":"file-1"}}]},
          {"role":"assistant","content":null,"refusal":"no","audio":{"id":"audio_1"},"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},
            {"id":"c2","type":"custom","custom":{"name":"g","input":"free"}}],"function_call":{"name":"old","arguments":"{"}},
          {"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"r"}]},{"role":"function","name":"old","content":"legacy"}],
          "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},
            {"type":"custom","custom":{"name":"g","description":"free text"}}],"functions":[{"name":"old","parameters":{}}],
          "audio":{"voice":"alloy","format":"wav"},"max_completion_tokens":77,"stop":["a","b"],"stream":true,"temperature":0.2,"n":2}"#,
        &[
            "developer: d",
            "system: s",
            "user: t|(image image/png bytes=2)|(image at https://e.com/a)|(image)|(audio mp3 bytes=3)|\
             (document application/pdf name=f.pdf bytes=3)|(document at file-1)",
            "assistant: no|(audio at audio_1)|(call #c1 f '{\"a\":1}')|(call #c2 g 'free')|(call old '{')",
            "tool: (result #c1 r)",
            "function: (result legacy)",
            "tool f \"d\" {\"type\":\"object\"}",
            "tool g \"free text\"",
            "tool old {}",
            "with max=77 temperature=0.2 stop=a,b stream=true",
        ],
    );
    check("chat, one stop", r#"{"messages":[],"max_tokens":3,"stop":"END"}"#, &["with max=3 stop=END"]);
    check("embeddings", r#"{"input":["a","b"],"encoding_format":"float"}"#, &["user: a|b"]);
    check("embeddings of tokens", r#"{"input":[[1,2],[3]]}"#, &[]);
    check(
        "texts between items",
        r#"{"input":["a","b",{"role":"x","content":"c"},"d"]}"#,
        &["user: a|b", "x: c", "user: d"],
    );
    check(
        "Responses",
        r#"{"model":"m","instructions":"i","input":[{"role":"developer","content":"d"},
          {"type":"message","role":"user","content":[{"type":"input_text","text":"hi"},{"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"auto"},
            {"type":"input_image","file_id":"file-9"},{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,AA=="},{"type":"input_file","file_url":"https://e.com/a.pdf"},"bare"]},
          {"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"sum"}],"content":[{"type":"reasoning_text","text":"thought"}]},
          {"type":"reasoning","id":"rs2","summary":[],"encrypted_content":"gAAA"},{"type":"reasoning","id":"rs3","summary":[]},
          {"type":"function_call","id":"fc","call_id":"c1","name":"f","arguments":"{\"a\":1}"},
          {"type":"function_call_output","call_id":"c1","output":"42"},{"type":"function_call_output","call_id":"c1","output":[{"type":"input_text","text":"43"}]},
          {"type":"custom_tool_call","call_id":"c2","name":"g","input":"free"},{"type":"custom_tool_call_output","call_id":"c2","output":"out"},
          {"type":"web_search_call","id":"ws","status":"completed","action":{"type":"search","query":"q"}},
          {"type":"computer_call_output","call_id":"c3","output":{"type":"computer_screenshot","image_url":"data:image/png;base64,AAAA"}},
          {"type":"mcp_call","id":"m1","server_label":"s","name":"h","arguments":"{}","output":"ok","error":null},
          {"type":"image_generation_call","id":"ig","result":"AAAA"},
          {"type":"message","role":"assistant","content":[{"type":"output_text","text":"yo","annotations":[]},{"type":"refusal","refusal":"no"}]},
          {"type":"item_reference","id":"msg_1"}],
          "tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true},{"type":"web_search"},
            {"type":"custom","name":"g","format":{"type":"text"}},{"type":"mcp","server_label":"s","server_url":"https://e.com"}],
          "text":{"format":{"type":"text"},"verbosity":"low"},"reasoning":{"effort":"low"},"max_output_tokens":99,"stream":true,"store":false,"top_p":1}"#,
        &[
            "system= i",
            "developer: d",
            "user: hi|(image image/png bytes=3)|(image at file-9)|(document application/pdf name=a.pdf bytes=1)|(document at https://e.com/a.pdf)|bare",
            "assistant: (thinking sum)|(thinking thought)",
            "assistant: (thinking )",
            "assistant: (call #c1 f '{\"a\":1}')",
            "tool: (result #c1 42)",
            "tool: (result #c1 43)",
            "assistant: (call #c2 g 'free')",
            "tool: (result #c2 out)",
            "assistant: (call #ws web_search {\"type\":\"search\",\"query\":\"q\"})",
            "tool: (result #c3 (image image/png bytes=3))",
            "assistant: (call #m1 h '{}')|(result #m1 ok)",
            "assistant: (image bytes=3)",
            "assistant: yo|no",
            "assistant: (json {\"type\":\"item_reference\",\"id\":\"msg_1\"})",
            "tool f \"d\" {\"type\":\"object\"}",
            "tool web_search",
            "tool g",
            "tool mcp",
            "with max=99 top_p=1 stream=true",
        ],
    );
    check("Responses, a text", r#"{"input":"hi","stream":false}"#, &["user: hi", "with stream=false"]);
}

#[test]
fn stability_and_twelvelabs() {
    check(
        "Stable Diffusion XL",
        r#"{"text_prompts":[{"text":"a cat","weight":1},{"text":"dogs","weight":-1}],"init_image":"AAAA","mask_image":"AA==","cfg_scale":10,"seed":0}"#,
        &["user: a cat|dogs|(image bytes=3)|(image bytes=1)"],
    );
    check(
        "Stable Image",
        r#"{"prompt":"a cat","negative_prompt":"dogs","mode":"image-to-image","image":"AAAA","strength":0.7,"output_format":"png"}"#,
        &["user: a cat|dogs|(image bytes=3)"],
    );
    check(
        "Pegasus",
        r#"{"inputPrompt":"what happens?","mediaSource":{"s3Location":{"uri":"s3://b/v.mp4","bucketOwner":"111122223333"}},"temperature":0,"maxOutputTokens":50}"#,
        &["user: what happens?|(video at s3://b/v.mp4)", "with max=50 temperature=0"],
    );
    check(
        "Pegasus, a payload",
        r#"{"inputPrompt":"p","mediaSource":{"base64String":"AAAA"}}"#,
        &["user: p|(video bytes=3)"],
    );
    check("Marengo, text", r#"{"inputType":"text","inputText":"p","textTruncate":"none"}"#, &["user: p"]);
    check(
        "Marengo, an image",
        r#"{"mediaSource":{"base64String":"AAAA"},"inputType":"image"}"#,
        &["user: (image bytes=3)"],
    );
    check("Marengo 3, text", r#"{"inputType":"text","text":{"inputText":"p"}}"#, &["user: p"]);
    check(
        "Marengo 3, media",
        r#"{"inputType":"audio","audio":{"mediaSource":{"s3Location":{"uri":"s3://b/a.wav"}},"startSec":1}}"#,
        &["user: (audio at s3://b/a.wav)"],
    );
    check(
        "Marengo 3, both",
        r#"{"inputType":"text_image","text_image":{"inputText":"p","mediaSource":{"base64String":"AAAA"}}}"#,
        &["user: p|(image bytes=3)"],
    );
}

#[test]
fn what_is_not_known_says_nothing() {
    for body in [
        "null",
        "3",
        "\"s\"",
        "[]",
        "[{\"prompt\":\"x\"}]",
        "{}",
        r#"{"x":1}"#,
        r#"{"text":"x"}"#,
        r#"{"text":{"value":"x","text":"y"}}"#,
        r#"{"data":[{"text":"x"}]}"#,
        r#"{"messages":"x"}"#,
        r#"{"messages":{"role":"user","content":"x"}}"#,
        r#"{"messages":[1,"x",null,[],{}]}"#,
        r#"{"messages":[{"role":"user"},{"role":"user","content":null},{"role":"user","content":""},{"content":[]}]}"#,
        r#"{"system":null,"prompt":null,"input":null,"tools":null,"stop":null,"max_tokens":null,"inferenceConfig":null}"#,
    ] {
        check(body, body, &[]);
    }
}

#[test]
fn wrong_kinds_are_left_out_or_shown_as_they_came() {
    check(
        "parameters",
        r#"{"max_tokens":"5","temperature":"hot","top_p":[1],"top_k":{"k":1},"stop":7,"stop_sequences":[1,"a",null],"stream":"yes"}"#,
        &["with stop=a"],
    );
    check("a count that does not fit", r#"{"max_tokens":1e300,"top_k":2.9}"#, &["with top_k=2"]);
    check(
        "tools",
        r#"{"tools":[1,"a",null,[],{},{"name":5},{"type":{"a":1}},{"function":"f"},{"function":{"name":"f","description":3,"parameters":"p"}},{"toolSpec":{"name":"g","inputSchema":7}}],"toolConfig":[1]}"#,
        &["tool f \"p\"", "tool g 7"],
    );
    check(
        "blocks",
        r#"{"messages":[{"role":7,"content":[5,true,null,[1],{},{"type":7,"text":"t"},{"type":"text"},{"type":"text","text":9},{"text":["x"]},
          {"image":3},{"image":{"source":5}},{"image":{"source":{"bytes":7}}},{"document":{"source":{"text":3}}},{"toolUse":1},{"toolResult":2},
          {"type":"tool_use"},{"type":"tool_result","content":8,"is_error":"yes"},{"reasoningContent":4},{"guardContent":5},{"guardContent":{"text":6}},
          {"citationsContent":7},{"type":"thinking","thinking":{"a":1}},{"type":"image_url","image_url":{"url":{"a":1}}}],"tool_calls":[1,{"function":2}]}]}"#,
        &["assistant: t|(json {\"type\":\"text\"})|(json {\"type\":\"text\",\"text\":9})|\
           (json {\"text\":[\"x\"]})|(image)|(image)|(image)|(document)|(json 3)|(call  '')|(result )|(call  '')|(result (json 8))|(thinking )|\
           (json {\"guardContent\":5})|(json {\"guardContent\":{\"text\":6}})|(thinking )|(image)|(call  '')"],
    );
    check(
        "members",
        r#"{"system":5,"chat_history":[1,{"role":5,"message":6}],"input":[1,{"type":5}],"promptVariables":["x"],"documents":[1,{"title":1}],
          "inputs":[3],"textToImageParams":"x","images":{"a":1},"mediaSource":1,"tool_results":[1,{"outputs":5}],"additionalModelRequestFields":1}"#,
        &["system= (json 5)", "user: (json 6)", "user: (json {\"type\":5})", "tool: (result )"],
    );
    check(
        "names that stand twice",
        r#"{"prompt":"a","prompt":"b","max_tokens":1,"max_tokens":2,"messages":[{"role":"x","role":"user","content":"c","content":[{"type":"image","type":"text","text":"d","text":"e"}]}],"top_p":1,"top_p":null}"#,
        &["user: e", "user: b", "with max=2 top_p=1"],
    );
}

#[test]
fn nesting_is_followed_a_bounded_depth() {
    let levels = 40;
    for (open, close, left) in [
        (r#"{"type":"tool_result","content":["#, "]}", levels - 5),
        (r#"{"toolResult":{"content":["#, "]}}", levels - 5),
        (r#"{"citationsContent":{"content":["#, "]}}", levels - 5),
        (r#"{"type":"document","source":{"content":["#, "]}}", levels - 5),
        (r#"{"type":"code_execution_result","content":["#, "]}", levels - 5),
        (r#"{"guardContent":{"text":"#, "}}", levels),
        (r#"{"image":{"source":"#, "}}", 0),
        (r#"{"type":"document","document":{"data":"#, "}}", 0),
    ] {
        let body = format!(r#"{{"messages":[{{"content":[{}"deep"{}]}}]}}"#, open.repeat(levels), close.repeat(levels));
        let shown = shown(&read(Value::new(RawJson(&body)))).concat();
        assert_eq!(shown.matches(open).count(), left, "what is too deep stays as it is: {shown}");
    }
}

#[test]
fn a_hundred_thousand_messages_are_read_in_one_pass() {
    // Were each message looked for from the start, this would not end.
    let message = r#"{"role":"user","content":[{"type":"text","text":"hi"}]}"#;
    let count = 100_000;
    let body = format!(r#"{{"messages":[{}]}}"#, vec![message; count].join(","));
    let request = read(Value::new(RawJson(&body)));
    assert_eq!(request.messages.len(), count);
    assert_eq!(parts(&request.messages[count - 1].parts), "hi");
}
