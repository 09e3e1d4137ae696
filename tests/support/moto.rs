//! moto, a double of AWS by others, as a process. `BEDROCK_TAP_TEST_MOTO` names its program, `moto_server`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use aws_config::SdkConfig;
use bedrock_tap::aws::{Access, CredentialsFrom};

/// How long it may take to start, on a machine that is busy with other tests.
const START: Duration = Duration::from_secs(90);

/// A server on the loopback interface; it ends when this is dropped, in a test that fails too.
pub(crate) struct Moto {
    process: Child,
    /// `http://127.0.0.1:` and its port.
    pub(crate) url: String,
    /// Leads the clients of the tests to it.
    pub(crate) config: SdkConfig,
}

impl Drop for Moto {
    fn drop(&mut self) {
        // One that has ended by itself is no trouble.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Moto {
    /// Starts it; none where its program is not named and need not be.
    pub(crate) async fn start() -> Option<Self> {
        let Ok(program) = std::env::var("BEDROCK_TAP_TEST_MOTO") else {
            let required = std::env::var("BEDROCK_TAP_TEST_REQUIRE").unwrap_or_default();
            assert!(!required.contains("moto"), "BEDROCK_TAP_TEST_MOTO does not name moto's server");
            eprintln!("skipped: BEDROCK_TAP_TEST_MOTO does not name moto's server");
            return None;
        };
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let process = command.spawn().unwrap();
        let mut moto = Self { process, url: String::new(), config: SdkConfig::builder().build() };
        let log = moto.process.stderr.take().unwrap();
        let (tell, told) = mpsc::sync_channel(1);
        // It logs each request: what nobody reads would fill the pipe and hold it up.
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if let Some((_, port)) = line.split_once("Running on http://127.0.0.1:") {
                    let _ = tell.try_send(port.chars().take_while(char::is_ascii_digit).collect::<String>());
                }
            }
        });
        let port = tokio::task::spawn_blocking(move || told.recv_timeout(START)).await.unwrap();
        moto.url = format!("http://127.0.0.1:{}", port.expect("moto does not say where it listens"));
        let access =
            Access { region: Some("us-east-1".to_owned()), credentials: CredentialsFrom::MadeUp, ..Access::default() };
        moto.config = access.load().await.unwrap().into_builder().endpoint_url(&moto.url).build();
        Some(moto)
    }
}
