//! Measured figures with their floors and budgets.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// `benchmark.figure`
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    /// The lower bound for the value, in the same unit.
    pub(crate) floor: Option<f64>,
    /// The value divided by the floor.
    pub(crate) ratio: Option<f64>,
    /// The maximum for the ratio if there is one, otherwise for the value.
    pub(crate) budget: Option<f64>,
    pub(crate) within: Option<bool>,
    /// The number of Tenants, samples or files.
    pub(crate) count: usize,
    /// The machine's load average over the last minute when the benchmark began. Other load makes
    /// figures worse.
    pub(crate) load_average: f64,
}

/// Collects the figures of one benchmark.
pub(crate) struct Figures {
    prefix: &'static str,
    count: usize,
    load_average: f64,
    all: Vec<Figure>,
}

impl Figures {
    /// Must be called before the benchmark begins, because it records the load average.
    pub(crate) fn new(prefix: &'static str, count: usize) -> Self {
        Self {
            prefix,
            count,
            load_average: machine::load_average(),
            all: Vec::new(),
        }
    }

    /// Adds a figure without a budget.
    pub(crate) fn record(&mut self, name: &str, value: f64, unit: &str) {
        self.push(name, value, unit, None, None);
    }

    /// Adds a figure with a budget for its value.
    pub(crate) fn record_with_budget(&mut self, name: &str, value: f64, unit: &str, budget: f64) {
        self.push(name, value, unit, None, Some(budget));
    }

    /// Adds a figure with a floor and, optionally, a budget for its ratio to the floor.
    pub(crate) fn record_with_floor(
        &mut self,
        name: &str,
        value: f64,
        unit: &str,
        floor: f64,
        budget: Option<f64>,
    ) {
        self.push(name, value, unit, Some(floor), budget);
    }

    fn push(
        &mut self,
        name: &str,
        value: f64,
        unit: &str,
        floor: Option<f64>,
        budget: Option<f64>,
    ) {
        let ratio = floor.map(|floor| value / floor);
        self.all.push(Figure {
            name: format!("{}.{name}", self.prefix),
            value,
            unit: unit.to_owned(),
            floor,
            ratio,
            budget,
            within: budget.map(|budget| ratio.unwrap_or(value) <= budget),
            count: self.count,
            load_average: self.load_average,
        });
    }

    pub(crate) fn into_vec(self) -> Vec<Figure> {
        self.all
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<34} {:>10} {}",
            self.name,
            number(self.value),
            self.unit
        )?;
        if let (Some(floor), Some(ratio)) = (self.floor, self.ratio) {
            write!(f, ", floor {}, ratio {ratio:.3}", number(floor))?;
        }
        if let (Some(budget), Some(within)) = (self.budget, self.within) {
            write!(
                f,
                ", budget {}: {}",
                number(budget),
                if within { "kept" } else { "MISSED" }
            )?;
        }
        Ok(())
    }
}

/// Formats a number with a sensible number of digits.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else if value >= 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// Replaces the figures of the benchmarks in `new`.
pub(crate) fn merge(mut all: Vec<Figure>, new: Vec<Figure>) -> Vec<Figure> {
    let benchmark = |figure: &Figure| figure.name.split('.').next().unwrap_or_default().to_owned();
    let measured: Vec<String> = new.iter().map(benchmark).collect();
    all.retain(|figure| !measured.contains(&benchmark(figure)));
    all.extend(new);
    all
}

/// The nearest-rank percentile of the samples, in milliseconds.
pub(crate) fn percentile_ms(samples: &[Duration], share: f64) -> f64 {
    let mut sorted: Vec<f64> = samples
        .iter()
        .map(|sample| sample.as_secs_f64() * 1e3)
        .collect();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among a few samples"
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are far below 2^52"
)]
pub(crate) fn count_to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_samples() {
        let samples: Vec<Duration> = (1..=40).map(Duration::from_millis).collect();
        assert!((percentile_ms(&samples, 0.5) - 20.0).abs() < 1e-9);
        assert!((percentile_ms(&samples, 0.95) - 38.0).abs() < 1e-9);
        assert!((percentile_ms(&samples[..1], 0.95) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_budget_applies_to_the_ratio_if_there_is_a_floor() {
        let mut figures = Figures::new("x", 1);
        figures.record_with_floor("a", 11.0, "s", 10.0, Some(1.05));
        figures.record_with_budget("b", 3.0, "calls", 3.0);
        figures.record("c", 1.0, "s");
        let within: Vec<_> = figures
            .into_vec()
            .into_iter()
            .map(|figure| figure.within)
            .collect();
        assert_eq!(within, [Some(false), Some(true), None]);
    }

    #[test]
    fn merging_replaces_only_the_figures_of_the_same_benchmarks() {
        let one = |prefix: &'static str, value| {
            let mut figures = Figures::new(prefix, 1);
            figures.record("v", value, "s");
            figures.into_vec()
        };
        let all = merge([one("a", 1.0), one("b", 1.0)].concat(), one("a", 2.0));
        let values: Vec<_> = all
            .iter()
            .map(|figure| (figure.name.as_str(), figure.value.to_string()))
            .collect();
        assert_eq!(values, [("b.v", "1".to_owned()), ("a.v", "2".to_owned())]);
    }
}
