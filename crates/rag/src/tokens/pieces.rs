//! Splits a text into the pieces within which `cl100k_base` merges bytes, according to this
//! pattern:
//!
//! ```text
//! '(?i:[sdmt]|ll|ve|re) | [^\r\n\p{L}\p{N}]?\p{L}+ | \p{N}{1,3} | ?[^\s\p{L}\p{N}]+[\r\n]* | \s+$ | \s*[\r\n] | \s+(?!\S) | \s
//! ```
//!
//! With a general regex engine with look-ahead, counting would spend nearly all of its time in the
//! engine, which also limits how far it looks ahead.

use unicode_normalization::char::is_combining_mark;

/// Returns the pieces of a text in order. Concatenated they are the text.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let (piece, after) = rest.split_at(first_piece(rest, first));
        rest = after;
        Some(piece)
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Space,
    Other,
}

fn class(character: char) -> Class {
    if character.is_ascii() {
        return match character {
            'a'..='z' | 'A'..='Z' => Class::Letter,
            '0'..='9' => Class::Number,
            ' ' | '\t'..='\r' => Class::Space,
            _ => Class::Other,
        };
    }
    if character.is_whitespace() {
        Class::Space
    } else if character.is_numeric() {
        Class::Number
    } else if character.is_alphabetic() && !is_combining_mark(character) && !is_circled(character) {
        Class::Letter
    } else {
        Class::Other
    }
}

/// Symbols that Unicode classifies as alphabetic but that are not letters: letters in circles and
/// squares.
fn is_circled(character: char) -> bool {
    matches!(
        character,
        '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f149}' | '\u{1f150}'..='\u{1f169}' | '\u{1f170}'..='\u{1f189}'
    )
}

/// Returns the size of the first piece in bytes. It is never 0.
fn first_piece(text: &str, first: char) -> usize {
    if first == '\''
        && let Some(bytes) = contraction(text)
    {
        return bytes;
    }
    let first_class = class(first);
    let after_first = &text[first.len_utf8()..];
    if first_class == Class::Letter {
        return first.len_utf8() + run(after_first, Class::Letter);
    }
    if first_class == Class::Number {
        let bytes = after_first
            .chars()
            .take(2)
            .take_while(|next| class(*next) == Class::Number)
            .map(char::len_utf8)
            .sum::<usize>();
        return first.len_utf8() + bytes;
    }
    if !matches!(first, '\r' | '\n') {
        let letters = run(after_first, Class::Letter);
        if letters > 0 {
            return first.len_utf8() + letters;
        }
    }
    if first_class == Class::Other {
        return symbols(text);
    }
    if first == ' '
        && after_first
            .chars()
            .next()
            .is_some_and(|next| class(next) == Class::Other)
    {
        return 1 + symbols(after_first);
    }
    white_space(text)
}

fn run(text: &str, expected: Class) -> usize {
    text.char_indices()
        .find(|(_, character)| class(*character) != expected)
        .map_or(text.len(), |(at, _)| at)
}

/// Symbols and the line breaks after them.
fn symbols(text: &str) -> usize {
    let symbols = run(text, Class::Other);
    let line_ends = text[symbols..]
        .bytes()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    symbols + line_ends
}

fn white_space(text: &str) -> usize {
    let run = run(text, Class::Space);
    if run == text.len() {
        return run;
    }
    if let Some(line_end) = text[..run].rfind(['\r', '\n']) {
        return line_end + 1;
    }
    // The last white space belongs to the next piece, unless it is the only one.
    match text[..run].char_indices().next_back() {
        Some((last, _)) if last > 0 => last,
        _ => run,
    }
}

fn contraction(text: &str) -> Option<usize> {
    let mut after = text[1..].chars();
    let first = after.next()?;
    if matches!(
        first.to_ascii_lowercase(),
        's' | 'd' | 'm' | 't' | '\u{17f}'
    ) {
        return Some(1 + first.len_utf8());
    }
    let second = after.next()?;
    matches!(
        (first.to_ascii_lowercase(), second.to_ascii_lowercase()),
        ('l', 'l') | ('v' | 'r', 'e')
    )
    .then_some(3)
}
