//! What a client may ask for when it signs in through the pooler: the settings that the pooler keeps for each client, and no others.

use super::statements::is_tracked;
use crate::data_plane::wire::Startup;

/// Parameters that are no settings.
const OF_THE_CONNECTION: [&str; 3] = ["user", "database", "options"];
/// Settings that the pooler takes and forgets, because clients send them unasked.
const IGNORED: [&str; 1] = ["extra_float_digits"];
/// What begins the name of an extension of the protocol, which PostgreSQL itself answers.
const PROTOCOL_EXTENSION: &str = "_pq_.";

/// What a pooler does not take, in its words.
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

/// Takes out what the pooler ignores; refuses what it does not take.
pub(in crate::data_plane) fn admit(
    startup: &mut Startup,
    options: Option<&str>,
) -> Result<(), UnsupportedParameter> {
    for (name, _) in &startup.parameters {
        let known = OF_THE_CONNECTION.contains(&name.as_str())
            || name.starts_with(PROTOCOL_EXTENSION)
            || is_tracked(name)
            || is_ignored(name);
        if !known {
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
        // As on PostgreSQL's command line, a dash stands for an underscore.
        let name = name.replace('-', "_");
        if !is_tracked(&name) && !is_ignored(&name) {
            return Err(UnsupportedParameter::InOptions(name));
        }
    }
    startup.parameters.retain(|(name, _)| !is_ignored(name));
    Ok(())
}

fn is_ignored(name: &str) -> bool {
    IGNORED
        .iter()
        .any(|ignored| ignored.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(parameters: &[(&str, &str)]) -> Startup {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Startup {
            version: 196_608,
            parameters: parameters.iter().map(own).collect(),
        }
    }

    #[test]
    fn what_the_pooler_keeps_is_taken_and_what_it_ignores_is_taken_out() {
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
    fn other_settings_are_refused_in_the_poolers_words() {
        let said = |parameters: &[(&str, &str)], options| {
            admit(&mut with(parameters), options)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            said(&[("statement_timeout", "5s")], None),
            "unsupported startup parameter: statement_timeout"
        );
        for options in ["-c search_path=a", "-csearch_path=a", "--search-path=a"] {
            assert_eq!(
                said(&[], Some(options)),
                "unsupported startup parameter in options: search_path"
            );
        }
        for options in ["-B 16", "search_path=a", "-c"] {
            assert!(
                said(&[], Some(options)).contains("only '-c config=val'"),
                "{options}"
            );
        }
    }
}
