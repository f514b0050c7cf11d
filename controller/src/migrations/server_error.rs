//! An error that Postgres returned, without the values from a tenant's rows that Postgres may quote
//! in it.

use std::fmt;

use sqlx::postgres::PgDatabaseError;

/// An error of the Postgres server. It contains no values from a tenant's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// The SQLSTATE.
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

/// SQLSTATE class "data exception": the message may quote a value.
const DATA_EXCEPTION: &str = "22";
/// SQLSTATE class "integrity constraint violation": the detail contains values of the row.
const CONSTRAINT_VIOLATION: &str = "23";
/// Longer messages, details and hints are truncated.
const MAX_TEXT_CHARS: usize = 1_000;

impl ServerError {
    pub(super) fn new(error: &PgDatabaseError) -> Self {
        let text = |text: &str| text.chars().take(MAX_TEXT_CHARS).collect::<String>();
        let code = error.code().to_owned();
        let has_values = code.starts_with(DATA_EXCEPTION) || code.starts_with(CONSTRAINT_VIOLATION);
        Self {
            message: if code.starts_with(DATA_EXCEPTION) {
                text(without_value(error.message()))
            } else {
                text(error.message())
            },
            detail: error.detail().filter(|_| !has_values).map(text),
            hint: error.hint().map(text),
            code,
        }
    }

    /// Whether the SQLSTATE starts with one of `codes`, which may be two-character classes.
    pub(super) fn has_code(&self, codes: &[&str]) -> bool {
        codes.iter().any(|code| self.code.starts_with(code))
    }

    /// Whether the server ended or refused the session: connection exception, shutdown, crash,
    /// starting up.
    pub(super) fn terminates_session(&self) -> bool {
        self.has_code(&["08", "57P01", "57P02", "57P03", "57P05"])
    }

    /// Whether the cause is a quota or an IP allowlist in Neon, which does not go away without a
    /// change of settings.
    pub(super) fn is_permanent(&self) -> bool {
        self.is_quota_exceeded() || self.is_address_blocked()
    }

    /// Whether the project exceeded a quota. Neon's proxy reports that in the message only, without
    /// a code of its own.
    pub(super) fn is_quota_exceeded(&self) -> bool {
        self.message_contains("quota")
    }

    /// Whether the project's IP allowlist excludes this address. Also reported in the message only.
    pub(super) fn is_address_blocked(&self) -> bool {
        self.message_contains("not allowed to connect")
    }

    fn message_contains(&self, text: &str) -> bool {
        self.message.to_ascii_lowercase().contains(text)
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
        self.has_code(&transient) || self.terminates_session()
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)?;
        for (label, text) in [("Detail", &self.detail), ("Hint", &self.hint)] {
            if let Some(text) = text {
                write!(f, ". {label}: {}", text.trim_end_matches('.'))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ServerError {}

/// Cuts the message off where it quotes a value, as in `invalid input syntax for type integer:
/// "x"`.
fn without_value(message: &str) -> &str {
    let end = message.find(": \"").or_else(|| message.find('"'));
    end.map_or(message, |end| message[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_values_are_removed_from_messages() {
        for (message, expected) in [
            (
                "invalid input syntax for type integer: \"4711 secret\"",
                "invalid input syntax for type integer",
            ),
            ("value \"4711\" is out of range for type integer", "value"),
            ("division by zero", "division by zero"),
        ] {
            assert_eq!(without_value(message), expected);
        }
    }
}
