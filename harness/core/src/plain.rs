//! Makes untrusted text safe to display: a name, a message or a log line can contain characters that move a terminal's
//! cursor, end a line to fake a verdict, or issue a command to a CI system.

/// Whether a character does something other than being seen: a control character, or one that changes the text
/// direction.
fn is_active(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text on one line, with escapes for invisible characters.
pub fn one_line(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    text.chars().for_each(|letter| push(&mut plain, letter));
    plain
}

/// A character, or its escape.
pub fn push(plain: &mut String, letter: char) {
    if is_active(letter) { plain.extend(letter.escape_default()) } else { plain.push(letter) }
}

/// A whole text of several lines that may contain untrusted text. Invisible characters are escaped, except colors (SGR
/// of ECMA-48) if `colors` is set; and what a CI system would take for a command at the beginning of a line (`::error`,
/// `##[error]`, `##vso[`) is indented by a space.
pub fn lines(text: &str, colours: bool) -> String {
    let mut plain = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if ["::", "##[", "##vso["].iter().any(|command| line.trim_start().starts_with(command)) {
            plain.push(' ');
        }
        let mut rest = line;
        while let Some(letter) = rest.chars().next() {
            let length = if colours { colour(rest) } else { None };
            let length = length.unwrap_or(letter.len_utf8());
            match letter {
                '\n' | '\t' => plain.push(letter),
                _ if length > letter.len_utf8() => plain.push_str(&rest[..length]),
                _ => push(&mut plain, letter),
            }
            rest = &rest[length..];
        }
    }
    plain
}

/// The length of the color sequence that a text begins with.
fn colour(text: &str) -> Option<usize> {
    let codes = text.strip_prefix("\x1b[")?;
    let end = codes.find('m')?;
    codes[..end].bytes().all(|byte| byte.is_ascii_digit() || byte == b';').then_some("\x1b[m".len() + end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("plain, ä and 日本", "plain, ä and 日本")]
    #[case("\u{1b}[2J\u{1b}[HEverything matches.", "\\u{1b}[2J\\u{1b}[HEverything matches.")]
    #[case("a\r\nb\tc", "a\\r\\nb\\tc")]
    #[case("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}")]
    #[case("abc\u{202e}fed", "abc\\u{202e}fed")]
    fn values_are_on_one_line(#[case] text: &str, #[case] plain: &str) {
        assert_eq!(one_line(text), plain);
    }

    #[rstest]
    #[case(false, "a\n\tb\n", "a\n\tb\n")]
    #[case(false, "\u{1b}[31mred\u{1b}[0m", "\\u{1b}[31mred\\u{1b}[0m")]
    #[case(true, "\u{1b}[1;31mred\u{1b}[0m", "\u{1b}[1;31mred\u{1b}[0m")]
    #[case(true, "\u{1b}[2J\u{1b}]0;title\u{7}", "\\u{1b}[2J\\u{1b}]0;title\\u{7}")]
    #[case(true, "ok\r::error::x\n::set-output name=a::b", "ok\\r::error::x\n ::set-output name=a::b")]
    #[case(false, "  ##vso[task.setvariable]", "   ##vso[task.setvariable]")]
    #[case(false, "## A heading", "## A heading")]
    fn texts_keep_their_lines(#[case] colours: bool, #[case] text: &str, #[case] plain: &str) {
        assert_eq!(lines(text, colours), plain);
    }

    proptest! {
        #[test]
        fn nothing_active_is_left(text in any::<String>()) {
            prop_assert!(!one_line(&text).contains(is_active));
            let left = lines(&text, false);
            prop_assert!(left.chars().all(|letter| !is_active(letter) || letter == '\n' || letter == '\t'));
        }
    }
}
