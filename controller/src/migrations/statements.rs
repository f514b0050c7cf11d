//! Splits SQL into statements, as psql does, with the part of Postgres' lexical rules that this
//! needs.
//!
//! The statements serve two purposes: to reject, before any connection, SQL that would make a
//! migration non-atomic, and to find the line of a statement that failed without a position. This
//! module does not validate SQL; Postgres does.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// The line of the first token, starting at 1.
    pub(super) line: usize,
    /// The first [`MAX_HEAD_TOKENS`] tokens: words in upper case, other tokens as written.
    pub(super) head: Vec<String>,
    /// Whether the statement is `COPY ... FROM STDIN`, for which a migration has no data.
    pub(super) copies_from_client: bool,
}

/// A string, quoted name or comment that does not end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnterminatedToken {
    /// Where the token starts.
    pub(super) line: usize,
    /// For the error message.
    pub(super) what: &'static str,
}

/// The number of tokens in `CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS name`.
const MAX_HEAD_TOKENS: usize = 8;

/// Splits `sql` into statements. Skips empty statements, as Postgres does.
pub(super) fn split(sql: &str) -> Result<Vec<Statement>, UnterminatedToken> {
    let mut splitter = Splitter::default();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let token = Token::at(rest, first);
        let length = match token {
            Token::Space(length)
            | Token::Other(length)
            | Token::Word(length)
            | Token::Quoted(Ok(length)) => length,
            Token::Quoted(Err(what)) => {
                return Err(UnterminatedToken {
                    line: splitter.line + 1,
                    what,
                });
            }
        };
        let text = &rest[..length];
        splitter.push(&token, text);
        splitter.line += text.bytes().filter(|byte| *byte == b'\n').count();
        rest = &rest[length..];
    }
    splitter.end_statement();
    Ok(splitter.statements)
}

/// Converts a position as Postgres counts it (in characters, starting at 1) to a line, starting at
/// 1. A position beyond the end is on the last line that is not blank.
pub(super) fn line_of(sql: &str, position: usize) -> usize {
    let text = sql.trim_end();
    let before = text.chars().take(position.saturating_sub(1));
    1 + before.filter(|character| *character == '\n').count()
}

/// A token with its length in bytes.
enum Token {
    /// White space or a comment that ends.
    Space(usize),
    /// A keyword, an unquoted name or a number.
    Word(usize),
    /// A string or a quoted name; `Err` if it, or a block comment, does not end.
    Quoted(Result<usize, &'static str>),
    /// An operator or a punctuation character.
    Other(usize),
}

impl Token {
    fn at(rest: &str, first: char) -> Self {
        let after = &rest[first.len_utf8()..];
        match first {
            _ if first.is_whitespace() => Self::Space(first.len_utf8()),
            '-' if after.starts_with('-') => Self::Space(rest.find('\n').unwrap_or(rest.len())),
            '/' if after.starts_with('*') => match block_comment(rest) {
                Some(length) => Self::Space(length),
                None => Self::Quoted(Err("the comment /* is not terminated")),
            },
            '\'' => Self::Quoted(quoted(rest, '\'', false).ok_or("the string is not terminated")),
            '"' => {
                Self::Quoted(quoted(rest, '"', false).ok_or("the quoted name is not terminated"))
            }
            'e' | 'E' if after.starts_with('\'') => Self::Quoted(
                quoted(after, '\'', true)
                    .map(|length| length + 1)
                    .ok_or("the string is not terminated"),
            ),
            '$' => match dollar_tag(rest) {
                Some(tag) => Self::Quoted(
                    rest[tag.len()..]
                        .find(tag)
                        .map(|body| body + 2 * tag.len())
                        .ok_or("the dollar-quoted string is not terminated"),
                ),
                None => Self::Other(1),
            },
            _ if is_word(first) => {
                Self::Word(rest.find(|c| !is_word(c) && c != '$').unwrap_or(rest.len()))
            }
            _ => Self::Other(first.len_utf8()),
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || !character.is_ascii()
}

/// The length of the block comment at the start of `rest`. Block comments nest.
fn block_comment(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return Some(at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    None
}

/// The length of the quoted token at the start of `rest`. A doubled quote does not end it, and with
/// `escapes` neither does a quote after a backslash.
fn quoted(rest: &str, quote: char, escapes: bool) -> Option<usize> {
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if escapes && character == '\\' {
            characters.next();
        } else if character == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return Some(at + 1);
            }
        }
    }
    None
}

/// The `$tag$` at the start of `rest`.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = rest[1..].find('$')? + 1;
    let tag = &rest[1..end];
    let named = tag.chars().all(is_word) && !tag.starts_with(|c: char| c.is_ascii_digit());
    named.then(|| &rest[..=end])
}

#[derive(Default)]
struct Splitter {
    statements: Vec<Statement>,
    /// The statement that is being read.
    current: Option<Statement>,
    /// To recognise `FROM STDIN`.
    previous_token: String,
    parenthesis_depth: usize,
    /// Depth of `BEGIN ATOMIC ... END` in the body of a routine, where `;` does not end the
    /// statement.
    block_depth: usize,
    /// Number of lines before the current token.
    line: usize,
}

impl Splitter {
    fn push(&mut self, token: &Token, text: &str) {
        if matches!(token, Token::Space(_)) {
            return;
        }
        if text == ";" && self.parenthesis_depth == 0 && self.block_depth == 0 {
            return self.end_statement();
        }
        let line = self.line + 1;
        let statement = self.current.get_or_insert_with(|| Statement {
            line,
            head: Vec::new(),
            copies_from_client: false,
        });
        let token = match token {
            Token::Word(_) => text.to_ascii_uppercase(),
            _ => text.to_owned(),
        };
        if self.parenthesis_depth == 0 && creates_routine(&statement.head) {
            match token.as_str() {
                "BEGIN" => self.block_depth += 1,
                "CASE" if self.block_depth > 0 => self.block_depth += 1,
                "END" => self.block_depth = self.block_depth.saturating_sub(1),
                _ => {}
            }
        }
        match token.as_str() {
            "(" => self.parenthesis_depth += 1,
            ")" => self.parenthesis_depth = self.parenthesis_depth.saturating_sub(1),
            "STDIN" if self.previous_token == "FROM" => {
                statement.copies_from_client |=
                    statement.head.first().is_some_and(|first| first == "COPY");
            }
            _ => {}
        }
        if statement.head.len() < MAX_HEAD_TOKENS {
            statement.head.push(token.clone());
        }
        self.previous_token = token;
    }

    fn end_statement(&mut self) {
        self.statements.extend(self.current.take());
        self.previous_token.clear();
        self.parenthesis_depth = 0;
        self.block_depth = 0;
    }
}

/// Whether the statement creates a function or a procedure.
fn creates_routine(head: &[String]) -> bool {
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    matches!(
        head.as_slice(),
        ["CREATE", "FUNCTION" | "PROCEDURE", ..]
            | ["CREATE", "OR", "REPLACE", "FUNCTION" | "PROCEDURE", ..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(sql: &str) -> Vec<(usize, String)> {
        let statements = split(sql).expect(sql);
        statements
            .into_iter()
            .map(|s| (s.line, s.head.join(" ")))
            .collect()
    }

    fn lines(sql: &str) -> Vec<usize> {
        heads(sql).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn statements_are_split_at_semicolons_with_their_lines() {
        let sql = "-- first\nselect 1;\n\n  create table a (\n b int\n);;\n; select 2";
        assert_eq!(
            heads(sql),
            [
                (2, "SELECT 1".to_owned()),
                (4, "CREATE TABLE A ( B INT )".to_owned()),
                (7, "SELECT 2".to_owned()),
            ]
        );
    }

    #[test]
    fn semicolons_in_strings_names_comments_and_bodies_do_not_split() {
        for sql in [
            "select ';', 'it''s;', E'\\';', e'\\\\', U&';'",
            "select \"a;\"\"b\"",
            "select 1 -- ; no\n",
            "select /* ; /* nested ; */ ; */ 1",
            "do $$ begin perform 1; end $$",
            "do $body$ select '$$;'; $body$",
            "create rule r as on insert to t do also (select 1; select 2)",
            "create function f() returns int begin atomic select 1; select case when true then 1 end; end",
            "create or replace procedure p() begin atomic select 1; end;",
            "select a$b$c;",
            "select $1;",
            "select 'ü;', \"ß;\";",
        ] {
            assert_eq!(lines(sql), [1], "{sql}");
        }
    }

    #[test]
    fn a_backslash_is_an_escape_only_in_e_strings() {
        assert_eq!(lines("select '\\'; select 1").len(), 2);
        assert_eq!(lines("select E'\\'; select 1'").len(), 1);
        // The e at the end of a word does not start an E string.
        assert_eq!(lines("select note'\\'; select 1").len(), 2);
    }

    #[test]
    fn begin_and_end_are_blocks_only_in_routines() {
        assert_eq!(heads("begin; select 1; end;").len(), 3);
        assert_eq!(lines("select case when true then 1 end; select 2").len(), 2);
    }

    #[test]
    fn an_unterminated_token_is_reported_with_its_line() {
        for (sql, line, expected) in [
            ("select 1;\nselect 'a", 2, "string"),
            ("select E'a\\'", 1, "string"),
            ("\n\n/* /* */", 3, "comment"),
            ("select \"a", 1, "name"),
            ("select 1\n, $x$ $y$", 2, "dollar"),
        ] {
            let token = split(sql).expect_err(sql);
            assert_eq!(token.line, line, "{sql}");
            assert!(token.what.contains(expected), "{sql}: {}", token.what);
        }
    }

    #[test]
    fn copy_from_stdin_is_detected() {
        let copies = |sql: &str| split(sql).expect(sql).iter().any(|s| s.copies_from_client);
        assert!(copies("COPY a (b, c) FROM stdin WITH (FORMAT csv)"));
        assert!(!copies("COPY a FROM '/stdin'"));
        assert!(!copies("SELECT b FROM stdin"));
        assert!(!copies("COPY a TO stdout"));
    }

    #[test]
    fn positions_are_converted_to_lines() {
        let sql = "ä\nb\n\nc\n\n";
        for (position, line) in [
            (0, 1),
            (1, 1),
            (2, 1),
            (3, 2),
            (5, 3),
            (6, 4),
            (7, 4),
            (999, 4),
        ] {
            assert_eq!(line_of(sql, position), line, "{position}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(sql in "[a-z;'\"$/*\\\\ \n(Eeü-]{0,60}") {
            let _ = split(&sql);
        }

        #[test]
        fn joined_statements_are_split_into_the_same_number(count in 0_usize..20, filler in "[ \n]{0,3}(-- ;\n)?") {
            let sql: String = format!("{filler}select ';' ;").repeat(count);
            proptest::prop_assert_eq!(split(&sql).map(|statements| statements.len()), Ok(count));
        }
    }
}
