//! Checks the startup parameters of pooled connections: only settings that the pooler tracks per
//! client are supported.

use super::statements::is_tracked;
use crate::data_plane::wire::StartupMessage;

/// Startup parameters that are not settings.
const CONNECTION_PARAMETERS: [&str; 3] = ["user", "database", "options"];
/// Settings that the pooler accepts and ignores, because clients send them by default.
const IGNORED_SETTINGS: [&str; 1] = ["extra_float_digits"];
/// The name prefix of protocol extensions, which PostgreSQL negotiates.
const PROTOCOL_EXTENSION: &str = "_pq_.";

/// A startup parameter that the pooler does not support; the messages are PgBouncer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::data_plane) enum UnsupportedParameter {
    #[error("unsupported startup parameter: {0}")]
    Named(String),
    #[error("unsupported startup parameter in options: {0}")]
    InOptions(String),
    #[error(
        "unsupported options startup parameter: only '-c config=val' and '--config=val' are allowed"
    )]
    Options,
}

/// Removes the parameters that the pooler ignores, and rejects those that it does not support.
pub(in crate::data_plane) fn admit(
    startup: &mut StartupMessage,
    options: Option<&str>,
) -> Result<(), UnsupportedParameter> {
    for (name, _) in &startup.parameters {
        let is_supported = CONNECTION_PARAMETERS.contains(&name.as_str())
            || name.starts_with(PROTOCOL_EXTENSION)
            || is_tracked(name)
            || is_ignored(name);
        if !is_supported {
            return Err(UnsupportedParameter::Named(name.clone()));
        }
    }
    let mut words = options
        .unwrap_or_default()
        .split(' ')
        .filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let setting = match word {
            "-c" => words.next(),
            _ => word.strip_prefix("--").or_else(|| word.strip_prefix("-c")),
        };
        let Some((name, _)) = setting.and_then(|setting| setting.split_once('=')) else {
            return Err(UnsupportedParameter::Options);
        };
        // As on PostgreSQL's command line, dashes are equivalent to underscores.
        let name = name.replace('-', "_");
        if !is_tracked(&name) && !is_ignored(&name) {
            return Err(UnsupportedParameter::InOptions(name));
        }
    }
    startup.parameters.retain(|(name, _)| !is_ignored(name));
    Ok(())
}

fn is_ignored(name: &str) -> bool {
    IGNORED_SETTINGS
        .iter()
        .any(|ignored| ignored.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(parameters: &[(&str, &str)]) -> StartupMessage {
        let to_owned_pair =
            |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        StartupMessage {
            version: 196_608,
            parameters: parameters.iter().map(to_owned_pair).collect(),
        }
    }

    #[test]
    fn tracked_settings_are_kept_and_ignored_ones_are_removed() {
        let mut startup = with(&[
            ("user", "neondb_owner"),
            ("database", "neondb"),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, MDY"),
            ("TimeZone", "UTC"),
            ("application_name", "psql"),
            ("_pq_.x", ""),
            ("extra_float_digits", "2"),
        ]);
        let count = startup.parameters.len();
        let options = "-c intervalstyle=iso_8601 --timezone=UTC -cdatestyle=ISO";
        assert_eq!(admit(&mut startup, Some(options)), Ok(()));
        assert_eq!(startup.parameters.len(), count - 1);
        assert_eq!(startup.get("extra_float_digits"), None);
    }

    #[test]
    fn other_settings_are_rejected_with_pgbouncers_messages() {
        let rejection = |parameters: &[(&str, &str)], options| {
            admit(&mut with(parameters), options)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            rejection(&[("statement_timeout", "5s")], None),
            "unsupported startup parameter: statement_timeout"
        );
        for options in ["-c search_path=a", "-csearch_path=a", "--search-path=a"] {
            assert_eq!(
                rejection(&[], Some(options)),
                "unsupported startup parameter in options: search_path"
            );
        }
        for options in ["-B 16", "search_path=a", "-c"] {
            assert!(
                rejection(&[], Some(options)).contains("only '-c config=val'"),
                "{options}"
            );
        }
    }
}
