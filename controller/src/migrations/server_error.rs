//! Postgres' own words, fit to be shown: where it puts values of a tenant's rows into them, they are taken out.

use std::fmt;

use sqlx::postgres::PgDatabaseError;

/// What Postgres said, without values from a tenant's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// The SQLSTATE.
    pub code: String,
    /// The message.
    pub message: String,
    /// The detail.
    pub detail: Option<String>,
    /// The hint.
    pub hint: Option<String>,
}

/// SQLSTATE class "data exception": the message may quote the value.
const DATA_EXCEPTION: &str = "22";
/// SQLSTATE class "integrity constraint violation": the detail shows the row.
const CONSTRAINT_VIOLATION: &str = "23";
/// How much of each of Postgres' texts is kept, in characters.
const TEXT_CHARS_MAX: usize = 1_000;

impl ServerError {
    pub(super) fn new(error: &PgDatabaseError) -> Self {
        let text = |text: &str| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
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

    /// Whether the code begins with one of these.
    pub(super) fn is_any(&self, codes: &[&str]) -> bool {
        codes.iter().any(|code| self.code.starts_with(code))
    }

    /// Whether the session was ended from outside: connection exceptions, shutdown, crash, not yet ready.
    pub(super) fn ends_the_session(&self) -> bool {
        self.is_any(&["08", "57P01", "57P02", "57P03", "57P05"])
    }

    /// Whether it is one of Neon's limits and address rules, which only a person changes.
    pub(super) fn needs_a_person(&self) -> bool {
        self.is_about_quota() || self.is_about_address()
    }

    /// Whether the project has used up a quota. The proxy has words for that, and no code.
    pub(super) fn is_about_quota(&self) -> bool {
        self.says("quota")
    }

    /// Whether the project lets nobody in from this address. The same.
    pub(super) fn is_about_address(&self) -> bool {
        self.says("not allowed to connect")
    }

    fn says(&self, words: &str) -> bool {
        self.message.to_ascii_lowercase().contains(words)
    }

    pub(super) fn may_pass(&self) -> bool {
        let passing = [
            "25006", // read-only: the server is failing over
            "40001", // serialization failure
            "40P01", // deadlock
            "53",    // out of memory, disk or connections
            "55006", // object in use
            "55P03", // a table's lock was not to be had in time
            "58",    // the system under the server
        ];
        self.is_any(&passing) || self.ends_the_session()
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

/// The message up to where it begins to quote a value: `invalid input syntax for type integer: "x"`.
fn without_value(message: &str) -> &str {
    let end = message.find(": \"").or_else(|| message.find('"'));
    end.map_or(message, |end| message[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_off_messages() {
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
