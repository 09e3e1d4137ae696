//! Indicators: what Panther's `p_any_*` fields collect from an invocation, so that one search finds it everywhere.
//!
//! The schema marks two fields: `accountId` as an account id and `identity.arn` as an ARN.

/// The indicators of one invocation.
#[derive(Debug, Default)]
pub(super) struct Indicators<'a> {
    pub account_ids: Values<'a>,
    pub arns: Values<'a>,
    pub instance_ids: Values<'a>,
    pub emails: Values<'a>,
}

/// Values of one kind: sorted, without doubles. Two fields yield at most two.
#[derive(Debug, Default)]
pub(super) struct Values<'a> {
    values: [&'a str; 2],
    count: usize,
}

impl<'a> Values<'a> {
    fn add(&mut self, value: &'a str) {
        if !self.as_slice().contains(&value)
            && let Some(free) = self.values.get_mut(self.count)
        {
            *free = value;
            self.count += 1;
            self.values[..self.count].sort_unstable();
        }
    }

    pub(super) fn as_slice(&self) -> &[&'a str] {
        &self.values[..self.count]
    }
}

impl<'a> Indicators<'a> {
    /// The indicators of an account id and an ARN. What is redacted or malformed yields nothing.
    pub(super) fn of(account_id: &'a str, arn: Option<&'a str>) -> Self {
        let mut indicators = Self::default();
        indicators.account(account_id);
        if let Some(arn) = arn {
            indicators.arn(arn);
        }
        indicators
    }

    fn account(&mut self, id: &'a str) {
        if is_account_id(id) {
            self.account_ids.add(id);
        }
    }

    fn arn(&mut self, text: &'a str) {
        let Some(arn) = Arn::parse(text) else { return };
        self.arns.add(text);
        self.account(arn.account);
        if let Some(instance) = arn.resource.strip_prefix("instance/")
            && instance.strip_prefix("i-").is_some_and(|id| !id.is_empty())
        {
            self.instance_ids.add(instance);
        }
        if let Some(session) = arn.session()
            && is_email(session)
        {
            self.emails.add(session);
        }
    }
}

fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `arn:partition:service:region:account:resource`, by the AWS reference guide, "Identify AWS resources with ARNs".
struct Arn<'a> {
    service: &'a str,
    account: &'a str,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Reads an ARN. Its account is empty, twelve digits, or `aws` for what belongs to AWS itself: anything else there
    /// was put in its place, and the ARN names nobody.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next() != Some("arn") {
            return None;
        }
        let (partition, service) = (parts.next()?, parts.next()?);
        let (_region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let known_account = account.is_empty() || account == "aws" || is_account_id(account);
        let complete = !partition.is_empty() && !service.is_empty() && !resource.is_empty();
        (complete && known_account).then_some(Self { service, account, resource })
    }

    /// The session name of an STS assumed role.
    fn session(&self) -> Option<&'a str> {
        let (_role, session) = self.resource.strip_prefix("assumed-role/")?.split_once('/')?;
        (self.service == "sts").then_some(session)
    }
}

/// Whether a session name is an e-mail address; its characters are those that STS allows, so quoting cannot occur.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let of = |text: &str, marks: &[u8]| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte));
    let labels =
        || domain.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'));
    !local.is_empty() && of(local, b"._+-=") && of(domain, b".-") && domain.contains('.') && labels()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(account: &str, arn: Option<&str>, expected: [&[&str]; 4]) {
        let found = Indicators::of(account, arn);
        let found = [&found.account_ids, &found.arns, &found.instance_ids, &found.emails].map(Values::as_slice);
        assert_eq!(found, expected, "{account:?} {arn:?}");
    }

    #[test]
    fn indicators() {
        let user = "arn:aws:iam::123456789012:user/ops";
        check("123456789012", None, [&["123456789012"], &[], &[], &[]]);
        check("123456789012", Some(user), [&["123456789012"], &[user], &[], &[]]);
        check("999999999999", Some(user), [&["123456789012", "999999999999"], &[user], &[], &[]]);
        check("", Some(user), [&["123456789012"], &[user], &[], &[]]);
        let session = "arn:aws:sts::123456789012:assumed-role/Build/ops@example.com";
        check("123456789012", Some(session), [&["123456789012"], &[session], &[], &["ops@example.com"]]);
        let instance = "arn:aws:ec2:us-east-1:123456789012:instance/i-0abc12345";
        check("1", Some(instance), [&["123456789012"], &[instance], &["i-0abc12345"], &[]]);
        let govcloud = "arn:aws-us-gov:sts::123456789012:assumed-role/Build/i-0abc12345";
        check("1", Some(govcloud), [&["123456789012"], &[govcloud], &[], &[]]);
        let root = "arn:aws:iam::123456789012:root";
        check("1", Some(root), [&["123456789012"], &[root], &[], &[]]);
        let shared = "arn:aws:iam::aws:policy/AdministratorAccess";
        check("1", Some(shared), [&[], &[shared], &[], &[]]);
    }

    #[test]
    fn what_is_redacted_or_malformed_yields_nothing() {
        for account in ["", "12345678901", "1234567890123", "12345678901x", "XXXXXXXXXXXX", "１２３４５６７８９０１２"]
        {
            check(account, None, [&[], &[], &[], &[]]);
        }
        for arn in [
            "",
            "arn",
            "arn:",
            "arn:aws:iam::123456789012",
            "ARN:aws:iam::123456789012:user/ops",
            "arn:::::",
            "arn:aws:iam::XXXXXXXXXXXX:user/ops",
            "arn:aws:sts::[redacted]:assumed-role/a/b@example.com",
            "user/ops",
            " arn:aws:iam::123456789012:user/ops",
            "arn:aws:iam::123456789012:",
        ] {
            check("", Some(arn), [&[], &[], &[], &[]]);
        }
    }

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("ops@example.com", true),
            ("a.b+c@mail.example.co", true),
            ("ops@example", false),
            ("@example.com", false),
            ("ops@", false),
            ("a@b@example.com", false),
            ("ops@.com", false),
            ("ops@example.com.", false),
            ("i-0abc", false),
            ("a,b@example.com", false),
            ("a@b=c.com", false),
        ] {
            assert_eq!(is_email(text), expected, "{text:?}");
        }
    }
}
