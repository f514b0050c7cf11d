//! Deserializes `null` as an empty list or object, because some servers write `null` for empty
//! values.

use serde::{Deserialize, Deserializer};

pub(super) fn as_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Deserializes a field where `null` (`Some(None)`) differs from its absence.
#[expect(
    clippy::option_option,
    reason = "a field can be absent, null or a value"
)]
pub(super) fn as_some<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
