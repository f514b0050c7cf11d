//! Keeps references such as `[1]` apart from Markdown, in which brackets are part of links.
//!
//! Before the text is parsed, the brackets around a number are replaced by other punctuation that
//! has no meaning in Markdown, so that neither `[1]: https://...` nor `[1](https://...)` turns a
//! reference into a link. In code and in URLs they are put back.

const OPEN: char = '\u{2e28}';
const CLOSE: char = '\u{2e29}';

pub(super) enum Part<'text> {
    Text(&'text str),
    Reference(u32),
}

/// Replaces the brackets around numbers, and those characters by parentheses where the text
/// contains them already.
pub(super) fn protect(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find(['[', OPEN, CLOSE]) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let character = from.chars().next().unwrap_or('[');
        let after = &from[character.len_utf8()..];
        rest = after;
        match character {
            OPEN => out.push_str("(("),
            CLOSE => out.push_str("))"),
            _ => {
                let digits = after.bytes().take_while(u8::is_ascii_digit).count();
                let closed = after[digits..].strip_prefix(']');
                if let (1.., Some(behind)) = (digits, closed) {
                    out.push(OPEN);
                    out.push_str(&after[..digits]);
                    out.push(CLOSE);
                    rest = behind;
                } else {
                    out.push('[');
                }
            }
        }
    }
    out.push_str(rest);
    out
}

/// Puts the brackets back.
pub(super) fn restore(text: &str) -> String {
    text.replace(OPEN, "[").replace(CLOSE, "]")
}

/// Splits protected text into text and references.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once(OPEN) {
        parts.push(Part::Text(before));
        let (digits, behind) = from.split_once(CLOSE).unwrap_or((from, ""));
        // A number that overflows is the number of no passage.
        parts.push(Part::Reference(digits.parse().unwrap_or(u32::MAX)));
        rest = behind;
    }
    parts.push(Part::Text(rest));
    parts
}
