//! Colors on a terminal.

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};

use tlsboot_core::check::Outcome;

/// Whether to use colors on `stream`, decided as clap and other commands do: by `NO_COLOR`, `CLICOLOR_FORCE`,
/// `CLICOLOR`, `TERM`, and whether it is a terminal.
pub fn colours_wanted(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// Adds colors if they are enabled, otherwise leaves text as it is.
#[derive(Clone, Copy, Debug)]
pub struct Paint(pub bool);

impl Paint {
    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// In the color of an outcome.
    pub fn outcome(self, outcome: Outcome, text: &str) -> String {
        let code = match outcome {
            Outcome::Pass => "32",
            Outcome::Known => "33",
            Outcome::Fail => "1;31",
            Outcome::Hang => "1;35",
            Outcome::Unsupported => "2",
            Outcome::Error => "1;33",
        };
        self.with(code, text)
    }

    fn with(self, code: &str, text: &str) -> String {
        paint(code, text, self.0)
    }
}

/// The text in a color, if colors are enabled; `code` is the SGR number of ECMA-48.
pub fn paint(code: &str, text: &str, colours: bool) -> String {
    if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}
