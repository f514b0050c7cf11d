//! Log sequence numbers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A log sequence number (LSN): a position in PostgreSQL's write-ahead log, such as `0/1F86268`.
/// Later positions are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

/// Error of parsing an [`Lsn`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid LSN: must be two hexadecimal numbers separated by a slash, such as 0/1F86268")]
pub struct ParseLsnError;

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, ParseLsnError> {
        let half = |text: &str| {
            let digits =
                (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            digits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
        };
        let (high, low) = text.split_once('/').ok_or(ParseLsnError)?;
        match (half(high), half(low)) {
            (Some(high), Some(low)) => Ok(Self(u64::from(high) << 32 | u64::from(low))),
            _ => Err(ParseLsnError),
        }
    }
}

impl TryFrom<String> for Lsn {
    type Error = ParseLsnError;

    fn try_from(text: String) -> Result<Self, ParseLsnError> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn invalid_lsns_are_rejected() {
        for text in [
            "",
            "/",
            "0",
            "0/",
            "/0",
            "0/0/0",
            "0/+1",
            "G/0",
            "123456789/0",
            "0x1/2",
        ] {
            assert_eq!(text.parse::<Lsn>(), Err(ParseLsnError), "{text}");
        }
        assert_eq!("1/1f86268".parse(), Ok(Lsn(0x1_01F8_6268)));
    }

    proptest! {
        #[test]
        fn every_lsn_round_trips_through_its_text(position in any::<u64>()) {
            prop_assert_eq!(Lsn(position).to_string().parse(), Ok(Lsn(position)));
        }
    }
}
