//! Which statements a pooler in transaction mode breaks: those that leave something behind in the session, which the next
//! transaction would miss, or somebody else's would find.
//!
//! Only what the text itself says is judged. What a function does inside, a `DO` block, or a parameter of `set_config` is not looked
//! into: there the emulator lets through what the service's pooler would break.

use super::tokens::{Token, Tokens};

/// Settings that the pooler keeps for each client, so that they may be set like anywhere else.
const TRACKED: [&str; 6] = [
    "application_name",
    "client_encoding",
    "datestyle",
    "intervalstyle",
    "standard_conforming_strings",
    "timezone",
];
/// Functions that take or give back a lock of the session. (`pg_advisory_unlock_all` is harmless where none can be taken.)
const SESSION_LOCKS: [&str; 6] = [
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
];
const SET_CONFIG: &str = "set_config";
/// Before a name and a bracket, these say that it is no call.
const NO_CALL_AFTER: [&str; 8] = [
    "as",
    "function",
    "into",
    "procedure",
    "recursive",
    "routine",
    "table",
    "with",
];
/// After `INTO temp`, these say that `temp` is a table's name.
const AFTER_A_TABLE: [&str; 13] = [
    "except",
    "fetch",
    "for",
    "from",
    "group",
    "having",
    "intersect",
    "limit",
    "offset",
    "order",
    "union",
    "where",
    "window",
];
/// The longest name that is told back, in bytes; PostgreSQL's own limit.
const NAME_BYTES_MAX: usize = 63;

/// Whether the pooler keeps this setting for each client.
pub(super) fn is_tracked(setting: &str) -> bool {
    TRACKED
        .iter()
        .any(|tracked| tracked.eq_ignore_ascii_case(setting))
}

/// What a statement does that needs a session, in words that fit before "needs a session". Letters, digits and a few signs only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Breaks(String);

impl Breaks {
    fn new(what: &str) -> Self {
        Self(what.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first of the statements in this text that a pooler in transaction mode would break.
pub(super) fn first_broken(sql: &[u8], backslashes: bool) -> Option<Breaks> {
    let mut all = Tokens::new(sql, backslashes);
    while let Some(statement) = next_statement(&mut all) {
        if let Some(broken) = breaks(&statement) {
            return Some(broken);
        }
    }
    None
}

/// The next statement: up to a semicolon that stands neither in brackets nor in a routine's body (`BEGIN ATOMIC ... END`).
fn next_statement<'a>(all: &mut Tokens<'a>) -> Option<Tokens<'a>> {
    let whole = all.clone();
    let start = all.offset();
    let mut end = start;
    let mut brackets = 0_usize;
    let mut body = Body::default();
    while let Some(token) = all.next() {
        match token {
            Token::Symbol(b';') if brackets == 0 && !body.is_open() => {
                return Some(whole.within(start..end));
            }
            Token::Symbol(b'(') => brackets += 1,
            Token::Symbol(b')') => brackets = brackets.saturating_sub(1),
            _ if brackets == 0 => body.look_at(token),
            _ => {}
        }
        end = all.offset();
    }
    (end > start).then(|| whole.within(start..end))
}

/// Whether a statement makes a routine, and how deep in its body it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Body {
    #[default]
    Nothing,
    /// `CREATE`, perhaps with `OR REPLACE`.
    Create,
    /// It makes a routine.
    Routine { depth: usize },
    /// It makes none.
    Other,
}

impl Body {
    fn look_at(&mut self, token: Token<'_>) {
        *self = match *self {
            Self::Nothing if token.is("create") => Self::Create,
            Self::Create if token.is_any(&["or", "replace"]) => Self::Create,
            Self::Create if token.is_any(&["function", "procedure"]) => Self::Routine { depth: 0 },
            Self::Nothing | Self::Create | Self::Other => Self::Other,
            Self::Routine { depth } if token.is("begin") || (depth > 0 && token.is("case")) => {
                Self::Routine { depth: depth + 1 }
            }
            Self::Routine { depth } if token.is("end") => Self::Routine {
                depth: depth.saturating_sub(1),
            },
            Self::Routine { depth } => Self::Routine { depth },
        };
    }

    fn is_open(self) -> bool {
        matches!(self, Self::Routine { depth: 1.. })
    }
}

fn breaks(statement: &Tokens<'_>) -> Option<Breaks> {
    let mut rest = statement.clone();
    let keyword = match rest.next()? {
        Token::Word(word) => String::from_utf8_lossy(word).to_ascii_lowercase(),
        Token::Symbol(b'(') => return within_query(statement.clone()),
        _ => return None,
    };
    match keyword.as_str() {
        "listen" | "load" | "execute" => Some(Breaks(keyword.to_ascii_uppercase())),
        // The other PREPARE is the first half of a commit in two phases.
        "prepare" => (!rest.next()?.is("transaction")).then(|| Breaks::new("PREPARE")),
        "deallocate" => {
            let first = rest.next()?;
            let which = if first.is("prepare") {
                rest.next().unwrap_or(first)
            } else {
                first
            };
            (!which.is("all")).then(|| Breaks::new("DEALLOCATE"))
        }
        "set" => set(rest),
        "reset" => reset(rest),
        "create" => create(rest),
        "declare" => {
            if holds(rest.clone()) {
                return Some(Breaks::new("DECLARE ... WITH HOLD"));
            }
            within_query(rest)
        }
        "select" | "with" | "values" | "table" | "insert" | "update" | "delete" | "merge"
        | "copy" | "explain" | "call" => within_query(statement.clone()),
        _ => None,
    }
}

fn set(mut rest: Tokens<'_>) -> Option<Breaks> {
    let mut name = rest.next()?;
    if name.is("local") {
        return None;
    }
    if name.is("session") {
        name = rest.next()?;
        if name.is_any(&["characteristics", "authorization"]) {
            return Some(Breaks(format!(
                "SET SESSION {}",
                shown(name)?.to_uppercase()
            )));
        }
    }
    // TRANSACTION and CONSTRAINTS hold for a transaction; the others are settings that are tracked, in words of their own.
    if name.is_any(&["transaction", "constraints", "time", "names"]) {
        return None;
    }
    if name.is("schema") {
        return Some(Breaks::new("SET search_path"));
    }
    setting("SET", name, rest)
}

fn reset(mut rest: Tokens<'_>) -> Option<Breaks> {
    let name = rest.next()?;
    // RESET ALL finds nothing to reset but what is tracked.
    if name.is_any(&["all", "time"]) {
        return None;
    }
    if name.is("session") {
        return Some(Breaks::new("RESET SESSION AUTHORIZATION"));
    }
    setting("RESET", name, rest)
}

/// A setting by its name, which may have a prefix, unless it is tracked.
fn setting(verb: &str, name: Token<'_>, mut rest: Tokens<'_>) -> Option<Breaks> {
    let mut whole = shown(name);
    while rest.clone().next() == Some(Token::Symbol(b'.')) {
        rest.next();
        let part = rest.next().and_then(shown);
        whole = whole
            .zip(part)
            .map(|(whole, part)| format!("{whole}.{part}"));
    }
    match whole {
        Some(name) if is_tracked(&name) => None,
        Some(name) => Some(Breaks(format!("{verb} {name}"))),
        None => Some(Breaks::new(verb)),
    }
}

/// A name as it is told back, if it is a plain one.
fn shown(name: Token<'_>) -> Option<String> {
    let (Token::Word(name) | Token::Quoted(name) | Token::Text(name)) = name else {
        return None;
    };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(plain);
    fits.then(|| String::from_utf8_lossy(name).into_owned())
}

/// Whether a cursor outlives its transaction.
fn holds(declaration: Tokens<'_>) -> bool {
    let mut after_cursor = declaration.skip_while(|token| !token.is("cursor")).skip(1);
    let mut next_is = |keyword| {
        after_cursor
            .next()
            .is_some_and(|token: Token<'_>| token.is(keyword))
    };
    next_is("with") && next_is("hold")
}

fn create(mut rest: Tokens<'_>) -> Option<Breaks> {
    let mut kind = rest.next()?;
    while kind.is_any(&["or", "replace", "global", "local"]) {
        kind = rest.next()?;
    }
    let marked = kind.is_any(&["temp", "temporary"]);
    if marked {
        kind = rest.next()?;
    }
    if kind.is("table") {
        if (marked || names_temporary_schema(rest.clone())) && !drops_on_commit(rest.clone()) {
            return Some(Breaks::new("CREATE TEMPORARY TABLE without ON COMMIT DROP"));
        }
    } else if marked {
        return Some(Breaks::new("CREATE TEMPORARY"));
    } else if !kind.is("materialized") {
        // What other objects are made of is not run now.
        return None;
    }
    within_query(after_as(rest)?)
}

/// The query that a table is made of.
fn after_as(mut rest: Tokens<'_>) -> Option<Tokens<'_>> {
    let mut brackets = 0_usize;
    loop {
        match rest.next()? {
            Token::Symbol(b'(') => brackets += 1,
            Token::Symbol(b')') => brackets = brackets.saturating_sub(1),
            token if brackets == 0 && token.is("as") => return Some(rest),
            _ => {}
        }
    }
}

fn names_temporary_schema(mut rest: Tokens<'_>) -> bool {
    let mut name = rest.next();
    while name.is_some_and(|token| token.is_any(&["if", "not", "exists"])) {
        name = rest.next();
    }
    name.is_some_and(|token| token.names("pg_temp")) && rest.next() == Some(Token::Symbol(b'.'))
}

fn drops_on_commit(rest: Tokens<'_>) -> bool {
    let wanted = ["on", "commit", "drop"];
    let mut found = 0;
    for token in rest {
        found = if token.is(wanted[found]) {
            found + 1
        } else {
            usize::from(token.is(wanted[0]))
        };
        if found == wanted.len() {
            return true;
        }
    }
    false
}

/// What breaks in a query that is run: calls, and a temporary table that it selects into.
fn within_query(mut tokens: Tokens<'_>) -> Option<Breaks> {
    // The last tokens, newest first.
    let mut before: [Option<Token<'_>>; 3] = [None; 3];
    while let Some(token) = tokens.next() {
        if token == Token::Symbol(b'(') && is_own(before) {
            let broken = before[0].and_then(|name| call(name, tokens.clone()));
            if broken.is_some() {
                return broken;
            }
        }
        let inserts = before[0].is_some_and(|before| before.is_any(&["insert", "merge"]));
        if token.is("into") && !inserts && is_temporary(tokens.clone()) {
            return Some(Breaks::new("SELECT INTO TEMPORARY"));
        }
        before = [Some(token), before[0], before[1]];
    }
    None
}

/// Whether the name before a bracket is called, and is PostgreSQL's own.
fn is_own([_, second, third]: [Option<Token<'_>>; 3]) -> bool {
    match second {
        Some(Token::Symbol(b'.')) => third.is_some_and(|schema| schema.names("pg_catalog")),
        Some(before) => !before.is_any(&NO_CALL_AFTER),
        None => true,
    }
}

/// A call of a function, up to whose bracket everything was read.
fn call(function: Token<'_>, arguments: Tokens<'_>) -> Option<Breaks> {
    if let Some(lock) = SESSION_LOCKS.iter().find(|lock| function.names(lock)) {
        return Some(Breaks(format!("{lock}()")));
    }
    if !function.names(SET_CONFIG) {
        return None;
    }
    let [name, _, is_local] = literals(arguments);
    // `set_config('name', .., false)`; what is not written out is not known.
    if !is_local.is_some_and(is_false) {
        return None;
    }
    match name.and_then(shown) {
        Some(name) if is_tracked(&name) => None,
        Some(name) => Some(Breaks(format!("set_config({name}, .., false)"))),
        None => Some(Breaks(format!("{SET_CONFIG}(.., .., false)"))),
    }
}

fn is_false(token: Token<'_>) -> bool {
    const WRITTEN: [&str; 8] = ["f", "fa", "fal", "fals", "false", "off", "no", "0"];
    match token {
        Token::Text(text) => WRITTEN
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word.as_bytes())),
        _ => token.is("false"),
    }
}

/// The first three arguments of a call, each if it is one token, perhaps with a cast.
fn literals(arguments: Tokens<'_>) -> [Option<Token<'_>>; 3] {
    let mut found = [None; 3];
    let (mut brackets, mut argument, mut tokens_in_it) = (0_usize, 0, 0);
    let mut cast = false;
    for token in arguments {
        match token {
            Token::Symbol(b'(') => brackets += 1,
            Token::Symbol(b')') if brackets == 0 => break,
            Token::Symbol(b')') => brackets -= 1,
            Token::Symbol(b',') if brackets == 0 => {
                (argument, tokens_in_it, cast) = (argument + 1, 0, false);
                continue;
            }
            _ => {}
        }
        let Some(place) = found.get_mut(argument) else {
            break;
        };
        tokens_in_it += 1;
        cast |= tokens_in_it == 2 && token == Token::Symbol(b':');
        if tokens_in_it == 1 {
            *place = Some(token);
        } else if !cast {
            *place = None;
        }
    }
    found
}

/// Whether what follows `INTO` is a temporary table.
fn is_temporary(mut rest: Tokens<'_>) -> bool {
    let mut next = rest.next();
    if next.is_some_and(|token| token.is_any(&["local", "global"])) {
        next = rest.next();
    }
    next.is_some_and(|token| token.is_any(&["temp", "temporary"]))
        && match rest.next() {
            Some(Token::Quoted(_)) => true,
            Some(word @ Token::Word(_)) => !word.is_any(&AFTER_A_TABLE),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn broken(sql: &str) -> Option<String> {
        first_broken(sql.as_bytes(), false).map(|breaks| breaks.0)
    }

    /// Statements and what is told of them.
    const BREAKING: [(&str, &str); 52] = [
        ("LISTEN jobs", "LISTEN"),
        ("listen \"Jobs\"", "LISTEN"),
        ("LOAD 'auto_explain'", "LOAD"),
        ("PREPARE one AS SELECT 1", "PREPARE"),
        ("prepare transactions as select 1", "PREPARE"),
        ("EXECUTE one(1)", "EXECUTE"),
        ("DEALLOCATE one", "DEALLOCATE"),
        ("DEALLOCATE PREPARE one", "DEALLOCATE"),
        ("SET search_path = a, b", "SET search_path"),
        (
            "SET SESSION statement_timeout TO '5s'",
            "SET statement_timeout",
        ),
        ("set app.tenant to 'x'", "SET app.tenant"),
        ("SET \"app\".\"tenant\" TO 'x'", "SET app.tenant"),
        ("SET SCHEMA 'x'", "SET search_path"),
        ("SET ROLE other", "SET ROLE"),
        (
            "SET SESSION AUTHORIZATION other",
            "SET SESSION AUTHORIZATION",
        ),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SET SESSION CHARACTERISTICS",
        ),
        ("SET SEED TO 0.5", "SET SEED"),
        ("SET \"a'b\" TO 1", "SET"),
        ("RESET statement_timeout", "RESET statement_timeout"),
        ("RESET ROLE", "RESET ROLE"),
        ("RESET SESSION AUTHORIZATION", "RESET SESSION AUTHORIZATION"),
        (
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "DECLARE ... WITH HOLD",
        ),
        (
            "DECLARE c NO SCROLL CURSOR /* a */ WITH\nHOLD FOR SELECT 1",
            "DECLARE ... WITH HOLD",
        ),
        (
            "CREATE TEMP TABLE t (id int)",
            "CREATE TEMPORARY TABLE without ON COMMIT DROP",
        ),
        (
            "CREATE LOCAL TEMPORARY TABLE t (id int)",
            "CREATE TEMPORARY TABLE without ON COMMIT DROP",
        ),
        (
            "CREATE TEMP TABLE IF NOT EXISTS t (id int) ON COMMIT DELETE ROWS",
            "CREATE TEMPORARY TABLE without ON COMMIT DROP",
        ),
        (
            "CREATE TEMP TABLE t ON COMMIT PRESERVE ROWS AS SELECT 'ON COMMIT DROP'",
            "CREATE TEMPORARY TABLE without ON COMMIT DROP",
        ),
        (
            "CREATE TABLE pg_temp.t (id int)",
            "CREATE TEMPORARY TABLE without ON COMMIT DROP",
        ),
        (
            "CREATE TABLE IF NOT EXISTS \"pg_temp\".t (id int)",
            "CREATE TEMPORARY TABLE without ON COMMIT DROP",
        ),
        (
            "CREATE OR REPLACE TEMP VIEW v AS SELECT 1",
            "CREATE TEMPORARY",
        ),
        ("CREATE TEMP SEQUENCE s", "CREATE TEMPORARY"),
        ("SELECT 1 AS a INTO TEMP t", "SELECT INTO TEMPORARY"),
        (
            "SELECT 1 AS a INTO TEMPORARY TABLE t FROM u",
            "SELECT INTO TEMPORARY",
        ),
        (
            "SELECT 1 AS a INTO LOCAL TEMP \"t\"",
            "SELECT INTO TEMPORARY",
        ),
        ("SELECT pg_advisory_lock(1)", "pg_advisory_lock()"),
        ("SELECT PG_ADVISORY_LOCK (1, 2)", "pg_advisory_lock()"),
        (
            "SELECT pg_catalog.pg_try_advisory_lock(1)",
            "pg_try_advisory_lock()",
        ),
        (
            "SELECT \"pg_catalog\".\"pg_advisory_lock\"(1)",
            "pg_advisory_lock()",
        ),
        (
            "(SELECT pg_advisory_lock_shared(1))",
            "pg_advisory_lock_shared()",
        ),
        (
            "WITH l AS (SELECT pg_try_advisory_lock_shared(id) FROM t) SELECT * FROM l",
            "pg_try_advisory_lock_shared()",
        ),
        ("SELECT pg_advisory_unlock(1)", "pg_advisory_unlock()"),
        ("UPDATE t SET a = pg_advisory_lock(1)", "pg_advisory_lock()"),
        (
            "COPY (SELECT pg_advisory_lock(1)) TO STDOUT",
            "pg_advisory_lock()",
        ),
        (
            "EXPLAIN ANALYZE SELECT pg_advisory_lock(1)",
            "pg_advisory_lock()",
        ),
        (
            "CREATE TABLE t AS SELECT pg_advisory_lock(1)",
            "pg_advisory_lock()",
        ),
        (
            "SELECT pg_catalog.set_config('search_path', '', false)",
            "set_config(search_path, .., false)",
        ),
        (
            "SELECT set_config('app.tenant'::text, $1, 'f')",
            "set_config(app.tenant, .., false)",
        ),
        (
            "SELECT set_config($1, coalesce($2, 'a, b'), FALSE::bool)",
            "set_config(.., .., false)",
        ),
        ("SELECT 1; LISTEN jobs", "LISTEN"),
        ("SELECT ';'; /* ; */ ;; LISTEN jobs;", "LISTEN"),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END; LISTEN jobs",
            "LISTEN",
        ),
        ("BEGIN; SET search_path TO a; COMMIT", "SET search_path"),
    ];

    const FINE: [&str; 55] = [
        "",
        ";",
        "-- LISTEN jobs",
        "SELECT 'LISTEN jobs; SET a = b'",
        "SELECT $$; LISTEN jobs; $$",
        "SELECT 1 AS listen",
        "SELECT \"pg_advisory_lock\" FROM t",
        "SELECT 'pg_advisory_lock(1)'",
        "NOTIFY jobs, 'LISTEN'",
        "UNLISTEN *",
        "CLOSE ALL",
        "SET LOCAL search_path = a",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET CONSTRAINTS ALL DEFERRED",
        "SET client_encoding TO 'UTF8'",
        "SET SESSION \"TimeZone\" TO 'UTC'",
        "SET TIME ZONE 'UTC'",
        "SET SESSION TIME ZONE 'UTC'",
        "SET NAMES 'UTF8'",
        "SET datestyle = ISO",
        "SET intervalstyle = iso_8601",
        "SET standard_conforming_strings = on",
        "SET application_name = 'SET search_path'",
        "RESET application_name",
        "RESET ALL",
        "RESET TIME ZONE",
        "DISCARD ALL",
        "DEALLOCATE ALL",
        "DEALLOCATE PREPARE ALL",
        "PREPARE TRANSACTION 'one'",
        "UPDATE t SET listen = 1",
        "ALTER ROLE neondb_owner SET search_path = a",
        "ALTER TABLE t SET SCHEMA other",
        "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1",
        "DECLARE hold CURSOR FOR WITH hold AS (SELECT 1) SELECT * FROM hold",
        "CREATE TEMP TABLE t (id int) ON COMMIT DROP",
        "CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1",
        "CREATE TABLE temp (id int)",
        "CREATE TABLE t (listen int, temp int)",
        "INSERT INTO temp SELECT 1",
        "INSERT INTO temp (a) VALUES (1)",
        "SELECT 1 AS a INTO temp FROM t",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT pg_advisory_unlock_all()",
        "SELECT mine.pg_advisory_lock(1)",
        "SELECT \"PG_ADVISORY_LOCK\"(1)",
        "DROP FUNCTION pg_advisory_lock(bigint)",
        "GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO other",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC SELECT pg_advisory_lock(1); SET; END",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = a AS 'SELECT 1'",
        "CREATE VIEW v AS SELECT pg_advisory_lock(1)",
        "SELECT set_config('search_path', 'a', true)",
        "SELECT set_config('search_path', 'a', $1)",
        "SELECT set_config('TimeZone', 'UTC', false)",
        "SELECT set_config('a', 'false', true), false",
    ];

    #[test]
    fn statements_that_need_a_session_are_named() {
        for (sql, what) in BREAKING {
            assert_eq!(broken(sql).as_deref(), Some(what), "{sql}");
        }
    }

    #[test]
    fn all_others_pass() {
        for sql in FINE {
            assert_eq!(broken(sql), None, "{sql}");
        }
    }

    /// Blanks and comments, which may stand between any two tokens.
    fn gap() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(" ".to_owned()),
            Just("\n\t".to_owned()),
            Just("/* ' \" $$ ; /* LISTEN */ */".to_owned()),
            Just(" -- ' \" $$ ; LISTEN x\n".to_owned()),
        ]
    }

    /// Quotes that hold any text, so that it is no statement.
    fn quoted(text: &str) -> [String; 5] {
        [
            format!("SELECT '{}'", text.replace('\'', "''")),
            format!(
                "SELECT E'{}'",
                text.replace('\\', "\\\\").replace('\'', "\\'")
            ),
            format!("SELECT 1 AS \"{}\"", text.replace('"', "\"\"")),
            format!("SELECT $tag${}$tag$", text.replace('$', "")),
            format!("/* {} */ SELECT 1", text.replace('*', "")),
        ]
    }

    proptest! {
        #[test]
        fn a_statement_is_found_whatever_stands_around_it(
            (sql, what) in prop::sample::select(BREAKING.to_vec()),
            fine in prop::collection::vec(prop::sample::select(FINE.to_vec()), 0..4),
            before in gap(),
            after in gap(),
        ) {
            // A comment to the end of the line would take in what follows.
            let others: String = fine.iter().map(|sql| format!("{sql}\n;")).collect();
            let sql = format!("{others}{before}{sql}{after};{others}");
            prop_assert_eq!(broken(&sql), Some(what.to_owned()), "{}", sql);
        }

        #[test]
        fn a_statement_within_quotes_is_none(
            (sql, _) in prop::sample::select(BREAKING.to_vec()),
            text in "\\PC{0,20}",
        ) {
            for sql in quoted(&format!("{text}; {sql}; {text}")) {
                prop_assert_eq!(broken(&sql), None, "{}", sql);
            }
        }

        #[test]
        fn fine_statements_together_are_fine(
            fine in prop::collection::vec(prop::sample::select(FINE.to_vec()), 0..6),
            gap in gap(),
        ) {
            let sql: String = fine.iter().map(|sql| format!("{gap}{sql}\n;")).collect();
            prop_assert_eq!(broken(&sql), None, "{}", sql);
        }

        #[test]
        fn any_bytes_are_looked_through_to_their_end(sql in prop::collection::vec(any::<u8>(), 0..300), backslashes: bool) {
            let _ = first_broken(&sql, backslashes);
        }
    }
}
