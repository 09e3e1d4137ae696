//! A model's id taken apart: `us.anthropic.claude-3-5-sonnet-20241022-v2:0` is Anthropic's `claude-3-5-sonnet`.

/// What a model's id tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Model<'a> {
    /// `anthropic`
    pub(super) vendor: &'a str,
    /// `claude-3-5-sonnet`
    pub(super) name: &'a str,
    /// `20241022-v2:0`
    pub(super) version: Option<&'a str>,
}

impl<'a> Model<'a> {
    /// Reads the id of a model or of an inference profile, or an ARN that ends in one; none where the id is only a name
    /// that an account gave, as an application inference profile's.
    pub(super) fn of(id: &'a str) -> Option<Self> {
        let id = id.rsplit('/').next().unwrap_or(id);
        let (mut vendor, mut name) = id.split_once('.')?;
        if is_geography(vendor) {
            (vendor, name) = name.split_once('.')?;
        }
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_word(vendor) || name.is_empty() {
            return None;
        }
        let end = version_start(name);
        let version = name.get(end..).and_then(|rest| rest.strip_prefix('-'));
        Some(Self { vendor, name: name.get(..end).unwrap_or(name), version })
    }
}

/// What stands before the vendor in the id of an inference profile: where it may run.
fn is_geography(prefix: &str) -> bool {
    let country = prefix.len() == 2 && prefix.bytes().all(|byte| byte.is_ascii_lowercase());
    country || matches!(prefix, "apac" | "global" | "us-gov")
}

/// Where a name's date and version begin, with the hyphen before them.
fn version_start(name: &str) -> usize {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_version = |word: &str| {
        let number = word.strip_prefix('v').unwrap_or(word);
        let before_colon = number.split(':').next().unwrap_or_default();
        digits(before_colon) && (number.len() < word.len() || before_colon.len() < number.len())
    };
    // Anthropic writes a whole date, Mistral year and month.
    let is_date = |word: &str| digits(word) && (word.len() == 8 || word.len() == 4 && word.starts_with('2'));
    let mut end = name.len();
    for is_part in [&is_version as &dyn Fn(&str) -> bool, &is_date] {
        if let Some((before, word)) = name[..end].rsplit_once('-')
            && !before.is_empty()
            && is_part(word)
        {
            end = before.len();
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_apart() {
        let profile = "arn:aws:bedrock:us-east-2:123456789012:inference-profile/us.meta.llama3-3-70b-instruct-v1:0";
        for (id, expected) in [
            ("anthropic.claude-v2", Some(("anthropic", "claude", Some("v2")))),
            (
                "us.anthropic.claude-3-5-sonnet-20241022-v2:0",
                Some(("anthropic", "claude-3-5-sonnet", Some("20241022-v2:0"))),
            ),
            ("us-gov.amazon.nova-lite-v1:0:24k", Some(("amazon", "nova-lite", Some("v1:0:24k")))),
            ("us.mistral.pixtral-large-2502-v1:0", Some(("mistral", "pixtral-large", Some("2502-v1:0")))),
            ("global.openai.gpt-oss-120b-1:0", Some(("openai", "gpt-oss-120b", Some("1:0")))),
            ("us.openai.gpt-6-astra", Some(("openai", "gpt-6-astra", None))),
            ("anthropic.claude-opus-4-6", Some(("anthropic", "claude-opus-4-6", None))),
            ("deepseek.v3-v1:0", Some(("deepseek", "v3", Some("v1:0")))),
            (profile, Some(("meta", "llama3-3-70b-instruct", Some("v1:0")))),
            ("arn:aws:bedrock:us-east-1:1:application-inference-profile/a1b2c3", None),
            ("", None),
            (".", None),
            ("us.claude", None),
            ("a b.c", None),
        ] {
            let expected = expected.map(|(vendor, name, version)| Model { vendor, name, version });
            assert_eq!(Model::of(id), expected, "{id}");
        }
    }
}
