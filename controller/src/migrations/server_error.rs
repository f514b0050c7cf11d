//! An error that Postgres returned, without values from a tenant's rows.
//!
//! Messages, details and hints can contain such values: in errors of the classes 22 and 23, but
//! also in others, such as `syntax error in tsquery: "..."` of a cast, and in whatever a function
//! or a trigger of the tenant raises. They end up in statuses, events and logs. Therefore a text is
//! kept only if it cannot contain a value ([`Origin`] and [`may_quote`] decide that); otherwise the
//! error has only its code and the name of that code.

use std::fmt;

use neon_client::{NeonCondition, size_limit_mib};
use sqlx::postgres::{PgDatabaseError, PgErrorPosition, PgSeverity};

use super::sqlstate::condition_name;

/// An error of the Postgres server. It contains no values from a tenant's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// The SQLSTATE.
    pub code: String,
    /// The server's message, if it cannot contain values of rows.
    pub message: Option<String>,
    /// The server's hint, if it cannot contain values of rows.
    pub hint: Option<String>,
}

/// What the server was doing, which decides what its message can contain.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin<'a> {
    /// Opening a connection: no SQL has run.
    Connecting,
    /// Running this SQL.
    Sql(&'a str),
}

const INVALID_PASSWORD: &str = "28P01";

/// Longer messages and hints are truncated, in characters.
const MAX_TEXT_CHARS: usize = 300;

impl ServerError {
    pub(super) fn new(error: &PgDatabaseError, origin: Origin<'_>) -> Self {
        let has_position = matches!(error.position(), Some(PgErrorPosition::Original(_)));
        let facts = Facts {
            code: error.code(),
            has_position,
            has_context: error.r#where().is_some_and(|context| !context.is_empty()),
        };
        let text = |text: &str| may_quote(facts, text, origin).then(|| sanitize(text));
        Self {
            code: sanitize(error.code()),
            message: text(error.message()),
            hint: error.hint().and_then(text),
        }
    }

    /// Whether the SQLSTATE starts with one of `codes`, which may be two-character classes.
    pub(super) fn has_code(&self, codes: &[&str]) -> bool {
        codes.iter().any(|code| self.code.starts_with(code))
    }

    /// What the message means if it is one of Neon's own. It decides before the SQLSTATE does.
    pub(super) fn neon_condition(&self) -> Option<NeonCondition> {
        NeonCondition::of(self.message.as_deref()?)
    }

    /// Whether the SQLSTATE is one of a server that ends or refuses sessions, or of a connection to
    /// another server: connection exception, shutdown, crash, starting up.
    pub(super) fn is_connection_error(&self) -> bool {
        self.has_code(&["08", "57P01", "57P02", "57P03", "57P05"]) && !self.is_size_limit()
    }

    /// Whether this error of a statement, with its severity, ended the session. A statement that connects to
    /// another server, as with `postgres_fdw`, fails with such a SQLSTATE and the session continues.
    pub(super) fn ended_session(&self, severity: PgSeverity) -> bool {
        self.is_connection_error() && matches!(severity, PgSeverity::Fatal | PgSeverity::Panic)
    }

    /// Whether the database refused the password. Neon also says so for endpoints and roles that
    /// its proxy does not know yet.
    pub fn refuses_password(&self) -> bool {
        match self.neon_condition() {
            Some(condition) => condition == NeonCondition::PasswordRefused,
            None => self.code == INVALID_PASSWORD,
        }
    }

    /// Whether the cause persists until someone changes a setting.
    pub(super) fn is_permanent(&self) -> bool {
        self.neon_condition()
            .is_some_and(NeonCondition::is_permanent)
    }

    /// Whether a write failed because the project has reached its size limit.
    pub(super) fn is_size_limit(&self) -> bool {
        self.neon_condition() == Some(NeonCondition::SizeLimit)
    }

    /// The size limit that a write reached, in MiB, if the message tells it.
    pub(super) fn size_limit_mib(&self) -> Option<u64> {
        size_limit_mib(self.message.as_deref()?)
    }

    /// Whether the statement ran into a time limit of the migrator.
    pub(super) fn is_timeout(&self) -> bool {
        self.has_code(&["57014", "55P03"])
    }

    /// Whether the statement failed because something already exists or no longer exists, as a
    /// statement does that runs twice.
    pub(super) fn names_existence(&self) -> bool {
        self.has_code(&[
            "23505", "3D000", "3F000", "42701", "42703", "42704", "42710", "42723", "42883",
            "42P01", "42P04", "42P06", "42P07", "55000",
        ])
    }

    /// Whether the statement may succeed when it is retried.
    pub(super) fn is_transient(&self) -> bool {
        let transient = [
            "25006", // read-only SQL transaction: the server is failing over
            "40001", // serialization failure
            "40P01", // deadlock
            "53",    // insufficient resources
            "55006", // object in use
            "55P03", // lock not available
            "58",    // system error
        ];
        !self.is_size_limit() && (self.has_code(&transient) || self.is_connection_error())
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            message,
            hint,
        } = self;
        write!(f, "{} ({code})", condition_name(code))?;
        match message {
            Some(message) => write!(f, "; the database says: {message}")?,
            None => f.write_str(
                "; the database's message is not shown because it may contain data from rows",
            )?,
        }
        if let Some(hint) = hint {
            write!(f, ". Hint: {}", hint.trim_end_matches('.'))?;
        }
        Ok(())
    }
}

impl std::error::Error for ServerError {}

#[derive(Debug, Clone, Copy)]
struct Facts<'a> {
    code: &'a str,
    /// Whether the error has a position in the SQL that was sent: the server found it before it ran
    /// the statement.
    has_position: bool,
    /// Whether a function, a trigger or another statement caused it.
    has_context: bool,
}

/// Whether a text of an error contains no value of a row.
fn may_quote(facts: Facts<'_>, text: &str, origin: Origin<'_>) -> bool {
    let Facts {
        code,
        has_position,
        has_context,
    } = facts;
    let is = |codes: &[&str]| codes.iter().any(|prefix| code.starts_with(prefix));
    let sql = match origin {
        // A login trigger has a context.
        Origin::Connecting => return !has_context,
        Origin::Sql(sql) => sql,
    };
    // A string of the file is no secret, such as the message of its own RAISE.
    if sql.contains(&format!("'{text}'")) || size_limit_mib(text).is_some() {
        return true;
    }
    if is(&["22", "P0", "XX"]) {
        return false;
    }
    if has_position {
        return !is(&["23"]);
    }
    if has_context {
        return false;
    }
    if is(NAMES_ONLY) {
        return true;
    }
    // A value that is cast to `regclass` and the like is reported as a missing object.
    is(MISSING_OBJECT) && quoted_parts(text).all(|name| sql.contains(name))
}

/// Codes and classes whose messages consist of fixed text, numbers and names of objects, unless a
/// function raises them. The values of violated constraints are in the detail, which is never shown.
const NAMES_ONLY: &[&str] = &[
    "08", "0A", "23", "25", "28", "2B", "2D", "3D", "40", "42501", "42701", "42710", "42723",
    "42804", "42809", "42830", "42939", "42P06", "42P07", "42P16", "42P17", "53", "54", "55", "57",
    "58",
];
const MISSING_OBJECT: &[&str] = &["3F", "42703", "42704", "42883", "42P01", "42P02"];

/// The parts of a message in double quotes.
fn quoted_parts(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

/// Makes a text safe to show: one line, without control characters and invisible characters that
/// change how text is displayed, and not too long.
pub(super) fn sanitize(text: &str) -> String {
    let is_invisible = |c: char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let mut shown: String = text
        .chars()
        .map(|c| match c {
            _ if c.is_control() || is_invisible(c) => ' ',
            _ => c,
        })
        .take(MAX_TEXT_CHARS)
        .collect();
    if text.chars().nth(MAX_TEXT_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: &str =
        "ALTER TABLE person ALTER mail TYPE regclass USING mail::regclass; DROP TABLE nowhere;
         DO $$ BEGIN RAISE 'must be empty'; END $$";

    fn quoted(code: &str, has_position: bool, has_context: bool, text: &str) -> bool {
        let facts = Facts {
            code,
            has_position,
            has_context,
        };
        may_quote(facts, text, Origin::Sql(SQL))
    }

    #[test]
    fn a_text_that_can_contain_a_value_of_a_row_is_not_shown() {
        for (code, has_position, has_context, text) in [
            (
                "22P02",
                false,
                false,
                "invalid input syntax for type integer: \"a@b.c\"",
            ),
            (
                "22P02",
                true,
                false,
                "invalid input syntax for type integer: \"a@b.c\"",
            ),
            (
                "42601",
                false,
                false,
                "syntax error in tsquery: \"a@b.c &\"",
            ),
            ("42P01", false, false, "relation \"a@b.c\" does not exist"),
            ("42704", false, false, "role \"a@b.c\" does not exist"),
            ("42883", false, false, "function \"a@b.c\" does not exist"),
            ("P0001", false, true, "no a@b.c"),
            ("42P07", false, true, "relation \"a@b.c\" already exists"),
            ("23505", false, true, "a@b.c"),
            ("23505", true, false, "a@b.c"),
            ("XX000", false, false, "unexpected a@b.c"),
            ("ZZ999", false, false, "a@b.c"),
            (
                "53100",
                false,
                true,
                "could not extend file because project size limit (a@b.c MB) has been exceeded",
            ),
        ] {
            assert!(
                !quoted(code, has_position, has_context, text),
                "{code} {text}"
            );
        }
    }

    #[test]
    fn a_text_that_contains_no_value_is_shown() {
        for (code, has_position, has_context, text) in [
            ("42703", true, false, "column \"titel\" does not exist"),
            ("42601", true, false, "syntax error at or near \"CREAT\""),
            ("42P07", false, false, "relation \"a\" already exists"),
            ("42P01", false, false, "table \"nowhere\" does not exist"),
            (
                "23505",
                false,
                false,
                "could not create unique index \"people_mail\"",
            ),
            (
                "57014",
                false,
                false,
                "canceling statement due to statement timeout",
            ),
            ("P0001", false, true, "must be empty"),
            (
                "53100",
                false,
                true,
                "could not extend file because project size limit (512 MB) has been exceeded",
            ),
        ] {
            assert!(
                quoted(code, has_position, has_context, text),
                "{code} {text}"
            );
        }
    }

    #[test]
    fn a_login_trigger_cannot_speak_for_the_server() {
        let facts = |has_context| Facts {
            code: "P0001",
            has_position: false,
            has_context,
        };
        assert!(may_quote(
            facts(false),
            "quota exceeded",
            Origin::Connecting
        ));
        assert!(!may_quote(
            facts(true),
            "quota exceeded",
            Origin::Connecting
        ));
    }

    #[test]
    fn shown_text_is_one_short_line() {
        assert_eq!(sanitize("a\nb\u{1b}[31m\u{202e}c"), "a b [31m c");
        assert_eq!(sanitize(&"ü".repeat(400)).chars().count(), 301);
    }

    #[test]
    fn an_error_without_its_message_has_a_name() {
        let error = ServerError {
            code: "22012".to_owned(),
            message: None,
            hint: None,
        };
        assert!(error.to_string().starts_with("division by zero (22012)"));
    }
}
