//! How a database is reached. All of it may hold a password.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::secret;
use crate::ids::{DatabaseName, RoleName};

/// One way into a new project.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionDetails {
    /// The whole URI, with the password.
    #[serde(serialize_with = "secret::expose")]
    pub connection_uri: SecretString,
    /// The same in pieces.
    pub connection_parameters: ConnectionParameters,
}

/// The pieces of a connection URI.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionParameters {
    /// The database.
    pub database: DatabaseName,
    /// The role's password.
    #[serde(serialize_with = "secret::expose")]
    pub password: SecretString,
    /// The role.
    pub role: RoleName,
    /// The host of the compute itself.
    pub host: String,
    /// The host of the pooler before it.
    pub pooler_host: String,
}

/// The answer to a request for a connection URI.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionUri {
    /// The whole URI, with the password where the platform keeps it.
    #[serde(serialize_with = "secret::expose")]
    pub uri: SecretString,
}
