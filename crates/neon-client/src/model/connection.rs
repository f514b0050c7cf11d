//! Connection details. All of them may contain a password.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::secret;
use crate::ids::{DatabaseName, RoleName};

/// Connection details of a new project.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionDetails {
    /// Connection URI including the password.
    #[serde(serialize_with = "secret::expose")]
    pub connection_uri: SecretString,
    /// The components of the URI.
    pub connection_parameters: ConnectionParameters,
}

/// Components of a connection URI.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionParameters {
    /// Database name.
    pub database: DatabaseName,
    /// Password of the role.
    #[serde(serialize_with = "secret::expose")]
    pub password: SecretString,
    /// Role name.
    pub role: RoleName,
    /// Host name of the compute.
    pub host: String,
    /// Host name of the connection pooler.
    pub pooler_host: String,
}

/// Response of requesting a connection URI.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionUri {
    /// Connection URI. Includes the password if Neon stores it.
    #[serde(serialize_with = "secret::expose")]
    pub uri: SecretString,
}
