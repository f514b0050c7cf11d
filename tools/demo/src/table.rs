//! The live table of Tenants: redrawn on a terminal, one line per change elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, Instant};

use crds::{ConditionType, Tenant, find_condition, is_true};
use installer::progress::elapsed;

/// In characters. `kubectl describe` shows the whole message.
const MAX_MESSAGE_CHARS: usize = 60;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    phase: String,
    ready: bool,
    schema: String,
    message: String,
}

#[derive(Debug)]
pub(crate) struct Table {
    started: Instant,
    terminal: bool,
    rows: BTreeMap<String, Row>,
    ready_after: BTreeMap<String, Duration>,
    lines_drawn: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            terminal: stdout().is_terminal(),
            rows: BTreeMap::new(),
            ready_after: BTreeMap::new(),
            lines_drawn: 0,
        }
    }

    /// Prints the changes since the last call.
    pub(crate) fn show(&mut self, tenants: &[Tenant]) {
        for tenant in tenants {
            let name = tenant.metadata.name.clone().unwrap_or_default();
            let row = row(tenant);
            if row.ready {
                self.ready_after
                    .entry(name.clone())
                    .or_insert_with(|| self.started.elapsed());
            }
            if self.rows.get(&name) != Some(&row) && !self.terminal {
                let _ = writeln!(
                    stdout(),
                    "  {:>7}  {}",
                    elapsed(self.started.elapsed()),
                    line(&name, &row)
                );
            }
            self.rows.insert(name, row);
        }
        if self.terminal {
            self.redraw();
        }
    }

    /// Whether at least `count` Tenants are ready.
    pub(crate) fn all_ready(&self, count: usize) -> bool {
        self.rows.values().filter(|row| row.ready).count() >= count
    }

    /// The time since the table was created.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn redraw(&mut self) {
        let mut lines = vec![format!(
            "\x1b[1m{:>7}  {:<10} {:<13} {:<6} {:<7}\x1b[0m",
            "TIME", "TENANT", "PHASE", "READY", "SCHEMA"
        )];
        lines.extend(self.rows.iter().map(|(name, row)| {
            let time = self
                .ready_after
                .get(name)
                .copied()
                .unwrap_or_else(|| self.started.elapsed());
            format!("{:>7}  {}", elapsed(time), line(name, row))
        }));
        // Moves the cursor up to the table's first line and overwrites each line. Wrapping is
        // disabled meanwhile, because a wrapped line would take two.
        let up = if self.lines_drawn > 0 {
            format!("\x1b[{}A", self.lines_drawn)
        } else {
            String::new()
        };
        let text = lines.iter().fold(format!("{up}\x1b[?7l"), |text, line| {
            text + "\x1b[2K  " + line + "\n"
        }) + "\x1b[?7h";
        self.lines_drawn = self.rows.len() + 1;
        let _ = stdout().write_all(text.as_bytes());
        let _ = stdout().flush();
    }
}

fn line(name: &str, row: &Row) -> String {
    let ready = if row.ready { "yes" } else { "no" };
    let text = format!(
        "{name:<10} {:<13} {ready:<6} {:<7} {}",
        row.phase, row.schema, row.message
    );
    text.trim_end().to_owned()
}

fn row(tenant: &Tenant) -> Row {
    let status = tenant.status.clone().unwrap_or_default();
    let ready = is_true(&status.conditions, ConditionType::Ready)
        && status.observed_generation == tenant.metadata.generation;
    let condition = find_condition(&status.conditions, ConditionType::Stalled)
        .or_else(|| find_condition(&status.conditions, ConditionType::Ready));
    let message = condition
        .filter(|_| !ready)
        .map(|condition| shorten(&condition.message))
        .unwrap_or_default();
    Row {
        phase: status
            .phase
            .map_or_else(|| "-".into(), |phase| format!("{phase:?}")),
        ready,
        schema: status
            .schema
            .and_then(|schema| schema.version)
            .map_or_else(|| "-".into(), |version| version.to_string()),
        message,
    }
}

fn shorten(message: &str) -> String {
    let mut text: String = message.chars().take(MAX_MESSAGE_CHARS).collect();
    if text.len() < message.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(status: &serde_json::Value) -> Tenant {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "dbpertenant.dev/v1alpha1", "kind": "Tenant",
            "metadata": {"name": "acme", "generation": 2}, "spec": {}, "status": status.clone(),
        }))
        .expect("a Tenant")
    }

    fn condition(kind: &str, message: &str) -> serde_json::Value {
        serde_json::json!({"type": kind, "status": "True", "reason": "R", "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn a_tenant_is_ready_only_if_its_status_is_current() {
        let ready = |generation: i64| {
            row(&tenant(
                &serde_json::json!({"observedGeneration": generation, "conditions": [condition("Ready", "")]}),
            ))
        };
        assert!(ready(2).ready);
        assert!(!ready(1).ready, "the status is of an older generation");
    }

    #[test]
    fn a_stalled_tenants_row_has_the_conditions_message() {
        let stalled = row(&tenant(
            &serde_json::json!({"phase": "Stalled", "conditions": [condition("Stalled", "set the API key")]}),
        ));
        assert_eq!(
            (stalled.phase.as_str(), stalled.message.as_str()),
            ("Stalled", "set the API key")
        );
    }
}
