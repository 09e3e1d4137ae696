//! Proxies: what `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` ask for, in capitals or small letters, read in one
//! way for every client.

use std::fmt;

use reqwest::Url;

/// What is never asked through a proxy: this host, and the link-local addresses where instances and containers find their
/// credentials.
const NEVER: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fe80::/10,fd00:ec2::/32";

/// The proxies that the environment names.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxies {
    /// The one for `https` URLs, with its user and password if it has them: it is never shown.
    pub https: Option<String>,
    /// The one for `http` URLs.
    pub http: Option<String>,
    /// Hosts, domains and address ranges that are asked directly, separated by commas.
    pub direct: String,
}

impl fmt::Debug for Proxies {
    /// A URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Proxies");
        shown.field("https", &self.https.is_some()).field("http", &self.http.is_some());
        shown.field("direct", &self.direct).finish()
    }
}

impl Proxies {
    /// Reads the environment.
    pub fn from_env() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name: &str| {
            let text = variable(name).or_else(|| variable(&name.to_ascii_lowercase()))?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let proxy = |name: &str| {
            let (name, text) = match read(name) {
                Some(text) => (name, text),
                None => ("ALL_PROXY", read("ALL_PROXY")?),
            };
            let url = usable(&text);
            if url.is_none() {
                // The value may hold a password.
                tracing::warn!(variable = name, "names no proxy that is reached by http or https, and is not used");
            }
            url
        };
        let mut direct = NEVER.to_owned();
        if let Some(hosts) = read("NO_PROXY") {
            direct.push(',');
            direct.push_str(&hosts);
        }
        Self { https: proxy("HTTPS_PROXY"), http: proxy("HTTP_PROXY"), direct }
    }
}

/// The proxy's URL, if it is one; a host and a port alone are reached by `http`.
fn usable(text: &str) -> Option<String> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_proxies() {
        let check = |variables: &[(&str, &str)], https: Option<&str>, http: Option<&str>, direct: &str| {
            let variable = |name: &str| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let expected = Proxies {
                https: https.map(str::to_owned),
                http: http.map(str::to_owned),
                direct: format!("{NEVER}{direct}"),
            };
            let found = Proxies::of(variable);
            assert!(!format!("{found:?}").contains("u:w"));
            assert_eq!((&found.https, &found.http), (&expected.https, &expected.http), "{variables:?}");
            assert_eq!(found, expected, "{variables:?}");
        };
        check(&[], None, None, "");
        check(
            &[("HTTPS_PROXY", "http://p:1"), ("http_proxy", "https://u:w@q")],
            Some("http://p:1"),
            Some("https://u:w@q"),
            "",
        );
        check(&[("all_proxy", "p:1"), ("HTTP_PROXY", " ")], Some("http://p:1"), Some("http://p:1"), "");
        check(&[("HTTPS_PROXY", "socks5://p:1"), ("HTTP_PROXY", "http://")], None, None, "");
        check(&[("no_proxy", ".a.example, 10.0.0.0/8")], None, None, ",.a.example, 10.0.0.0/8");
    }
}
