//! A figure, its floor and its budget.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine;

/// One thing that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// Benchmark and figure, with a dot between.
    pub(crate) name: String,
    /// What was measured.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: String,
    /// What could not be beaten, in the same unit.
    pub(crate) floor: Option<f64>,
    /// The value over the floor.
    pub(crate) ratio: Option<f64>,
    /// The most that is wanted: of the ratio where there is one, else of the value.
    pub(crate) budget: Option<f64>,
    /// Whether the budget is kept.
    pub(crate) within: Option<bool>,
    /// How many Tenants or samples it was measured with.
    pub(crate) count: usize,
    /// The machine's load average of the last minute when the benchmark began: other work makes figures worse.
    pub(crate) load_average: f64,
}

/// Makes the figures of one benchmark.
pub(crate) struct Figures {
    prefix: &'static str,
    count: usize,
    load_average: f64,
    all: Vec<Figure>,
}

impl Figures {
    /// Of the benchmark of that name, with so many Tenants or samples. To be called before it begins.
    pub(crate) fn new(prefix: &'static str, count: usize) -> Self {
        Self {
            prefix,
            count,
            load_average: machine::load_average(),
            all: Vec::new(),
        }
    }

    /// A figure that is only told.
    pub(crate) fn told(&mut self, name: &str, value: f64, unit: &str) {
        self.push(name, value, unit, None, None);
    }

    /// A figure that has a budget itself.
    pub(crate) fn bounded(&mut self, name: &str, value: f64, unit: &str, budget: f64) {
        self.push(name, value, unit, None, Some(budget));
    }

    /// A figure whose ratio to a floor has a budget, or is only told.
    pub(crate) fn above(
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

    /// All of them.
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

/// As many digits as say something.
pub(crate) fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else if value >= 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// New figures in the place of those of the same benchmarks.
pub(crate) fn merge(mut all: Vec<Figure>, new: Vec<Figure>) -> Vec<Figure> {
    let benchmark = |figure: &Figure| figure.name.split('.').next().unwrap_or_default().to_owned();
    let measured: Vec<String> = new.iter().map(benchmark).collect();
    all.retain(|figure| !measured.contains(&benchmark(figure)));
    all.extend(new);
    all
}

/// The value below which that share of the samples lies (nearest rank), in milliseconds.
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

/// A count as a figure.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a benchmark are far below 2^52"
)]
pub(crate) fn counted(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_that_were_taken() {
        let samples: Vec<Duration> = (1..=40).map(Duration::from_millis).collect();
        assert!((percentile_ms(&samples, 0.5) - 20.0).abs() < 1e-9);
        assert!((percentile_ms(&samples, 0.95) - 38.0).abs() < 1e-9);
        assert!((percentile_ms(&samples[..1], 0.95) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_budget_binds_the_ratio_where_there_is_a_floor() {
        let mut figures = Figures::new("x", 1);
        figures.above("a", 11.0, "s", 10.0, Some(1.05));
        figures.bounded("b", 3.0, "calls", 3.0);
        figures.told("c", 1.0, "s");
        let within: Vec<_> = figures
            .into_vec()
            .into_iter()
            .map(|figure| figure.within)
            .collect();
        assert_eq!(within, [Some(false), Some(true), None]);
    }

    #[test]
    fn another_run_of_a_benchmark_replaces_its_figures_and_no_others() {
        let one = |prefix: &'static str, value| {
            let mut figures = Figures::new(prefix, 1);
            figures.told("v", value, "s");
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
