//! Splits SQL into tokens by the lexical rules of Postgres (`scan.l`), with
//! `standard_conforming_strings` on.
//!
//! It distinguishes only what is needed to find the end of a statement: comments, strings, quoted
//! names, words and single characters. A property test compares the result with a real server. Some
//! rules are surprising: a `--` comment ends at a carriage return as well, block comments nest, a string
//! continues in the next string if a line break separates them (and an `E''` string keeps its
//! escapes there), and `$` continues a word but not a number.

/// A token. Together, the tokens of a text are the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// White space or a comment.
    Space,
    /// A keyword or an unquoted name.
    Word,
    /// A string, including the strings that continue it, or a quoted name.
    Quoted,
    /// A single character of an operator or of punctuation, or digits.
    Other,
}

/// A token that does not end, as text for an error message.
pub(super) type Unterminated = &'static str;

pub(super) struct Lexer<'a> {
    rest: &'a str,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Result<Token<'a>, Unterminated>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.rest.chars().next()?;
        let (kind, length) = match next_token(self.rest, first) {
            Ok(token) => token,
            Err(what) => {
                self.rest = "";
                return Some(Err(what));
            }
        };
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(Ok(Token { kind, text }))
    }
}

/// The kind and the length in bytes of the token at the start of `rest`.
fn next_token(rest: &str, first: char) -> Result<(TokenKind, usize), Unterminated> {
    let after = &rest[first.len_utf8()..];
    let string = |prefix: usize, has_escapes| {
        string(&rest[prefix..], has_escapes)
            .map(|length| (TokenKind::Quoted, prefix + length))
            .ok_or("the string is not terminated")
    };
    let name = |prefix: usize| {
        quoted(&rest[prefix..], '"', false)
            .map(|length| (TokenKind::Quoted, prefix + length))
            .ok_or("the quoted name is not terminated")
    };
    match first {
        _ if is_space(first) => Ok((
            TokenKind::Space,
            rest.find(|c| !is_space(c)).unwrap_or(rest.len()),
        )),
        '-' if after.starts_with('-') => Ok((TokenKind::Space, line_comment(rest))),
        '/' if after.starts_with('*') => block_comment(rest)
            .map(|length| (TokenKind::Space, length))
            .ok_or("the comment /* is not terminated"),
        '\'' => string(0, false),
        '"' => name(0),
        'e' | 'E' if after.starts_with('\'') => string(1, true),
        'b' | 'B' | 'x' | 'X' | 'n' | 'N' if after.starts_with('\'') => string(1, false),
        'u' | 'U' if after.starts_with("&'") => string(2, false),
        'u' | 'U' if after.starts_with("&\"") => name(2),
        '$' => match dollar_tag(rest) {
            Some(tag) => rest[tag.len()..]
                .find(tag)
                .map(|body| (TokenKind::Quoted, body + 2 * tag.len()))
                .ok_or("the dollar-quoted string is not terminated"),
            None => Ok((TokenKind::Other, 1)),
        },
        _ if starts_word(first) => Ok((
            TokenKind::Word,
            rest.find(|c| !continues_word(c)).unwrap_or(rest.len()),
        )),
        '0'..='9' => Ok((
            TokenKind::Other,
            rest.find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len()),
        )),
        _ => Ok((TokenKind::Other, first.len_utf8())),
    }
}

/// Postgres' white space. Other white space of Unicode is part of a word.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

fn is_line_break(character: char) -> bool {
    matches!(character, '\n' | '\r')
}

fn starts_word(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_' || !character.is_ascii()
}

fn continues_word(character: char) -> bool {
    starts_word(character) || character.is_ascii_digit() || character == '$'
}

/// The length of the `--` comment at the start of `rest`, without the line break.
fn line_comment(rest: &str) -> usize {
    rest.find(is_line_break).unwrap_or(rest.len())
}

/// The length of the block comment at the start of `rest`. Block comments nest.
fn block_comment(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return Some(at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    None
}

/// The length of the string at the start of `rest`, with the strings that continue it.
fn string(rest: &str, has_escapes: bool) -> Option<usize> {
    let mut length = quoted(rest, '\'', has_escapes)?;
    while let Some(gap) = continuation(&rest[length..]) {
        length += gap + quoted(&rest[length + gap..], '\'', has_escapes)?;
    }
    Some(length)
}

/// The length of the space between a string and the one that continues it; `None` if none does.
/// The space must contain a line break, and may contain `--` comments.
fn continuation(rest: &str) -> Option<usize> {
    let mut at = 0;
    let mut has_line_break = false;
    loop {
        let tail = &rest[at..];
        if tail.starts_with("--") {
            at += line_comment(tail);
            continue;
        }
        match tail.chars().next()? {
            character if is_space(character) => {
                has_line_break |= is_line_break(character);
                at += 1;
            }
            '\'' if has_line_break => return Some(at),
            _ => return None,
        }
    }
}

/// The length of the quoted token at the start of `rest`. A doubled quote does not end it, and with
/// `has_escapes` neither does a quote after a backslash.
fn quoted(rest: &str, quote: char, has_escapes: bool) -> Option<usize> {
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if has_escapes && character == '\\' {
            characters.next();
        } else if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return Some(at + 1);
        }
    }
    None
}

/// The `$tag$` at the start of `rest`.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = rest[1..].find('$')? + 1;
    let tag = &rest[1..end];
    let is_tag = tag
        .chars()
        .enumerate()
        .all(|(at, c)| starts_word(c) || at > 0 && c.is_ascii_digit());
    is_tag.then(|| &rest[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(sql: &str) -> Vec<&str> {
        Lexer::new(sql)
            .map(|token| token.expect(sql))
            .filter(|token| token.kind != TokenKind::Space)
            .map(|token| token.text)
            .collect()
    }

    #[test]
    fn a_line_comment_ends_at_any_line_break() {
        for line_break in ["\n", "\r", "\r\n"] {
            let sql = format!("a -- b{line_break}c");
            assert_eq!(tokens(&sql), ["a", "c"], "{line_break:?}");
        }
    }

    #[test]
    fn a_string_continues_after_a_line_break_only() {
        for (sql, expected) in [
            ("'a'\n'b' c", vec!["'a'\n'b'", "c"]),
            ("'a' -- d\r 'b' c", vec!["'a' -- d\r 'b'", "c"]),
            ("'a' 'b'", vec!["'a'", "'b'"]),
            ("'a' /* \n */ 'b'", vec!["'a'", "'b'"]),
            ("'a' -- 'b'", vec!["'a'"]),
            // The escapes of the first string apply to the second.
            ("E'a'\n'\\';' c", vec!["E'a'\n'\\';'", "c"]),
            ("'a'\n'\\' c", vec!["'a'\n'\\'", "c"]),
            ("\"a\"\n\"b\"", vec!["\"a\"", "\"b\""]),
        ] {
            assert_eq!(tokens(sql), expected, "{sql:?}");
        }
    }

    #[test]
    fn only_some_letters_start_a_string() {
        for (sql, expected) in [
            ("note'\\'", vec!["note", "'\\'"]),
            ("U&'\\' x", vec!["U&'\\'", "x"]),
            ("u&\"a;\" x", vec!["u&\"a;\"", "x"]),
            ("x'1f' n'a' b'1'", vec!["x'1f'", "n'a'", "b'1'"]),
            ("_e'\\'", vec!["_e", "'\\'"]),
        ] {
            assert_eq!(tokens(sql), expected, "{sql:?}");
        }
    }

    #[test]
    fn a_dollar_continues_a_word_but_not_a_number() {
        for (sql, expected) in [
            ("a$b$c", vec!["a$b$c"]),
            ("1$$;$$", vec!["1", "$$;$$"]),
            ("$1$$;$$", vec!["$", "1", "$$;$$"]),
            ("$a$ $b$ $a$", vec!["$a$ $b$ $a$"]),
            ("$ä1$;$ä1$", vec!["$ä1$;$ä1$"]),
            ("$1a$", vec!["$", "1", "a$"]),
        ] {
            assert_eq!(tokens(sql), expected, "{sql:?}");
        }
    }

    #[test]
    fn white_space_beyond_ascii_is_part_of_a_word() {
        assert_eq!(tokens("a\u{a0}b\u{2028}c"), ["a\u{a0}b\u{2028}c"]);
    }

    proptest::proptest! {
        #[test]
        fn the_tokens_of_a_text_are_the_text(sql in "[a-zE0-9;'\"$/*\\\\ \n\r(üé\u{a0}&-]{0,60}") {
            let tokens: Result<Vec<Token<'_>>, _> = Lexer::new(&sql).collect();
            if let Ok(tokens) = tokens {
                let joined: String = tokens.iter().map(|token| token.text).collect();
                proptest::prop_assert_eq!(joined, sql);
            }
        }
    }
}
