//! Detects statements that a pooler in transaction mode breaks: those that leave session state
//! behind, which the next transaction would miss or another client would find.
//!
//! Only the text of a statement is analyzed. What functions or `DO` blocks execute, and the value
//! of a parameter of `set_config`, is unknown: there the emulator accepts statements that Neon's
//! pooler would break.

use super::tokens::{Token, Tokens};

/// Settings that the pooler tracks per client, so that clients may set them.
const TRACKED_SETTINGS: [&str; 6] = [
    "application_name",
    "client_encoding",
    "datestyle",
    "intervalstyle",
    "standard_conforming_strings",
    "timezone",
];
/// Functions that acquire or release a session-level lock. `pg_advisory_unlock_all` is harmless
/// when no such lock can be acquired.
const SESSION_LOCKS: [&str; 6] = [
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
];
const SET_CONFIG: &str = "set_config";
/// Keywords after which a name with a parenthesis is not a function call.
const NOT_A_CALL_AFTER: [&str; 8] = [
    "as",
    "function",
    "into",
    "procedure",
    "recursive",
    "routine",
    "table",
    "with",
];
/// Keywords after `INTO temp` that show that `temp` is the name of a table.
const KEYWORDS_AFTER_TABLE: [&str; 13] = [
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
/// Maximum length of a name in an error, in bytes (PostgreSQL's own limit).
const MAX_NAME_BYTES: usize = 63;

/// Whether the pooler tracks this setting per client.
pub(super) fn is_tracked(setting: &str) -> bool {
    TRACKED_SETTINGS
        .iter()
        .any(|tracked| tracked.eq_ignore_ascii_case(setting))
}

/// Why a statement needs a session, as a phrase that precedes "needs a session". Contains only
/// letters, digits and a few symbols, so it needs no quoting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionDependency(String);

impl SessionDependency {
    fn new(what: &str) -> Self {
        Self(what.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first statement in this text that a pooler in transaction mode would break.
pub(super) fn first_session_dependency(
    sql: &[u8],
    backslash_escapes: bool,
) -> Option<SessionDependency> {
    let mut all = Tokens::new(sql, backslash_escapes);
    while let Some(statement) = next_statement(&mut all) {
        if let Some(dependency) = session_dependency(&statement) {
            return Some(dependency);
        }
    }
    None
}

/// The next statement, up to a semicolon that is neither in parentheses nor in the body of a
/// routine (`BEGIN ATOMIC ... END`).
fn next_statement<'a>(all: &mut Tokens<'a>) -> Option<Tokens<'a>> {
    let name_so_far = all.clone();
    let start = all.offset();
    let mut end = start;
    let mut brackets = 0_usize;
    let mut body = RoutineBody::default();
    while let Some(token) = all.next() {
        match token {
            Token::Symbol(b';') if brackets == 0 && !body.is_open() => {
                return Some(name_so_far.within(start..end));
            }
            Token::Symbol(b'(') => brackets += 1,
            Token::Symbol(b')') => brackets = brackets.saturating_sub(1),
            _ if brackets == 0 => body.advance(token),
            _ => {}
        }
        end = all.offset();
    }
    (end > start).then(|| name_so_far.within(start..end))
}

/// Whether the statement creates a routine, and how deeply nested the current position in its body
/// is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum RoutineBody {
    #[default]
    Start,
    /// `CREATE`, optionally followed by `OR REPLACE`.
    Create,
    Routine {
        depth: usize,
    },
    Other,
}

impl RoutineBody {
    fn advance(&mut self, token: Token<'_>) {
        *self = match *self {
            Self::Start if token.is("create") => Self::Create,
            Self::Create if token.is_any(&["or", "replace"]) => Self::Create,
            Self::Create if token.is_any(&["function", "procedure"]) => Self::Routine { depth: 0 },
            Self::Start | Self::Create | Self::Other => Self::Other,
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

fn session_dependency(statement: &Tokens<'_>) -> Option<SessionDependency> {
    let mut rest = statement.clone();
    let keyword = match rest.next()? {
        Token::Word(word) => String::from_utf8_lossy(word).to_ascii_lowercase(),
        Token::Symbol(b'(') => return within_query(statement.clone()),
        _ => return None,
    };
    match keyword.as_str() {
        "listen" | "load" | "execute" => Some(SessionDependency(keyword.to_ascii_uppercase())),
        // `PREPARE TRANSACTION` is the first phase of a two-phase commit.
        "prepare" => (!rest.next()?.is("transaction")).then(|| SessionDependency::new("PREPARE")),
        "deallocate" => {
            let first = rest.next()?;
            let which = if first.is("prepare") {
                rest.next().unwrap_or(first)
            } else {
                first
            };
            (!which.is("all")).then(|| SessionDependency::new("DEALLOCATE"))
        }
        "set" => set(rest),
        "reset" => reset(rest),
        "create" => create(rest),
        "declare" => {
            if holds(rest.clone()) {
                return Some(SessionDependency::new("DECLARE ... WITH HOLD"));
            }
            within_query(rest)
        }
        "select" | "with" | "values" | "table" | "insert" | "update" | "delete" | "merge"
        | "copy" | "explain" | "call" => within_query(statement.clone()),
        _ => None,
    }
}

fn set(mut rest: Tokens<'_>) -> Option<SessionDependency> {
    let mut name = rest.next()?;
    if name.is("local") {
        return None;
    }
    if name.is("session") {
        name = rest.next()?;
        if name.is_any(&["characteristics", "authorization"]) {
            return Some(SessionDependency(format!(
                "SET SESSION {}",
                plain_name(name)?.to_uppercase()
            )));
        }
    }
    // TRANSACTION and CONSTRAINTS apply to the transaction; TIME ZONE and NAMES set tracked
    // settings.
    if name.is_any(&["transaction", "constraints", "time", "names"]) {
        return None;
    }
    if name.is("schema") {
        return Some(SessionDependency::new("SET search_path"));
    }
    setting("SET", name, rest)
}

fn reset(mut rest: Tokens<'_>) -> Option<SessionDependency> {
    let name = rest.next()?;
    // RESET ALL can only reset tracked settings.
    if name.is_any(&["all", "time"]) {
        return None;
    }
    if name.is("session") {
        return Some(SessionDependency::new("RESET SESSION AUTHORIZATION"));
    }
    setting("RESET", name, rest)
}

/// A setting, with an optional prefix, unless it is tracked.
fn setting(verb: &str, name: Token<'_>, mut rest: Tokens<'_>) -> Option<SessionDependency> {
    let mut name_so_far = plain_name(name);
    while rest.clone().next() == Some(Token::Symbol(b'.')) {
        rest.next();
        let part = rest.next().and_then(plain_name);
        name_so_far = name_so_far
            .zip(part)
            .map(|(name_so_far, part)| format!("{name_so_far}.{part}"));
    }
    match name_so_far {
        Some(name) if is_tracked(&name) => None,
        Some(name) => Some(SessionDependency(format!("{verb} {name}"))),
        None => Some(SessionDependency::new(verb)),
    }
}

/// The name as shown in an error, if it consists of plain characters.
fn plain_name(name: Token<'_>) -> Option<String> {
    let (Token::Word(name) | Token::Quoted(name) | Token::Text(name)) = name else {
        return None;
    };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let fits = (1..=MAX_NAME_BYTES).contains(&name.len()) && name.iter().all(plain);
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

fn create(mut rest: Tokens<'_>) -> Option<SessionDependency> {
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
            return Some(SessionDependency::new(
                "CREATE TEMPORARY TABLE without ON COMMIT DROP",
            ));
        }
    } else if marked {
        return Some(SessionDependency::new("CREATE TEMPORARY"));
    } else if !kind.is("materialized") {
        // Queries in other objects are not executed by this statement.
        return None;
    }
    within_query(after_as(rest)?)
}

/// The query that a table is created from.
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
    let keywords = ["on", "commit", "drop"];
    let mut found = 0;
    for token in rest {
        found = if token.is(keywords[found]) {
            found + 1
        } else {
            usize::from(token.is(keywords[0]))
        };
        if found == keywords.len() {
            return true;
        }
    }
    false
}

/// Session dependencies of a query that is executed: function calls, and `SELECT INTO` a temporary
/// table.
fn within_query(mut tokens: Tokens<'_>) -> Option<SessionDependency> {
    // The previous tokens, newest first.
    let mut before: [Option<Token<'_>>; 3] = [None; 3];
    while let Some(token) = tokens.next() {
        if token == Token::Symbol(b'(') && is_own(before) {
            let dependency = before[0].and_then(|name| call(name, tokens.clone()));
            if dependency.is_some() {
                return dependency;
            }
        }
        let inserts = before[0].is_some_and(|before| before.is_any(&["insert", "merge"]));
        if token.is("into") && !inserts && is_temporary(tokens.clone()) {
            return Some(SessionDependency::new("SELECT INTO TEMPORARY"));
        }
        before = [Some(token), before[0], before[1]];
    }
    None
}

/// Whether the name before a parenthesis is a call of a built-in function.
fn is_own([_, second, third]: [Option<Token<'_>>; 3]) -> bool {
    match second {
        Some(Token::Symbol(b'.')) => third.is_some_and(|schema| schema.names("pg_catalog")),
        Some(before) => !before.is_any(&NOT_A_CALL_AFTER),
        None => true,
    }
}

/// A function call whose opening parenthesis has been consumed.
fn call(function: Token<'_>, arguments: Tokens<'_>) -> Option<SessionDependency> {
    if let Some(lock) = SESSION_LOCKS.iter().find(|lock| function.names(lock)) {
        return Some(SessionDependency(format!("{lock}()")));
    }
    if !function.names(SET_CONFIG) {
        return None;
    }
    let [name, _, is_local] = literals(arguments);
    // `set_config('name', .., false)`. Other expressions than a literal are not evaluated.
    if !is_local.is_some_and(is_false) {
        return None;
    }
    match name.and_then(plain_name) {
        Some(name) if is_tracked(&name) => None,
        Some(name) => Some(SessionDependency(format!("set_config({name}, .., false)"))),
        None => Some(SessionDependency(format!("{SET_CONFIG}(.., .., false)"))),
    }
}

fn is_false(token: Token<'_>) -> bool {
    const FALSE_LITERALS: [&str; 8] = ["f", "fa", "fal", "fals", "false", "off", "no", "0"];
    match token {
        Token::Text(text) => FALSE_LITERALS
            .iter()
            .any(|word| text.eq_ignore_ascii_case(word.as_bytes())),
        _ => token.is("false"),
    }
}

/// Maximum number of tokens of the arguments of a call that are read. Without a limit, nested calls
/// would take quadratic time.
const MAX_ARGUMENT_TOKENS: usize = 64;

/// The first three arguments of a call, each if it is a single token with an optional cast.
fn literals(arguments: Tokens<'_>) -> [Option<Token<'_>>; 3] {
    let mut found = [None; 3];
    let (mut brackets, mut argument, mut tokens_in_it) = (0_usize, 0, 0);
    let mut cast = false;
    for token in arguments.take(MAX_ARGUMENT_TOKENS) {
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
        let Some(slot) = found.get_mut(argument) else {
            break;
        };
        tokens_in_it += 1;
        cast |= tokens_in_it == 2 && token == Token::Symbol(b':');
        if tokens_in_it == 1 {
            *slot = Some(token);
        } else if !cast {
            *slot = None;
        }
    }
    found
}

/// Whether the target of `INTO` is a temporary table.
fn is_temporary(mut rest: Tokens<'_>) -> bool {
    let mut next = rest.next();
    if next.is_some_and(|token| token.is_any(&["local", "global"])) {
        next = rest.next();
    }
    next.is_some_and(|token| token.is_any(&["temp", "temporary"]))
        && match rest.next() {
            Some(Token::Quoted(_)) => true,
            Some(word @ Token::Word(_)) => !word.is_any(&KEYWORDS_AFTER_TABLE),
            _ => false,
        }
}

#[cfg(test)]
mod tests;
