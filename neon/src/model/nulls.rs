//! Reading `null` where a list or an object is expected, as servers write that have none.

use serde::{Deserialize, Deserializer};

pub(super) fn as_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
