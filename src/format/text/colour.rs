//! Colour: a few of a terminal's own, so that its theme decides how they look.

use std::borrow::Cow;

/// What a piece of a line is to the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As the terminal writes.
    Plain,
    /// Of less weight.
    Dim,
    /// The operation, a role, a tool.
    Name,
    /// Who.
    Who,
    /// Something to look at.
    Warning,
    /// A guardrail.
    Guardrail,
    /// A failure.
    Error,
}

impl Tone {
    /// The parameters of SGR (ECMA-48, 8.3.117); empty for none.
    fn parameters(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "2",
            Self::Name => "36",
            Self::Who => "32",
            Self::Warning => "33",
            Self::Guardrail => "1;35",
            Self::Error => "1;31",
        }
    }
}

/// Whether a line is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colours {
    /// No escape sequence is written.
    #[default]
    Off,
    /// Tones are written as escape sequences.
    On,
}

impl Colours {
    /// The text in this tone. The text itself is written as it is: it was escaped before.
    pub fn paint(self, tone: Tone, text: &str) -> Cow<'_, str> {
        let parameters = tone.parameters();
        if self == Self::Off || parameters.is_empty() || text.is_empty() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(format!("\x1b[{parameters}m{text}\x1b[0m"))
    }
}
