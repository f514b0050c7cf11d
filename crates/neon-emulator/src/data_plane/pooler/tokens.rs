//! Tokenizes SQL as PostgreSQL's scanner does: comments are skipped, and strings and quoted names
//! are single tokens, so their contents are never mistaken for statements.
//!
//! The tokenizer works on bytes and does not copy. An unterminated comment or string extends to the
//! end, as in PostgreSQL, which rejects it.

use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An unquoted keyword or name; case-insensitive.
    Word(&'a [u8]),
    /// A name in double quotes, without the quotes; case-sensitive.
    Quoted(&'a [u8]),
    /// A string in single or dollar quotes, without the quotes.
    Text(&'a [u8]),
    /// A number, or a parameter such as `$1`.
    Number,
    /// Any other byte.
    Symbol(u8),
}

impl Token<'_> {
    /// Whether the token is this keyword.
    pub(super) fn is(self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }

    /// Whether the token is one of these keywords.
    pub(super) fn is_any(self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    /// Whether the token names this object (`name` must be in lower case).
    pub(super) fn names(self, name: &str) -> bool {
        match self {
            Self::Quoted(quoted) => quoted == name.as_bytes(),
            _ => self.is(name),
        }
    }
}

/// Iterates over the tokens of a text. Clones are cheap and continue from the same position.
#[derive(Debug, Clone)]
pub(super) struct Tokens<'a> {
    sql: &'a [u8],
    at: usize,
    /// Whether backslashes are escape characters in all strings, that is, whether
    /// `standard_conforming_strings` is off.
    backslash_escapes: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(sql: &'a [u8], backslash_escapes: bool) -> Self {
        Self {
            sql,
            at: 0,
            backslash_escapes,
        }
    }

    /// The current position, in bytes.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The tokens of a part of the same text. The part must begin and end between tokens.
    pub(super) fn within(&self, part: Range<usize>) -> Self {
        Self {
            sql: self.sql.get(..part.end).unwrap_or(self.sql),
            at: part.start,
            backslash_escapes: self.backslash_escapes,
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.sql.get(self.at + ahead).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.sql.get(self.at..).unwrap_or_default()
    }

    /// Consumes and returns bytes while `kind` returns true.
    fn bytes_while(&mut self, kind: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest
            .iter()
            .position(|&byte| !kind(byte))
            .unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn skip_blanks(&mut self) {
        loop {
            self.bytes_while(is_space);
            match (self.peek(0), self.peek(1)) {
                (Some(b'-'), Some(b'-')) => self.skip_line(),
                (Some(b'/'), Some(b'*')) => self.skip_block(),
                _ => return,
            }
        }
    }

    fn skip_line(&mut self) {
        self.bytes_while(|byte| !is_newline(byte));
    }

    /// Skips a block comment. Block comments nest.
    fn skip_block(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    /// The text between two quotes. A doubled quote does not end it.
    fn quoted(&mut self, quote: u8, backslash_escapes: bool) -> &'a [u8] {
        self.at += 1;
        let start = self.at;
        while let Some(byte) = self.peek(0) {
            if byte == quote {
                if self.peek(1) != Some(quote) {
                    self.at += 1;
                    return &self.sql[start..self.at - 1];
                }
                self.at += 2;
            } else if byte == b'\\' && backslash_escapes {
                self.at = (self.at + 2).min(self.sql.len());
            } else {
                self.at += 1;
            }
        }
        &self.sql[start..]
    }

    /// A string, including its continuations on further lines, which follow the same quoting rules.
    fn text(&mut self, backslash_escapes: bool) -> Token<'a> {
        let mut whole = self.quoted(b'\'', backslash_escapes);
        while self.continues() {
            self.quoted(b'\'', backslash_escapes);
            // The value of a multi-part string is never needed.
            whole = b"";
        }
        Token::Text(whole)
    }

    /// Moves to the continuation of a string, if there is one: on a later line, with only
    /// whitespace and line comments before it.
    fn continues(&mut self) -> bool {
        let mut ahead = self.clone();
        let start = ahead.at;
        loop {
            ahead.bytes_while(is_space);
            if ahead.rest().starts_with(b"--") {
                ahead.skip_line();
            } else {
                break;
            }
        }
        let between = &self.sql[start..ahead.at];
        let found = ahead.peek(0) == Some(b'\'') && between.iter().copied().any(is_newline);
        if found {
            self.at = ahead.at;
        }
        found
    }

    /// A dollar-quoted string, if one begins here.
    fn dollar_quoted(&mut self) -> Option<Token<'a>> {
        let rest = self.rest();
        let tag = rest.get(1..)?;
        let length = tag.iter().position(|&byte| byte == b'$')?;
        let tag = &tag[..length];
        let is_tag = tag.first().is_none_or(|&byte| begins_word(byte))
            && tag.iter().all(|&byte| continues_word(byte));
        if !is_tag {
            return None;
        }
        let mark = &rest[..length + 2];
        let body = &rest[mark.len()..];
        let end = find(body, mark);
        self.at += mark.len() + end.map_or(body.len(), |end| end + mark.len());
        Some(Token::Text(&body[..end.unwrap_or(body.len())]))
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let byte = self.peek(0)?;
        Some(match byte {
            b'\'' => self.text(self.backslash_escapes),
            b'"' => Token::Quoted(self.quoted(b'"', false)),
            b'$' if self.peek(1).is_some_and(|byte| byte.is_ascii_digit()) => {
                self.at += 1;
                self.bytes_while(continues_word);
                Token::Number
            }
            b'$' => {
                if let Some(text) = self.dollar_quoted() {
                    return Some(text);
                }
                self.at += 1;
                Token::Symbol(byte)
            }
            _ if begins_word(byte) => {
                let word = self.bytes_while(|byte| continues_word(byte) || byte == b'$');
                if word.eq_ignore_ascii_case(b"e") && self.peek(0) == Some(b'\'') {
                    self.text(true)
                } else {
                    Token::Word(word)
                }
            }
            _ if byte.is_ascii_digit() => {
                self.bytes_while(continues_word);
                Token::Number
            }
            _ => {
                self.at += 1;
                Token::Symbol(byte)
            }
        })
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn begins_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

fn continues_word(byte: u8) -> bool {
    begins_word(byte) || byte.is_ascii_digit()
}

/// The first position of `wanted`, which must not be empty.
fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    let first = *pattern.first()?;
    let mut from = 0;
    while let Some(at) = text
        .get(from..)?
        .iter()
        .position(|&byte| byte == first)
        .map(|at| from + at)
    {
        if text[at..].starts_with(pattern) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(sql: &str) -> Vec<Token<'_>> {
        Tokens::new(sql.as_bytes(), false).collect()
    }

    fn words(sql: &str) -> Vec<String> {
        let word = |token| match token {
            Token::Word(word) => Some(String::from_utf8_lossy(word).into_owned()),
            _ => None,
        };
        tokens(sql).into_iter().filter_map(word).collect()
    }

    #[test]
    fn comments_strings_and_quoted_names_contain_no_words() {
        for sql in [
            "a -- listen\n b",
            "a /* listen /* listen */ listen */ b",
            "a 'listen ''listen'' listen' b",
            "a E'\\' listen' b",
            "a e'listen'\n  'it\\'s listen' b",
            "a 'x' -- listen\n 'listen' b",
            "a 'listen \\' b",
            "a \"listen \"\" listen\" b",
            "a $$ listen ' $$ b",
            "a $x$ listen $$ listen $y$ $x$ b",
            "a $1 b",
            "a '--' b",
            "a \"/*\" b",
        ] {
            assert_eq!(words(sql), ["a", "b"], "{sql}");
        }
    }

    #[test]
    fn lookalikes_of_quotes_are_not_quotes() {
        // A name may contain dollar signs, and a tag may not begin with a digit.
        assert_eq!(words("a$b$ c $b$ d $b$ e"), ["a$b$", "c", "e"]);
        assert_eq!(words("x $1$ y $1$"), ["x", "y"]);
        // The last letter of a name does not make an escape string.
        assert_eq!(words("type'\\' b"), ["type", "b"]);
        // Two strings on the same line are separate strings.
        assert_eq!(words("E'a' '\\' b"), ["b"]);
    }

    #[test]
    fn backslashes_escape_when_strings_are_not_standard_conforming() {
        let sql = "a '\\' listen' b";
        let count = |backslash_escapes| Tokens::new(sql.as_bytes(), backslash_escapes).count();
        assert_eq!(count(true), 3);
        assert!(words(sql).contains(&"listen".to_owned()));
    }

    proptest! {
        #[test]
        fn the_tokenizer_always_advances_and_reaches_the_end(sql in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut tokens = Tokens::new(&sql, false);
            let mut last = 0;
            while tokens.next().is_some() {
                prop_assert!(tokens.offset() > last && tokens.offset() <= sql.len());
                last = tokens.offset();
            }
        }

        #[test]
        fn quoted_text_is_one_token(text in "\\PC{0,60}", tag in "[a-z_]{0,5}") {
            let single = format!("'{}'", text.replace('\'', "''"));
            let escaped = format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
            let double = format!("\"{}\"", text.replace('"', "\"\""));
            let mark = format!("${tag}$");
            for quoted in [single, escaped, double] {
                let sql = format!("a {quoted} b");
                prop_assert_eq!(tokens(&sql).len(), 3, "{}", sql);
            }
            if !format!("{text}{mark}").starts_with(&mark) && !text.contains('$') {
                let sql = format!("a {mark}{text}{mark} b");
                prop_assert_eq!(tokens(&sql).len(), 3, "{}", sql);
            }
        }
    }
}
