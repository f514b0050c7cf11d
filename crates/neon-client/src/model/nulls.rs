//! Reading `null` where a list or an object is expected, as servers write that have none.

use serde::{Deserialize, Deserializer};

pub(super) fn as_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Reads a field where `null` says something else than its absence: `Some(None)`.
#[expect(
    clippy::option_option,
    reason = "absent, null and a value are three different things here"
)]
pub(super) fn as_some<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
