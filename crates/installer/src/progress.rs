//! Progress of long steps, on standard error.
//!
//! Steps that run at the same time share one line. On a terminal the line is redrawn every second;
//! elsewhere (a log, CI) it is printed every 30 seconds. Standard output is left to results.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const REDRAW_INTERVAL: Duration = Duration::from_secs(1);
const LOG_LINE_INTERVAL: Duration = Duration::from_secs(30);
/// In characters. A longer line could wrap, and a wrapped line cannot be redrawn.
const MAX_LINE_WIDTH: usize = 100;

/// The line that all steps of this process share.
static LINE: Mutex<Line> = Mutex::new(Line {
    steps: Vec::new(),
    next_id: 0,
    drawn: None,
    on_screen: false,
});

struct Line {
    steps: Vec<ActiveStep>,
    next_id: u64,
    drawn: Option<Instant>,
    on_screen: bool,
}

struct ActiveStep {
    id: u64,
    title: String,
    detail: String,
    started: Instant,
}

/// A long step. Dropping it removes it from the line.
#[derive(Debug)]
pub struct Progress {
    id: u64,
    started: Instant,
}

impl Progress {
    /// Begins a step. Nothing is printed until a [`Progress::tick`] is due, so short steps print
    /// nothing.
    pub fn new(title: impl Into<String>) -> Self {
        let started = Instant::now();
        let mut line = line();
        let id = line.next_id;
        line.next_id += 1;
        if line.steps.is_empty() {
            line.drawn = Some(started);
        }
        line.steps.push(ActiveStep {
            id,
            title: title.into(),
            detail: String::new(),
            started,
        });
        Self { id, started }
    }

    /// Sets the step's detail, and draws the line if it is due.
    pub fn tick(&mut self, detail: &str) {
        let mut line = line();
        if let Some(step) = line.steps.iter_mut().find(|step| step.id == self.id) {
            detail.clone_into(&mut step.detail);
        }
        line.draw_if_due();
    }

    /// The time since the step began.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let mut line = line();
        line.steps.retain(|step| step.id != self.id);
        if line.steps.is_empty() {
            line.clear();
        }
    }
}

impl Line {
    fn draw_if_due(&mut self) {
        let terminal = stderr().is_terminal();
        let interval = if terminal {
            REDRAW_INTERVAL
        } else {
            LOG_LINE_INTERVAL
        };
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < interval) {
            return;
        }
        self.drawn = Some(Instant::now());
        let text = self.text();
        if terminal {
            let text: String = text.chars().take(MAX_LINE_WIDTH).collect();
            let _ = write!(stderr(), "\r\x1b[2K{text}");
            let _ = stderr().flush();
            self.on_screen = true;
        } else {
            let _ = writeln!(stderr(), "{text}");
        }
    }

    /// Every step with its detail, and the time since the oldest of them began.
    fn text(&self) -> String {
        let steps: Vec<String> = self
            .steps
            .iter()
            .map(|step| {
                if step.detail.is_empty() {
                    step.title.clone()
                } else {
                    format!("{}: {}", step.title, step.detail)
                }
            })
            .collect();
        let oldest = self.steps.iter().map(|step| step.started.elapsed()).max();
        format!(
            "  [{}] {}",
            elapsed(oldest.unwrap_or_default()),
            steps.join(" · ")
        )
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.on_screen) {
            let _ = write!(stderr(), "\r\x1b[2K");
        }
    }
}

/// A panic elsewhere cannot leave the line half written.
fn line() -> MutexGuard<'static, Line> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints a message on a line of its own.
pub fn say(message: &str) {
    line().clear();
    let _ = writeln!(stderr(), "{message}");
}

/// Formats a duration: `0.4 s`, `38 s`, `7 min 05 s`.
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
    fn durations_are_formatted_with_the_precision_that_matters() {
        for (ms, text) in [
            (412, "0.4 s"),
            (9_940, "9.9 s"),
            (38_900, "38 s"),
            (425_000, "7 min 05 s"),
        ] {
            assert_eq!(elapsed(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn steps_that_run_at_the_same_time_share_one_line() {
        let mut compile = Progress::new("compile");
        let download = Progress::new("download");
        compile.tick("12/40 crates");
        let text = line().text();
        assert!(text.contains("compile: 12/40 crates"), "{text}");
        drop((compile, download));
        assert!(!line().text().contains("compile"));
    }
}
