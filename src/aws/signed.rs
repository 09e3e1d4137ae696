//! Signed calls: the few of services whose SDK is not in the build, signed here, with a bound on the answer and on the
//! time. What fails names the action.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_kinesis::config::{ProvideCredentials as _, SharedCredentialsProvider};
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap};
use reqwest::{Method, Url};

use super::error::{Failure, Meaning, meaning_of, write_words};
use super::signature::{Scope, sign};
use super::{AccessError, no_credentials};
use crate::proxies::Proxies;
use crate::sink::client::{CallError, Client, Settings};

/// What is read of an answer: the largest is a simulation of policies, with some KB for each action.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// How long a call may take, its answer included.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// A service without an SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// The control plane of Bedrock: REST, with JSON.
    Bedrock,
    /// IAM: the query protocol, with XML.
    Iam,
    /// STS: the query protocol, with XML.
    Sts,
    /// KMS: JSON.
    Kms,
}

impl Service {
    /// Its name in signatures, in hosts and in IAM actions.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bedrock => "bedrock",
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::Kms => "kms",
        }
    }

    /// The host, and the Region that signs. IAM has one of each for a partition. Source: botocore's `partitions.json` and
    /// the endpoint rules of the services.
    fn host(self, region: &str, is_fips: bool) -> (String, String) {
        let (name, partition) = (self.name(), Partition::of(region));
        // In GovCloud those of IAM and STS are validated as they are, and have no second name.
        let has_fips = is_fips && !(partition == Partition::Gov && matches!(self, Self::Iam | Self::Sts));
        let fips = if has_fips { "-fips" } else { "" };
        match (self, partition) {
            (Self::Iam, Partition::Aws) => (format!("iam{fips}.amazonaws.com"), "us-east-1".to_owned()),
            (Self::Iam, Partition::Gov) => ("iam.us-gov.amazonaws.com".to_owned(), "us-gov-west-1".to_owned()),
            (Self::Iam, Partition::China) => ("iam.cn-north-1.amazonaws.com.cn".to_owned(), "cn-north-1".to_owned()),
            (_, partition) => (format!("{name}{fips}.{region}.{}", partition.suffix()), region.to_owned()),
        }
    }
}

/// A partition of AWS: a world of accounts of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partition {
    Aws,
    China,
    Gov,
    Europe,
}

impl Partition {
    pub(crate) fn of(region: &str) -> Self {
        match region.split('-').next() {
            Some("cn") => Self::China,
            Some("eusc") => Self::Europe,
            Some("us") if region.starts_with("us-gov-") => Self::Gov,
            _ => Self::Aws,
        }
    }

    /// Its name in ARNs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::China => "aws-cn",
            Self::Gov => "aws-us-gov",
            Self::Europe => "aws-eusc",
        }
    }

    /// What hosts end in.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Aws | Self::Gov => "amazonaws.com",
            Self::China => "amazonaws.com.cn",
            Self::Europe => "amazonaws.eu",
        }
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) service: Service,
    /// The operation, as IAM calls it: behind the service and a colon it is the action.
    pub(crate) operation: &'static str,
    method: Method,
    path: &'static str,
    content_type: &'static str,
    target: Option<String>,
    body: String,
}

impl Call {
    /// A call of a service with paths.
    pub(crate) fn rest(
        service: Service,
        operation: &'static str,
        method: Method,
        path: &'static str,
        body: String,
    ) -> Self {
        Self { service, operation, method, path, content_type: "application/json", target: None, body }
    }

    /// A call by the JSON protocol; `prefix` stands before the operation in its header.
    pub(crate) fn json(service: Service, prefix: &str, operation: &'static str, body: String) -> Self {
        let target = Some(format!("{prefix}.{operation}"));
        let content_type = "application/x-amz-json-1.1";
        Self { service, operation, method: Method::POST, path: "/", content_type, target, body }
    }

    /// A call by the query protocol; `version` is the API's.
    pub(crate) fn query(
        service: Service,
        version: &str,
        operation: &'static str,
        parameters: &[(String, String)],
    ) -> Self {
        let mut body = format!("Action={operation}&Version={version}");
        for (name, value) in parameters {
            body.push_str(&format!("&{}={}", encoded(name), encoded(value)));
        }
        let content_type = "application/x-www-form-urlencoded; charset=utf-8";
        Self { service, operation, method: Method::POST, path: "/", content_type, target: None, body }
    }

    fn action(&self) -> String {
        format!("{}:{}", self.service.name(), self.operation)
    }
}

/// An answer that tells of success.
#[derive(Clone)]
pub(crate) struct Answered {
    /// The body, up to a limit.
    pub(crate) body: Bytes,
    /// The time of the service, as its answer says.
    pub(crate) date: Option<Timestamp>,
}

/// A call that failed. Displayed, it names the action and what the service said; it never holds a request or an answer.
#[derive(Debug)]
pub(crate) struct SignedError {
    /// The IAM action.
    pub(crate) action: String,
    /// What came back.
    pub(crate) failure: Failure,
    /// The time of the service, if it answered.
    pub(crate) date: Option<Timestamp>,
}

impl fmt::Display for SignedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.failure.code)?;
        write_words(f, self.failure.message.as_deref(), self.failure.request_id.as_deref())
    }
}

impl Error for SignedError {}

/// Signs and sends calls in one Region. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Signed {
    client: Client,
    region: String,
    provider: SharedCredentialsProvider,
    /// The endpoint of all services, where the environment or the profile names one.
    endpoint: Option<String>,
    /// Whether endpoints with validated cryptography are wanted (`AWS_USE_FIPS_ENDPOINT`).
    is_fips: bool,
}

impl Signed {
    /// A client by what is known of AWS here.
    ///
    /// # Errors
    /// No Region or no credentials are known, or the file of certificates cannot be read.
    pub(crate) fn new(config: &SdkConfig) -> anyhow::Result<Self> {
        let region = config.region().ok_or(AccessError::NoRegion)?.to_string();
        let missing = || AccessError::NoCredentials { reason: "none are configured".to_owned() };
        let provider = config.credentials_provider().ok_or_else(missing)?;
        let bundle = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(Into::into);
        let settings = Settings { timeout: CALL_TIMEOUT, ca_file: bundle, ..Settings::default() };
        // What is not https is an emulator, and near, as for the SDK's clients.
        let proxies = Proxies { http: None, ..Proxies::from_env() };
        let client = Client::through(&settings, &proxies)?;
        let (endpoint, is_fips) = (config.endpoint_url().map(str::to_owned), config.use_fips() == Some(true));
        Ok(Self { client, region, provider, endpoint, is_fips })
    }

    /// The Region that is asked.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Signs and sends a call, once.
    ///
    /// # Errors
    /// See [`SignedError`].
    pub(crate) async fn call(&self, call: &Call) -> Result<Answered, SignedError> {
        let failed = |meaning, code: &str, message| SignedError {
            action: call.action(),
            failure: Failure { meaning, code: code.to_owned(), message, request_id: None },
            date: None,
        };
        let (url, region) = self.url(call).map_err(|message| failed(Meaning::Invalid, "no endpoint", Some(message)))?;
        let credentials = self.provider.provide_credentials().await;
        let credentials = credentials
            .map_err(|error| failed(Meaning::Denied, "no credentials", Some(no_credentials(&error).to_string())))?;
        let mut request = self.client.request(call.method.clone(), url).header(CONTENT_TYPE, call.content_type);
        if let Some(target) = &call.target {
            request = request.header("x-amz-target", target);
        }
        let unmade = |_| failed(Meaning::Invalid, "the request cannot be made", None);
        let mut request = request.header(ACCEPT, "*/*").body(call.body.clone()).build().map_err(unmade)?;
        let scope = Scope { service: call.service.name(), region: &region };
        sign(&mut request, credentials, scope, SystemTime::now())
            .map_err(|error| failed(Meaning::Invalid, "the request cannot be signed", Some(error.to_string())))?;
        let answer = self.client.execute(request).await.map_err(|error| unanswered(&error, &failed))?;
        let date = date_of(&answer.headers);
        if answer.body.len() > MAX_ANSWER_BYTES {
            return Err(SignedError { date, ..failed(Meaning::Retry, "the answer is too large", None) });
        }
        if answer.status.is_success() {
            return Ok(Answered { body: answer.body, date });
        }
        let failure = refused(answer.status.as_u16(), &answer.headers, &answer.body);
        Err(SignedError { action: call.action(), failure, date })
    }

    /// The URL, and the Region that signs.
    fn url(&self, call: &Call) -> Result<(Url, String), String> {
        let (host, signing) = call.service.host(&self.region, self.is_fips);
        let variable = format!("AWS_ENDPOINT_URL_{}", call.service.name().to_ascii_uppercase());
        let own = std::env::var(&variable).ok().filter(|url| !url.is_empty());
        let base = own.or_else(|| self.endpoint.clone()).unwrap_or_else(|| format!("https://{host}"));
        let url = format!("{}{}", base.trim_end_matches('/'), call.path);
        // The URL may hold a password.
        let url = Url::parse(&url).map_err(|_| format!("{variable} or AWS_ENDPOINT_URL is no URL"))?;
        Ok((url, signing))
    }
}

fn unanswered(error: &CallError, failed: &impl Fn(Meaning, &str, Option<String>) -> SignedError) -> SignedError {
    let code = match error {
        CallError::TooLarge => "the answer is too large",
        CallError::Certificate(_) => "the certificate is not accepted",
        CallError::NotAnswered(error) if error.is_timeout() => "no answer in time",
        _ => "the request was not answered",
    };
    failed(Meaning::Retry, code, super::chain(error))
}

fn date_of(headers: &HeaderMap) -> Option<Timestamp> {
    let date = headers.get(DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
}

/// Reads a refusal: the code is in a header, in JSON or in XML.
fn refused(status: u16, headers: &HeaderMap, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(body);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let of_json = |names: [&str; 2]| names.iter().find_map(|name| json.get(name)?.as_str().map(str::to_owned));
    let header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let code = header.or_else(|| of_json(["__type", "code"])).or_else(|| element(&text, "Code"));
    // `com.amazonaws.service#Code:http://…` is the whole of what may stand there.
    let code = code.as_deref().map(|code| code.rsplit('#').next().unwrap_or(code));
    let code = code.map(|code| short(code.split(':').next().unwrap_or(code), 80));
    let message = of_json(["message", "Message"]).or_else(|| element(&text, "Message"));
    let request_id = headers.get("x-amzn-requestid").and_then(|value| value.to_str().ok());
    Failure {
        meaning: meaning_of(code.as_deref(), status),
        code: code.unwrap_or_else(|| format!("status {status}")),
        message: message.map(|message| short(&message, 500)),
        request_id: request_id.map(|id| short(id, 80)),
    }
}

fn short(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// The text of the first element of this name that has no attributes and no elements in it.
pub(crate) fn element(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).next().map(unescaped)
}

/// What is between the tags of each element of this name, as it stands.
pub(crate) fn elements<'x>(xml: &'x str, name: &str) -> impl Iterator<Item = &'x str> + use<'x> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let from = rest.find(&open)? + open.len();
        let length = rest[from..].find(&close)?;
        let inner = &rest[from..from + length];
        rest = &rest[from + length + close.len()..];
        Some(inner)
    })
}

fn unescaped(text: &str) -> String {
    let text = text.trim().replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    // Last, so that what it gives is not read again.
    text.replace("&amp;", "&")
}

/// Percent-encoded, as the query protocol wants values.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_host_in_each_partition() {
        let check = |service: Service, region: &str, host: &str, signs: &str| {
            assert_eq!(service.host(region, false), (host.to_owned(), signs.to_owned()));
        };
        let validated = |service: Service, region: &str| service.host(region, true).0;
        assert_eq!(validated(Service::Bedrock, "us-east-1"), "bedrock-fips.us-east-1.amazonaws.com");
        assert_eq!(validated(Service::Iam, "us-east-1"), "iam-fips.amazonaws.com");
        assert_eq!(validated(Service::Sts, "us-gov-west-1"), "sts.us-gov-west-1.amazonaws.com");
        check(Service::Bedrock, "eu-west-1", "bedrock.eu-west-1.amazonaws.com", "eu-west-1");
        check(Service::Iam, "eu-west-1", "iam.amazonaws.com", "us-east-1");
        check(Service::Iam, "us-gov-east-1", "iam.us-gov.amazonaws.com", "us-gov-west-1");
        check(Service::Iam, "cn-northwest-1", "iam.cn-north-1.amazonaws.com.cn", "cn-north-1");
        check(Service::Sts, "cn-northwest-1", "sts.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1");
        check(Service::Kms, "us-gov-east-1", "kms.us-gov-east-1.amazonaws.com", "us-gov-east-1");
    }

    #[test]
    fn a_refusal_is_read_in_each_of_its_forms() {
        let check = |header: Option<&str>, status: u16, body: &str, expected: (&str, Option<&str>, Meaning)| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert("x-amzn-errortype", header.parse().unwrap());
            }
            let found = refused(status, &headers, body.as_bytes());
            assert_eq!((found.code.as_str(), found.message.as_deref(), found.meaning), expected, "{body}");
        };
        let denied = ("AccessDeniedException", Some("no"), Meaning::Denied);
        check(Some("AccessDeniedException:http://a/b"), 403, r#"{"message":"no"}"#, denied);
        check(None, 400, r#"{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}"#, denied);
        let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>a &amp; &lt;b></Message>";
        check(None, 403, xml, ("AccessDenied", Some("a & <b>"), Meaning::Denied));
        check(None, 503, "<html>", ("status 503", None, Meaning::Retry));
        check(None, 403, "\u{0}", ("status 403", None, Meaning::Denied));
        check(None, 400, "[1]", ("status 400", None, Meaning::Retry));
    }

    #[test]
    fn xml_is_taken_apart_as_far_as_it_goes() {
        let xml = "<a><b>1</b><b>&amp;lt;</b><c>";
        assert_eq!(elements(xml, "b").collect::<Vec<_>>(), ["1", "&amp;lt;"]);
        assert_eq!(element("<b>&amp;lt;</b>", "b").as_deref(), Some("&lt;"));
        assert_eq!(element(xml, "c"), None);
        assert_eq!(element(xml, "d"), None);
        assert_eq!(encoded("a b/ä~"), "a%20b%2F%C3%A4~");
    }
}
