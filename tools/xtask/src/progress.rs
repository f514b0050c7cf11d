//! What a person sees while something takes long: the step, what it is doing, and the time it has taken.
//!
//! On a terminal one line is redrawn every second. Elsewhere (a log, CI) a line is added every 30 seconds, so that
//! nobody takes a long step for a hung one. Everything goes to standard error: standard output belongs to results.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

/// Between two drawings on a terminal.
const REDRAW: Duration = Duration::from_secs(1);
/// Between two lines in a log.
const LOG_LINE: Duration = Duration::from_secs(30);
/// Widest line on a terminal: longer ones would wrap, and a wrapped line cannot be redrawn.
const WIDTH_MAX: usize = 100;

/// One long step.
#[derive(Debug)]
pub struct Progress {
    step: String,
    started: Instant,
    drawn: Instant,
    terminal: bool,
    on_screen: bool,
}

impl Progress {
    /// Begins a step. Nothing is shown until the first [`Progress::tick`] that is due, so short steps stay silent.
    pub fn new(step: impl Into<String>) -> Self {
        let now = Instant::now();
        Self {
            step: step.into(),
            started: now,
            drawn: now,
            terminal: stderr().is_terminal(),
            on_screen: false,
        }
    }

    /// Shows the step with `detail` and the time, if a line is due. Cheap enough to call often.
    pub fn tick(&mut self, detail: &str) {
        let period = if self.terminal { REDRAW } else { LOG_LINE };
        if self.drawn.elapsed() < period {
            return;
        }
        self.drawn = Instant::now();
        let separator = if detail.is_empty() { "" } else { ": " };
        let line = format!(
            "  {}{separator}{detail} ({})",
            self.step,
            elapsed(self.started.elapsed())
        );
        if self.terminal {
            let line: String = line.chars().take(WIDTH_MAX).collect();
            let _ = write!(stderr(), "\r\x1b[2K{line}");
            let _ = stderr().flush();
            self.on_screen = true;
        } else {
            let _ = writeln!(stderr(), "{line}");
        }
    }

    /// The time since the step began.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.on_screen {
            let _ = write!(stderr(), "\r\x1b[2K");
        }
    }
}

/// Prints one line for people.
pub fn say(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// A duration as people read it: `0.4 s`, `38 s`, `7 min 05 s`.
pub fn elapsed(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_naturally() {
        for (ms, text) in [
            (412, "0.4 s"),
            (9_940, "9.9 s"),
            (38_900, "38 s"),
            (425_000, "7 min 05 s"),
        ] {
            assert_eq!(elapsed(Duration::from_millis(ms)), text);
        }
    }
}
