//! Compute sizes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Size of a compute in compute units (CU). One CU is about 1 vCPU with 4 GB of memory.
///
/// The wire format is a number (`0.25`, `8`). The type stores thousandths, so that sizes can be
/// compared, ordered and hashed exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComputeUnits(u32);

/// Error for a number that is not a valid compute size.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("invalid compute size {0}: must be a positive multiple of 0.25")]
pub struct ComputeUnitsError(pub f64);

const THOUSANDTHS: f64 = 1000.0;
const QUARTER: u32 = 250;

impl ComputeUnits {
    /// The smallest compute size, 0.25 CU.
    pub const MIN: Self = Self(QUARTER);

    /// Returns a size for use in a request.
    ///
    /// # Errors
    /// If the number is not a positive multiple of 0.25.
    pub fn new(units: f64) -> Result<Self, ComputeUnitsError> {
        let size = Self::from_wire(units).ok_or(ComputeUnitsError(units))?;
        let exact = (size.as_f64() - units).abs() < f64::EPSILON;
        if exact && size >= Self::MIN && size.0.is_multiple_of(QUARTER) {
            Ok(size)
        } else {
            Err(ComputeUnitsError(units))
        }
    }

    /// Returns a size in units of 0.25 CU: `from_quarters(4)` is 1 CU. Zero counts as one quarter.
    pub const fn from_quarters(quarters: u16) -> Self {
        let quarters = if quarters == 0 { 1 } else { quarters };
        Self(quarters as u32 * QUARTER)
    }

    /// The size in CU, as on the wire.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / THOUSANDTHS
    }

    /// Accepts every size that the API may return, including sizes that are not allowed in a
    /// request.
    fn from_wire(units: f64) -> Option<Self> {
        let thousandths = (units * THOUSANDTHS).round();
        if !(0.0..=f64::from(u32::MAX)).contains(&thousandths) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked in the line above"
        )]
        let thousandths = thousandths as u32;
        Some(Self(thousandths))
    }
}

impl TryFrom<f64> for ComputeUnits {
    type Error = ComputeUnitsError;

    fn try_from(units: f64) -> Result<Self, ComputeUnitsError> {
        Self::new(units)
    }
}

impl fmt::Display for ComputeUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_f64().fmt(f)
    }
}

impl Serialize for ComputeUnits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Whole sizes are written like the API writes them: `1`, not `1.0`.
        if self.0.is_multiple_of(1000) {
            serializer.serialize_u32(self.0 / 1000)
        } else {
            serializer.serialize_f64(self.as_f64())
        }
    }
}

impl<'de> Deserialize<'de> for ComputeUnits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let units = f64::deserialize(deserializer)?;
        Self::from_wire(units)
            .ok_or_else(|| de::Error::custom(format_args!("invalid compute size {units}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_size_must_be_a_positive_multiple_of_a_quarter() {
        for invalid in [0.0, 0.1, 0.3, -1.0, 0.250_01, f64::NAN, f64::INFINITY, 1e12] {
            assert!(ComputeUnits::new(invalid).is_err(), "{invalid}");
        }
        assert_eq!(ComputeUnits::new(0.25).unwrap(), ComputeUnits::MIN);
        assert_eq!(ComputeUnits::new(8.0).unwrap().to_string(), "8");
        assert_eq!(ComputeUnits::new(0.5).unwrap().to_string(), "0.5");
    }

    #[test]
    fn whole_sizes_are_written_without_a_fraction_and_unusual_ones_are_accepted() {
        assert_eq!(
            serde_json::to_string(&ComputeUnits::from_quarters(4)).unwrap(),
            "1"
        );
        assert_eq!(
            serde_json::to_string(&ComputeUnits::from_quarters(1)).unwrap(),
            "0.25"
        );
        let unusual: ComputeUnits = serde_json::from_str("0.333").unwrap();
        assert_eq!(unusual.to_string(), "0.333");
        assert!(serde_json::from_str::<ComputeUnits>("-1").is_err());
    }

    proptest! {
        #[test]
        fn every_size_round_trips_through_json(quarters in 1..=u16::MAX) {
            let size = ComputeUnits::from_quarters(quarters);
            let json = serde_json::to_string(&size).unwrap();
            prop_assert_eq!(serde_json::from_str::<ComputeUnits>(&json).unwrap(), size);
            prop_assert_eq!(ComputeUnits::new(f64::from(quarters) / 4.0).unwrap(), size);
        }
    }
}
