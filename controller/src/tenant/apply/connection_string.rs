//! Parses Neon's connection strings, and derives the pooler's host and options from them. Pure.

use crds::{Connection, ConnectionDetails, SSL_MODE};
use percent_encoding::percent_decode_str;
use url::Url;

const POSTGRES_PORT: u16 = 5432;
const POOLER_SUFFIX: &str = "-pooler";
const ENDPOINT_OPTION: &str = "endpoint=";

/// Parses a connection string. If it has no password, the returned password is empty.
pub(super) fn parse(uri: &str, ca_crt: Option<String>) -> Option<ConnectionDetails> {
    let url = Url::parse(uri)
        .ok()
        .filter(|url| matches!(url.scheme(), "postgres" | "postgresql"))?;
    let decoded = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .ok()
            .map(std::borrow::Cow::into_owned)
    };
    let host = url.host_str()?.to_owned();
    let options = url
        .query_pairs()
        .find(|(key, _)| key == "options")
        .map(|(_, value)| value.into_owned());
    let host_has_endpoint = host.starts_with("ep-");
    Some(ConnectionDetails {
        pooled_options: options
            .as_deref()
            .filter(|_| !host_has_endpoint)
            .map(pooled_options),
        password: decoded(url.password().unwrap_or_default())?,
        ca_crt,
        connection: Connection {
            pooled_host: if host_has_endpoint {
                pooled_host(&host)
            } else {
                host.clone()
            },
            host,
            port: i32::from(url.port().unwrap_or(POSTGRES_PORT)),
            database: decoded(url.path().trim_start_matches('/'))?,
            role: decoded(url.username())?,
            ssl_mode: SSL_MODE.to_owned(),
            options,
        },
    })
}

/// `ep-a.eu.neon.tech` -> `ep-a-pooler.eu.neon.tech`.
fn pooled_host(host: &str) -> String {
    match host.split_once('.') {
        Some((endpoint, domain)) => format!("{endpoint}{POOLER_SUFFIX}.{domain}"),
        None => format!("{host}{POOLER_SUFFIX}"),
    }
}

/// `endpoint=ep-a` -> `endpoint=ep-a-pooler`, for hosts that do not contain the endpoint id.
fn pooled_options(options: &str) -> String {
    let parts = options.split(' ').map(|part| {
        if part.starts_with(ENDPOINT_OPTION) {
            format!("{part}{POOLER_SUFFIX}")
        } else {
            part.to_owned()
        }
    });
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neon_connection_string_gives_the_direct_and_the_pooled_host() {
        let details = parse(
            "postgresql://neondb_owner:npg_x%2Fy@ep-a-1.eu.neon.tech/neondb?sslmode=require",
            None,
        )
        .unwrap();
        assert_eq!(details.password, "npg_x/y");
        assert_eq!(details.connection.host, "ep-a-1.eu.neon.tech");
        assert_eq!(details.connection.pooled_host, "ep-a-1-pooler.eu.neon.tech");
        assert_eq!(details.connection.port, 5432);
        assert_eq!(details.connection.options, None);
        assert_eq!(details.pooled_options, None);
    }

    #[test]
    fn options_select_the_endpoint_if_the_host_does_not() {
        let uri = "postgres://o:p@127.0.0.1:6000/db?options=endpoint%3Dep-a-1&sslmode=require";
        let details = parse(uri, Some("PEM".to_owned())).unwrap();
        assert_eq!(details.connection.pooled_host, "127.0.0.1");
        assert_eq!(details.connection.port, 6000);
        assert_eq!(
            details.connection.options.as_deref(),
            Some("endpoint=ep-a-1")
        );
        assert_eq!(
            details.pooled_options.as_deref(),
            Some("endpoint=ep-a-1-pooler")
        );
    }

    #[test]
    fn an_invalid_connection_string_is_rejected() {
        for invalid in ["", "https://a/b", "postgres://", "postgres:///db"] {
            assert!(parse(invalid, None).is_none(), "{invalid}");
        }
    }
}
