//! The benchmark of fleets: real `bedrock-tap run` processes on doubles of Kinesis and DynamoDB that are a process of
//! their own, on the loopback interface. It measures what a person waits for and pays: latency, handing over, memory,
//! and calls of the lease table.
//!
//! ```text
//! cargo bench --bench fleet                        # everything: about a quarter of an hour
//! cargo bench --bench fleet -- latency handover    # parts: latency, handover, writes, memory, outage, upkeep
//! ```
//!
//! Times depend on the machine, and on whatever else runs on it; run it on an idle one.

#[path = "fleet/double.rs"]
mod double;
#[path = "fleet/handover.rs"]
mod handover;
#[path = "fleet/latency.rs"]
mod latency;
#[path = "fleet/memory.rs"]
mod memory;
#[path = "fleet/outage.rs"]
mod outage;
#[path = "fleet/push.rs"]
mod push;
#[path = "fleet/report.rs"]
mod report;
#[path = "fleet/services.rs"]
mod services;
#[path = "fleet/upkeep.rs"]
mod upkeep;
#[path = "fleet/worker.rs"]
mod worker;
#[path = "fleet/writer.rs"]
mod writer;
#[path = "fleet/writes.rs"]
mod writes;

const PARTS: [&str; 6] = ["latency", "handover", "writes", "memory", "outage", "upkeep"];

fn main() {
    // Cargo passes `--bench` to everything that it runs as a benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments == [double::ARGUMENT] {
        return services::serve();
    }
    for argument in &arguments {
        assert!(PARTS.contains(&argument.as_str()), "usage: cargo bench --bench fleet [-- {}]", PARTS.join(" | "));
    }
    let chosen = |part: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == part);
    let runtime = tokio::runtime::Runtime::new().expect("the system starts threads");
    let rows = runtime.block_on(async {
        let mut rows = Vec::new();
        if chosen("latency") {
            rows.extend(latency::measure().await);
        }
        // These two mostly wait, and do not disturb each other.
        let handover = async { if chosen("handover") { handover::measure().await } else { Vec::new() } };
        let writes = async { if chosen("writes") { writes::measure().await } else { Vec::new() } };
        let (handover, writes) = tokio::join!(handover, writes);
        rows.extend(handover);
        rows.extend(writes);
        if chosen("upkeep") {
            rows.extend(upkeep::measure().await);
        }
        if chosen("memory") {
            rows.extend(memory::measure().await);
        }
        if chosen("outage") {
            rows.extend(outage::measure().await);
        }
        rows
    });
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    report::line(format_args!("load of the machine at the end (1, 5, 15 minutes): {}", load.trim()));
    report::table(&rows);
}
