//! The connection Secret: its type, its keys and its connection strings.
//!
//! The keys follow the [Service Binding Specification], so a workload that supports the
//! specification needs no knowledge of Tenants.
//!
//! [Service Binding Specification]: https://servicebinding.io/spec/core/1.1.0/#well-known-secret-entries

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;

use crate::status::Connection;

/// Value of the Secret's `type` field.
pub const SECRET_TYPE: &str = "servicebinding.io/postgresql";
/// Value of the key `provider`.
pub const SECRET_PROVIDER: &str = "neon";
/// Minimum `sslmode` of every connection. Clients that have the root certificates can use a
/// stricter mode, such as `verify-full`.
pub const SSL_MODE: &str = "require";
/// Value of `channel_binding` in every connection string, as in Neon's own. With it, libpq proves
/// the server's identity by the password even without root certificates: a server without the
/// password's verifier, or between the client and Neon, cannot complete the authentication. Drivers
/// without channel binding ignore it.
pub const CHANNEL_BINDING: &str = "require";

/// Keys in the Secret's data.
pub mod keys {
    /// Type of the service: `postgresql`.
    pub const TYPE: &str = "type";
    /// Provider of the service: `neon`.
    pub const PROVIDER: &str = "provider";
    /// Host name of the compute.
    pub const HOST: &str = "host";
    /// Host name of the connection pooler.
    pub const POOLED_HOST: &str = "pooledHost";
    /// Port of both hosts.
    pub const PORT: &str = "port";
    /// Name of the database.
    pub const DATABASE: &str = "database";
    /// Name of the role that owns the database.
    pub const USERNAME: &str = "username";
    /// Password of the role.
    pub const PASSWORD: &str = "password";
    /// Connection string of the compute, for migrations and anything that needs session state.
    pub const URI: &str = "uri";
    /// Connection string of the pooler, for application requests.
    pub const POOLED_URI: &str = "pooledUri";
    /// Minimum `sslmode` of connections.
    pub const SSLMODE: &str = "sslmode";
    /// PEM certificates to verify the server with. Present only if they are not publicly trusted.
    pub const CA_CRT: &str = "ca.crt";
    /// Every key that the controller writes. It leaves other keys in the Secret unchanged.
    pub const ALL: &[&str] = &[
        TYPE,
        PROVIDER,
        HOST,
        POOLED_HOST,
        PORT,
        DATABASE,
        USERNAME,
        PASSWORD,
        URI,
        POOLED_URI,
        SSLMODE,
        CA_CRT,
    ];
}

/// Everything that a client needs to connect, including the password. `Debug` omits the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionDetails {
    /// Connection details without the password.
    pub connection: Connection,
    /// Options of the pooled connection, if they differ: the endpoint's id with the suffix
    /// `-pooler`.
    pub pooled_options: Option<String>,
    /// Password of the role.
    pub password: String,
    /// PEM certificates of the certificate authority, if it is not publicly trusted.
    pub ca_crt: Option<String>,
}

impl fmt::Debug for ConnectionDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionDetails")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl ConnectionDetails {
    /// Returns the `data` of the connection Secret.
    pub fn to_data(&self) -> BTreeMap<String, ByteString> {
        let c = &self.connection;
        let uri = self.uri(&c.host, c.options.as_deref());
        let pooled_uri = self.uri(
            &c.pooled_host,
            self.pooled_options.as_deref().or(c.options.as_deref()),
        );
        let mut data: BTreeMap<String, ByteString> = [
            (keys::TYPE, "postgresql"),
            (keys::PROVIDER, SECRET_PROVIDER),
            (keys::HOST, &c.host),
            (keys::POOLED_HOST, &c.pooled_host),
            (keys::PORT, &c.port.to_string()),
            (keys::DATABASE, &c.database),
            (keys::USERNAME, &c.role),
            (keys::PASSWORD, &self.password),
            (keys::URI, &uri),
            (keys::POOLED_URI, &pooled_uri),
            (keys::SSLMODE, &c.ssl_mode),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), ByteString(value.as_bytes().to_vec())))
        .collect();
        if let Some(ca) = &self.ca_crt {
            data.insert(keys::CA_CRT.to_owned(), ByteString(ca.as_bytes().to_vec()));
        }
        data
    }

    fn uri(&self, host: &str, options: Option<&str>) -> String {
        let c = &self.connection;
        let mut uri = format!(
            "postgresql://{}:{}@{host}:{}/{}?sslmode={}&channel_binding={CHANNEL_BINDING}",
            percent_encode(&c.role),
            percent_encode(&self.password),
            c.port,
            percent_encode(&c.database),
            c.ssl_mode
        );
        if let Some(options) = options {
            uri.push_str("&options=");
            uri.push_str(&percent_encode(options));
        }
        uri
    }
}

/// Percent-encodes every byte that is not an unreserved character of RFC 3986, so that a connection
/// string can contain any name and password.
fn percent_encode(text: &str) -> String {
    use fmt::Write as _;
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut out, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
            out
        })
}

#[cfg(test)]
mod tests;
