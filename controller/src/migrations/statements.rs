//! Splits SQL into its statements, as psql does: enough of Postgres' lexical rules to know where one ends.
//!
//! Needed to refuse, before any database is opened, what would break a migration's promise of all or nothing, and to say
//! on which line a statement stands that failed without a position. It never judges whether SQL is right: Postgres does.

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// The line of its first token, from 1.
    pub(super) line: usize,
    /// Its first tokens: words in upper case, other tokens as they are written.
    pub(super) head: Vec<String>,
    /// Whether it reads data from the client (`COPY ... FROM STDIN`), which a migration cannot send.
    pub(super) copies_from_client: bool,
}

/// Something that begins and does not end before the file does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unterminated {
    /// The line where it begins.
    pub(super) line: usize,
    /// What it is, for people.
    pub(super) what: &'static str,
}

/// How many tokens of a statement are kept: as many as `CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS name` has.
const HEAD_TOKENS: usize = 8;

/// Splits `sql`. Empty statements are left out, as Postgres leaves them out.
pub(super) fn split(sql: &str) -> Result<Vec<Statement>, Unterminated> {
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
                return Err(Unterminated {
                    line: splitter.line + 1,
                    what,
                });
            }
        };
        let text = &rest[..length];
        splitter.take(&token, text);
        splitter.line += text.bytes().filter(|byte| *byte == b'\n').count();
        rest = &rest[length..];
    }
    splitter.end();
    Ok(splitter.done)
}

/// The line, from 1, of a position as Postgres counts it: in characters, from 1. A position beyond the end is on the last
/// line that has something on it.
pub(super) fn line_of(sql: &str, position: usize) -> usize {
    let text = sql.trim_end();
    let before = text.chars().take(position.saturating_sub(1));
    1 + before.filter(|character| *character == '\n').count()
}

/// A piece of SQL, with its length in bytes.
enum Token {
    /// White space or a comment.
    Space(usize),
    /// A keyword, a name or a number.
    Word(usize),
    /// A string, a quoted name, or a block comment that does not end.
    Quoted(Result<usize, &'static str>),
    /// A sign.
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
                None => Self::Quoted(Err("a comment /* without its */")),
            },
            '\'' => Self::Quoted(quoted(rest, '\'', false).ok_or("a string without its closing '")),
            '"' => {
                Self::Quoted(quoted(rest, '"', false).ok_or("a quoted name without its closing \""))
            }
            'e' | 'E' if after.starts_with('\'') => Self::Quoted(
                quoted(after, '\'', true)
                    .map(|length| length + 1)
                    .ok_or("a string without its closing '"),
            ),
            '$' => match dollar_tag(rest) {
                Some(tag) => Self::Quoted(
                    rest[tag.len()..]
                        .find(tag)
                        .map(|body| body + 2 * tag.len())
                        .ok_or("a dollar-quoted string without its end"),
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

/// Comments nest.
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

/// The length of what stands in quotes at the start. A doubled quote is one of the text; so is one after a backslash, in strings with
/// escapes.
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

/// `$tag$` at the start.
fn dollar_tag(rest: &str) -> Option<&str> {
    let end = rest[1..].find('$')? + 1;
    let tag = &rest[1..end];
    let named = tag.chars().all(is_word) && !tag.starts_with(|c: char| c.is_ascii_digit());
    named.then(|| &rest[..=end])
}

#[derive(Default)]
struct Splitter {
    done: Vec<Statement>,
    /// The statement that is being read.
    open: Option<Statement>,
    /// The token before the current one, to know `FROM STDIN`.
    before: String,
    parentheses: usize,
    /// Depth of `BEGIN ATOMIC ... END` in the body of a routine, where `;` ends no statement.
    blocks: usize,
    /// Lines before the current token.
    line: usize,
}

impl Splitter {
    fn take(&mut self, token: &Token, text: &str) {
        if matches!(token, Token::Space(_)) {
            return;
        }
        if text == ";" && self.parentheses == 0 && self.blocks == 0 {
            return self.end();
        }
        let line = self.line + 1;
        let statement = self.open.get_or_insert_with(|| Statement {
            line,
            head: Vec::new(),
            copies_from_client: false,
        });
        let token = match token {
            Token::Word(_) => text.to_ascii_uppercase(),
            _ => text.to_owned(),
        };
        if self.parentheses == 0 && makes_routine(&statement.head) {
            match token.as_str() {
                "BEGIN" => self.blocks += 1,
                "CASE" if self.blocks > 0 => self.blocks += 1,
                "END" => self.blocks = self.blocks.saturating_sub(1),
                _ => {}
            }
        }
        match token.as_str() {
            "(" => self.parentheses += 1,
            ")" => self.parentheses = self.parentheses.saturating_sub(1),
            "STDIN" if self.before == "FROM" => {
                statement.copies_from_client |=
                    statement.head.first().is_some_and(|first| first == "COPY");
            }
            _ => {}
        }
        if statement.head.len() < HEAD_TOKENS {
            statement.head.push(token.clone());
        }
        self.before = token;
    }

    fn end(&mut self) {
        self.done.extend(self.open.take());
        self.before.clear();
        self.parentheses = 0;
        self.blocks = 0;
    }
}

/// Whether a statement that begins so makes a function or a procedure.
fn makes_routine(head: &[String]) -> bool {
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
    fn statements_are_split_at_semicolons_and_know_their_lines() {
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
    fn semicolons_in_strings_names_comments_and_bodies_split_nothing() {
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
    fn a_backslash_escapes_only_in_strings_that_say_so() {
        assert_eq!(lines("select '\\'; select 1").len(), 2);
        assert_eq!(lines("select E'\\'; select 1'").len(), 1);
        // The e of a longer word begins no string with escapes.
        assert_eq!(lines("select note'\\'; select 1").len(), 2);
    }

    #[test]
    fn blocks_count_only_in_routines() {
        assert_eq!(heads("begin; select 1; end;").len(), 3);
        assert_eq!(lines("select case when true then 1 end; select 2").len(), 2);
    }

    #[test]
    fn what_does_not_end_is_named_with_its_line() {
        for (sql, line, word) in [
            ("select 1;\nselect 'a", 2, "string"),
            ("select E'a\\'", 1, "string"),
            ("\n\n/* /* */", 3, "comment"),
            ("select \"a", 1, "name"),
            ("select 1\n, $x$ $y$", 2, "dollar"),
        ] {
            let found = split(sql).expect_err(sql);
            assert_eq!(found.line, line, "{sql}");
            assert!(found.what.contains(word), "{sql}: {}", found.what);
        }
    }

    #[test]
    fn data_from_the_client_is_seen() {
        let copies = |sql: &str| split(sql).expect(sql).iter().any(|s| s.copies_from_client);
        assert!(copies("COPY a (b, c) FROM stdin WITH (FORMAT csv)"));
        assert!(!copies("COPY a FROM '/stdin'"));
        assert!(!copies("SELECT b FROM stdin"));
        assert!(!copies("COPY a TO stdout"));
    }

    #[test]
    fn positions_become_lines() {
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
        fn nothing_makes_it_panic(sql in "[a-z;'\"$/*\\\\ \n(Eeü-]{0,60}") {
            let _ = split(&sql);
        }

        #[test]
        fn as_many_statements_as_were_joined(count in 0_usize..20, filler in "[ \n]{0,3}(-- ;\n)?") {
            let sql: String = format!("{filler}select ';' ;").repeat(count);
            proptest::prop_assert_eq!(split(&sql).map(|found| found.len()), Ok(count));
        }
    }
}
