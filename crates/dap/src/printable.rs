//! Escapes text from others before it is shown on a terminal, in a log, or on a page.
//!
//! A character that is not seen can change what is: move the cursor, turn the direction of the text, or hide
//! that two names differ. All of that kind are known here and nowhere else.

/// Whether a character is not seen, or changes how others are seen: controls, breaks of lines and paragraphs,
/// marks of direction, and what has no width. The selector of an emoji's form is not among them.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{2800}' | '\u{16fe4}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0e}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Text of one line: what is not seen is shown as \u{fffd}, one mark for each character.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Text whose lines stay lines.
pub fn lines(text: &str) -> String {
    text.split('\n').map(one_line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_turns_or_hides_is_shown_as_a_mark_and_the_rest_as_it_is() {
        for hidden in [
            '\u{7}',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert_eq!(one_line(&format!("a{hidden}b")), "a\u{fffd}b", "{hidden:?}");
        }
        let seen = "Größe, 大きさ, גודל, ❤\u{fe0f} – 3 × 4";
        assert_eq!(one_line(seen), seen);
        assert_eq!(lines("one\r\ntwo\n"), "one\u{fffd}\ntwo\n");
    }
}
