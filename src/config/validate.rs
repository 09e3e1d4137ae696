//! Texts that name something outside: ARNs, Regions, URLs and globs, checked for their form alone.

use globset::GlobBuilder;

/// Splits an ARN of `service` into partition, Region, account and resource.
///
/// # Errors
/// What is wrong with it. Source: the AWS General Reference, "Amazon Resource Names".
pub(super) fn arn<'t>(text: &'t str, service: &str) -> Result<Arn<'t>, String> {
    let mut parts = text.splitn(6, ':');
    let mut part = || parts.next().unwrap_or_default();
    let (scheme, partition, found, region, account, resource) = (part(), part(), part(), part(), part(), part());
    if scheme != "arn" || !partition.starts_with("aws") {
        return Err("the ARN does not begin with `arn:aws`".into());
    }
    if found != service {
        return Err(format!("the ARN is not one of {service}"));
    }
    if !is_account(account) {
        return Err("the ARN's account is not 12 digits".into());
    }
    Ok(Arn { region, resource })
}

/// The parts of an ARN that are looked at.
pub(super) struct Arn<'t> {
    pub(super) region: &'t str,
    pub(super) resource: &'t str,
}

/// Whether the text is the id of an AWS account.
pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the text has a Region's form, such as `eu-central-1` or `us-gov-west-1`. New Regions appear at any time, so it
/// is not compared with a list.
pub(super) fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let [words @ .., number] = parts.as_slice() else { return false };
    words.len() >= 2 && words.iter().all(word) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the text consists of 1 to `max` characters of ASCII letters, digits and `others`.
pub(super) fn is_name(text: &str, max: usize, others: &[u8]) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
}

/// Checks an endpoint: scheme, host, and a port and path if need be.
///
/// # Errors
/// What is wrong with it, never with the text itself, which may hold a password.
pub(super) fn endpoint(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or("the URL begins with neither `http://` nor `https://`")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("the URL holds a user or a password, which has no place in a file".into());
    }
    if rest.contains(['?', '#']) {
        return Err("the URL has a query or a fragment".into());
    }
    if !rest.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("the URL has a space or a character that is not ASCII".into());
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let valid = address.parse::<std::net::Ipv6Addr>().is_ok();
            (if valid { address } else { "" }, port.strip_prefix(':').or(port.is_empty().then_some("80")))
        }
        None => authority.split_once(':').map_or((authority, Some("80")), |(host, port)| (host, Some(port))),
    };
    if !is_name(host, 253, b".-_:") {
        return Err("the URL's host is not valid".into());
    }
    match port.and_then(|port| port.parse::<u16>().ok()) {
        None | Some(0) => Err("the URL's port is not a number from 1 to 65535".into()),
        Some(_) => Ok(()),
    }
}

/// Checks a glob.
///
/// # Errors
/// What is wrong with it.
pub(super) fn glob(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the pattern is empty".into());
    }
    GlobBuilder::new(text).build().map(|_| ()).map_err(|error| format!("the pattern is not valid: {}", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_told_by_their_form() {
        for region in ["eu-central-1", "us-gov-west-1", "ap-southeast-10", "us-iso-east-1"] {
            assert!(is_region(region), "{region}");
        }
        for text in ["", "eu", "eu-1", "eu-central", "EU-central-1", "eu-central-1a", "eu--1", "eu-central-1 "] {
            assert!(!is_region(text), "{text:?}");
        }
    }

    #[test]
    fn endpoints_have_a_scheme_and_a_host() {
        for url in
            ["http://localhost:4567", "https://kinesis.eu-central-1.amazonaws.com", "http://[::1]:80/", "http://a/b"]
        {
            assert_eq!(endpoint(url), Ok(()), "{url}");
        }
        let check = |url: &str, part: &str| {
            let error = endpoint(url).unwrap_err();
            assert!(error.contains(part), "{url}: {error}");
        };
        check("localhost:4567", "begins with neither");
        check("ftp://a", "begins with neither");
        check("http://", "host");
        check("http://a b", "space");
        check("http://user:pw@host", "password");
        check("http://a?x=user@b", "query");
        check("http://a:0", "port");
        check("http://a:99999", "port");
        check("http://a:", "port");
        check("http://[::1", "host");
        check("http://[zz]:80", "host");
    }
}
