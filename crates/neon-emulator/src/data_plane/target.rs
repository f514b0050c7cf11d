//! Determines the endpoint of a connection: from the TLS server name or from the `endpoint` option.

use neon_client::ids::EndpointId;

use crate::hosts::POOLER_SUFFIX;

/// The prefix of endpoint IDs.
const ENDPOINT_PREFIX: &str = "ep-";
/// The options that name an endpoint; `project` is an older spelling.
const OPTION_NAMES: [&str; 2] = ["endpoint", "project"];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TargetError {
    #[error(
        "Endpoint ID is not specified. Either please upgrade the postgres client library (libpq) for SNI support or pass the endpoint ID \
         (first part of the domain name) as a parameter: '?options=endpoint%3D<endpoint-id>'. See more at https://neon.tech/sni"
    )]
    Missing,
    #[error("the endpoint in the options and the one in the host name differ")]
    Mismatch,
    #[error("{0:?} is not the id of an endpoint")]
    InvalidId(String),
}

/// The endpoint, and the remaining options for PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) endpoint: EndpointId,
    /// Whether the client connects to the endpoint's pooler.
    pub(super) pooled: bool,
    pub(super) options: Option<String>,
}

/// Finds the endpoint in the TLS server name and the startup options.
pub(super) fn resolve(
    server_name: Option<&str>,
    options: Option<&str>,
) -> Result<Target, TargetError> {
    let from_name = server_name
        .and_then(|name| name.split('.').next())
        .filter(|label| label.starts_with(ENDPOINT_PREFIX))
        .map(endpoint);
    let from_name = from_name.transpose()?;
    let (named, rest) = split(options.unwrap_or_default());
    let from_options = named.as_deref().map(endpoint).transpose()?;
    let (endpoint, pooled) = match (from_name, from_options) {
        (Some((one, pooled)), Some((other, also))) if one == other => (one, pooled || also),
        (Some(_), Some(_)) => return Err(TargetError::Mismatch),
        (Some(named), None) | (None, Some(named)) => named,
        (None, None) => return Err(TargetError::Missing),
    };
    Ok(Target {
        endpoint,
        pooled,
        options: rest,
    })
}

/// Parses an endpoint ID with an optional pooler suffix.
fn endpoint(label: &str) -> Result<(EndpointId, bool), TargetError> {
    let pooled = label.strip_suffix(POOLER_SUFFIX);
    let id = pooled.unwrap_or(label).parse();
    id.map(|id| (id, pooled.is_some()))
        .map_err(|_| TargetError::InvalidId(label.chars().take(80).collect()))
}

/// Extracts the endpoint from the options, which are separated by spaces as on a command line:
/// `endpoint=x`, `-cendpoint=x`, `-c endpoint=x` and `--endpoint=x` are all in use.
fn split(options: &str) -> (Option<String>, Option<String>) {
    let mut named = None;
    let mut rest: Vec<&str> = Vec::new();
    let mut words = options
        .split(' ')
        .filter(|word| !word.is_empty())
        .peekable();
    while let Some(word) = words.next() {
        if word == "-c" {
            match words.next_if(|next| value(next).is_some()) {
                Some(next) => named = value(next),
                None => rest.extend(std::iter::once(word).chain(words.next())),
            }
            continue;
        }
        let bare = word
            .strip_prefix("--")
            .or_else(|| word.strip_prefix("-c"))
            .unwrap_or(word);
        match value(bare) {
            Some(id) => named = Some(id),
            None => rest.push(word),
        }
    }
    (named, (!rest.is_empty()).then(|| rest.join(" ")))
}

fn value(word: &str) -> Option<String> {
    let (key, value) = word.split_once('=')?;
    OPTION_NAMES.contains(&key).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ep-still-lake-00000001";

    fn options(text: &str) -> Result<(String, Option<String>), TargetError> {
        resolve(None, Some(text)).map(|target| (target.endpoint.to_string(), target.options))
    }

    #[test]
    fn every_spelling_of_the_option_is_recognized_and_removed() {
        for text in [
            "endpoint=ep-still-lake-00000001",
            "endpoint=ep-still-lake-00000001-pooler",
            "-cendpoint=ep-still-lake-00000001",
            "-c endpoint=ep-still-lake-00000001",
            "--endpoint=ep-still-lake-00000001",
            "project=ep-still-lake-00000001",
        ] {
            assert_eq!(options(text), Ok((ID.into(), None)), "{text}");
        }
    }

    #[test]
    fn other_options_are_kept() {
        let text = "-c search_path=a\\ b endpoint=ep-still-lake-00000001 -cstatement_timeout=5s --work_mem=8MB";
        let rest = "-c search_path=a\\ b -cstatement_timeout=5s --work_mem=8MB".to_owned();
        assert_eq!(options(text), Ok((ID.into(), Some(rest))));
    }

    #[test]
    fn the_first_label_of_the_tls_name_is_the_endpoint() {
        for name in [
            "ep-still-lake-00000001.localhost",
            "ep-still-lake-00000001-pooler.eu.example.test",
        ] {
            assert_eq!(resolve(Some(name), None).unwrap().endpoint.as_str(), ID);
        }
        assert_eq!(resolve(Some("localhost"), None), Err(TargetError::Missing));
        assert_eq!(resolve(None, None), Err(TargetError::Missing));
    }

    #[test]
    fn the_pooler_suffix_is_recognized_in_the_host_and_in_the_option() {
        let is_pooled = |name, options| resolve(name, options).unwrap().pooled;
        let (direct, with_mark) = (
            "ep-still-lake-00000001.localhost",
            "ep-still-lake-00000001-pooler.localhost",
        );
        assert!(is_pooled(Some(with_mark), None));
        assert!(!is_pooled(Some(direct), None));
        assert!(is_pooled(
            None,
            Some("endpoint=ep-still-lake-00000001-pooler")
        ));
        assert!(!is_pooled(None, Some("endpoint=ep-still-lake-00000001")));
        assert!(is_pooled(
            Some(direct),
            Some("endpoint=ep-still-lake-00000001-pooler")
        ));
        assert!(is_pooled(
            Some(with_mark),
            Some("endpoint=ep-still-lake-00000001")
        ));
    }

    #[test]
    fn two_different_endpoints_are_rejected() {
        let name = Some("ep-still-lake-00000001.localhost");
        assert_eq!(
            resolve(name, Some("endpoint=ep-other-lake-00000002")),
            Err(TargetError::Mismatch)
        );
        assert!(resolve(name, Some("endpoint=ep-still-lake-00000001-pooler")).is_ok());
        assert_eq!(
            resolve(None, Some("endpoint=A/B")),
            Err(TargetError::InvalidId("A/B".into()))
        );
    }
}
