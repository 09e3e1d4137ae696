//! Doubles of AWS by others, as processes: moto, and ministack, which has live tails. `BEDROCK_TAP_TEST_MOTO` and
//! `BEDROCK_TAP_TEST_MINISTACK` name their programs, `moto_server` and `ministack`.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use aws_config::SdkConfig;
use bedrock_tap::aws::{Access, CredentialsFrom};

/// How long it may take to start, on a machine that is busy with other tests.
const START: Duration = Duration::from_secs(90);

/// A server on the loopback interface; it ends when this is dropped, in a test that fails too.
pub(crate) struct Emulator {
    process: Child,
    /// `http://127.0.0.1:` and its port.
    pub(crate) url: String,
    /// Leads the clients of the tests to it.
    pub(crate) config: SdkConfig,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // One that has ended by itself is no trouble.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program of an emulator; none where it is not named and need not be.
fn program(name: &str) -> Option<Command> {
    let variable = format!("BEDROCK_TAP_TEST_{}", name.to_uppercase());
    if let Some(program) = std::env::var_os(&variable) {
        return Some(Command::new(program));
    }
    let required = std::env::var("BEDROCK_TAP_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|required| required == name), "{variable} does not name {name}'s program");
    eprintln!("skipped: {variable} does not name {name}'s program");
    None
}

impl Emulator {
    /// Starts moto; none where its program is not named and need not be.
    pub(crate) async fn moto() -> Option<Self> {
        let mut command = program("moto")?;
        command.args(["-H", "127.0.0.1", "-p", "0"]);
        Some(Self::start(command).await)
    }

    /// Starts ministack; as above.
    pub(crate) async fn ministack() -> Option<Self> {
        let mut command = program("ministack")?;
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", "0");
        command.env("SFTP_ENABLED", "0").env("IOT_MTLS_ENABLED", "0");
        Some(Self::start(command).await)
    }

    async fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let process = command.spawn().unwrap();
        let mut emulator = Self { process, url: String::new(), config: SdkConfig::builder().build() };
        let (tell, told) = mpsc::sync_channel(1);
        watch(emulator.process.stdout.take().unwrap(), tell.clone());
        watch(emulator.process.stderr.take().unwrap(), tell);
        let port = tokio::task::spawn_blocking(move || told.recv_timeout(START)).await.unwrap();
        emulator.url = format!("http://127.0.0.1:{}", port.expect("the emulator does not say where it listens"));
        let access =
            Access { region: Some("us-east-1".to_owned()), credentials: CredentialsFrom::MadeUp, ..Access::default() };
        emulator.config = access.load().await.unwrap().into_builder().endpoint_url(&emulator.url).build();
        emulator
    }
}

/// Tells the port that a log names. It logs each request: what nobody reads would fill the pipe and hold it up.
fn watch(log: impl Read + Send + 'static, tell: mpsc::SyncSender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if let Some((_, port)) = line.split_once("Running on http://127.0.0.1:") {
                let _ = tell.try_send(port.chars().take_while(char::is_ascii_digit).collect::<String>());
            }
        }
    });
}
