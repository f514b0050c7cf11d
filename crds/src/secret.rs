//! The connection Secret: its type, its keys, and the connection strings in it.
//!
//! It follows the well-known keys of the [Service Binding Specification]; a workload that reads those finds its
//! database without knowing of Tenants.
//!
//! [Service Binding Specification]: https://servicebinding.io/spec/core/1.1.0/#well-known-secret-entries

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;

use crate::status::Connection;

/// `type` of the Secret object.
pub const SECRET_TYPE: &str = "servicebinding.io/postgresql";
/// Value of the key `provider`.
pub const SECRET_PROVIDER: &str = "neon";
/// libpq's `sslmode` that every connection needs at least. Clients that have the roots at hand can ask for more
/// (`verify-full`).
pub const SSL_MODE: &str = "require";

/// Keys of the Secret.
pub mod keys {
    /// Kind of service: `postgresql`.
    pub const TYPE: &str = "type";
    /// Who provides it: `neon`.
    pub const PROVIDER: &str = "provider";
    /// Host of the compute.
    pub const HOST: &str = "host";
    /// Host of the pooler.
    pub const POOLED_HOST: &str = "pooledHost";
    /// Port of both.
    pub const PORT: &str = "port";
    /// Name of the database.
    pub const DATABASE: &str = "database";
    /// Role that owns it.
    pub const USERNAME: &str = "username";
    /// Its password.
    pub const PASSWORD: &str = "password";
    /// Connection string of the compute: for migrations and whatever needs a session.
    pub const URI: &str = "uri";
    /// Connection string of the pooler: for requests.
    pub const POOLED_URI: &str = "pooledUri";
    /// libpq's `sslmode`.
    pub const SSLMODE: &str = "sslmode";
    /// PEM certificates to check the server with; only where they are not publicly trusted.
    pub const CA_CRT: &str = "ca.crt";
    /// Every key that the controller writes; others in the Secret are not its business.
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

/// Everything a client needs, with the password. `Debug` leaves the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionDetails {
    /// Host, port, names and options.
    pub connection: Connection,
    /// Options of the pooled connection, where they differ: the endpoint's name with `-pooler` behind it.
    pub pooled_options: Option<String>,
    /// The role's password.
    pub password: String,
    /// PEM certificates of the server's authority, where it is not publicly trusted.
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
    /// The Secret's `data`.
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
            "postgresql://{}:{}@{host}:{}/{}?sslmode={}",
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

/// Percent-encodes everything but RFC 3986's unreserved characters, so that names and passwords of any kind survive
/// in a connection string.
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
