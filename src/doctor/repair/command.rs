//! A command of the AWS CLI, as a shell takes it.

/// The width to which commands are laid out.
const WIDTH: usize = 80;

/// A command and its options.
pub(in crate::doctor) struct Command {
    words: String,
    options: Vec<String>,
}

impl Command {
    /// A command of a service in a Region.
    pub(in crate::doctor) fn new(service: &str, operation: &str, region: &str) -> Self {
        Self { words: format!("aws {service} {operation}"), options: Vec::new() }.with("--region", region)
    }

    /// A command of IAM, which has no Regions.
    pub(in crate::doctor) fn of_iam(operation: &str) -> Self {
        Self { words: format!("aws iam {operation}"), options: Vec::new() }
    }

    /// Adds an option.
    pub(in crate::doctor) fn with(mut self, option: &str, value: &str) -> Self {
        self.options.push(format!("{option} {}", quoted(value)));
        self
    }

    /// Adds an option with several values.
    pub(in crate::doctor) fn with_all(mut self, option: &str, values: &[String]) -> Self {
        let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
        self.options.push(format!("{option} {}", values.join(" ")));
        self
    }

    /// In one line if it fits, else an option a line.
    pub(in crate::doctor) fn render(self) -> String {
        let line = format!("{} {}", self.words, self.options.join(" "));
        if line.chars().count() <= WIDTH {
            return line;
        }
        let options: String = self.options.iter().map(|option| format!(" \\\n    {option}")).collect();
        self.words + &options
    }
}

/// A value as a shell takes it for one word, whatever is in it.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_one_word_each() {
        let check = |value: &str, expected: &str| assert_eq!(quoted(value), expected);
        check("a-b/c:d", "a-b/c:d");
        check("", "''");
        check("a b", "'a b'");
        check("$(rm -rf /)", "'$(rm -rf /)'");
        check("it's", r"'it'\''s'");
        check("~", "'~'");
    }

    #[test]
    fn long_commands_have_a_line_for_each_option() {
        let command = || Command::new("logs", "create-log-group", "eu-west-1");
        let short = command().with("--log-group-name", "/a").render();
        assert_eq!(short, "aws logs create-log-group --region eu-west-1 --log-group-name /a");
        let long = command().with("--log-group-name", "/a").with("--log-group-class", "STANDARD").render();
        let expected = "aws logs create-log-group \\\n    --region eu-west-1 \\\n    --log-group-name /a \\\n    \
                        --log-group-class STANDARD";
        assert_eq!(long, expected);
    }
}
