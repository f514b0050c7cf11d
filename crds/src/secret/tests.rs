use std::borrow::Cow;
use std::collections::BTreeMap as Map;

use proptest::prelude::*;
use url::Url;

use super::*;

fn details(role: &str, password: &str, database: &str, options: Option<&str>) -> ConnectionDetails {
    ConnectionDetails {
        connection: Connection {
            host: "ep-quiet-river-12345678.eu-central-1.aws.neon.tech".to_owned(),
            pooled_host: "ep-quiet-river-12345678-pooler.eu-central-1.aws.neon.tech".to_owned(),
            port: 5432,
            database: database.to_owned(),
            role: role.to_owned(),
            ssl_mode: SSL_MODE.to_owned(),
            options: options.map(str::to_owned),
        },
        pooled_options: options.map(|o| format!("{o}-pooler")),
        password: password.to_owned(),
        ca_crt: None,
    }
}

fn text(data: &BTreeMap<String, ByteString>, key: &str) -> String {
    String::from_utf8(data[key].0.clone()).expect("text")
}

/// Decodes percent-encoding like libpq. Unlike in a form, `+` is not a space.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'%' {
            out.push(u8::from_str_radix(&text[i + 1..i + 3], 16).expect("two hex digits"));
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn the_data_has_exactly_the_documented_keys() {
    let mut all = details("r", "p", "d", None);
    all.ca_crt = Some("-----BEGIN CERTIFICATE-----".to_owned());
    let data = all.to_data();
    let mut expected = keys::ALL.to_vec();
    expected.sort_unstable();
    assert_eq!(
        data.keys().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn without_a_private_certificate_authority_there_is_no_ca_crt() {
    assert!(
        !details("r", "p", "d", None)
            .to_data()
            .contains_key(keys::CA_CRT)
    );
}

#[test]
fn debug_output_omits_the_password() {
    let shown = format!("{:?}", details("role", "s3cr3t-w0rd", "db", None));
    assert!(
        shown.contains("role") && !shown.contains("s3cr3t"),
        "{shown}"
    );
}

#[test]
fn the_pooled_uri_uses_the_pooled_options() {
    let data = details("r", "p", "d", Some("endpoint=ep-quiet-river-12345678")).to_data();
    assert!(text(&data, keys::URI).ends_with("&options=endpoint%3Dep-quiet-river-12345678"));
    assert!(
        text(&data, keys::POOLED_URI)
            .ends_with("&options=endpoint%3Dep-quiet-river-12345678-pooler")
    );
}

proptest! {
    #[test]
    fn both_uris_round_trip_any_name_and_password(
        role in "[^\\x00-\\x1f\\x7f]{1,30}",
        password in ".{1,60}",
        database in "[^\\x00-\\x1f\\x7f]{1,30}",
        options in proptest::option::of("endpoint=[a-z0-9-]{1,40}( -c [a-z_]+=[^\\x00]{0,10})?"),
    ) {
        // The validation rules of Tenant reject these.
        prop_assume!(database != "." && database != "..");
        let details = details(&role, &password, &database, options.as_deref());
        let data = details.to_data();
        let uris = [
            (keys::URI, keys::HOST, details.connection.options.clone()),
            (keys::POOLED_URI, keys::POOLED_HOST, details.pooled_options.clone()),
        ];
        for (uri, host, options) in uris {
            let uri = text(&data, uri);
            let url = Url::parse(&uri).expect("a URL");
            prop_assert_eq!(url.scheme(), "postgresql");
            let host = text(&data, host);
            prop_assert_eq!(url.host_str(), Some(host.as_str()));
            prop_assert_eq!(url.port(), Some(5432));
            prop_assert_eq!(decode(url.username()), role.as_str());
            prop_assert_eq!(url.password().map(decode), Some(password.clone()));
            prop_assert!(url.fragment().is_none());
            let query: Map<Cow<'_, str>, Cow<'_, str>> = url.query_pairs().collect();
            prop_assert_eq!(query.get("sslmode").map(AsRef::as_ref), Some(SSL_MODE));
            prop_assert_eq!(query.get("channel_binding").map(AsRef::as_ref), Some("require"));
            prop_assert_eq!(query.get("options").map(|o| o.clone().into_owned()), options);
            prop_assert_eq!(decode(url.path()), format!("/{database}"));
        }
        prop_assert_eq!(text(&data, keys::PASSWORD), password);
        prop_assert_eq!(text(&data, keys::USERNAME), role);
        prop_assert_eq!(text(&data, keys::DATABASE), database);
    }
}
