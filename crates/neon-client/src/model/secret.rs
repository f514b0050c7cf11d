//! Serializes secrets. Each field that may be serialized opts in with `#[serde(serialize_with)]`.

use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};

pub(super) fn expose<S: Serializer>(
    secret: &SecretString,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

#[expect(clippy::ref_option, reason = "the signature that serialize_with calls")]
pub(super) fn expose_option<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    secret
        .as_ref()
        .map(ExposeSecret::expose_secret)
        .serialize(serializer)
}
