//! What the app tells of itself: who it is in traces, its metrics, and whether it is alive and ready. Never content: no file's name, no
//! text, no question.

mod health;
mod metrics;

use service_kit::telemetry::Program;
use tracing::level_filters::LevelFilter;

pub use health::{Health, State};
pub use metrics::{Answers, Asking, Metrics, Refusal, Voice};

/// The app in its traces.
pub const PROGRAM: Program = Program {
    name: "chat-app",
    version: env!("CARGO_PKG_VERSION"),
    targets: &[
        ("app", LevelFilter::DEBUG),
        ("models", LevelFilter::DEBUG),
        ("pdf_text", LevelFilter::DEBUG),
    ],
    silenced: llm::SILENCED_LOG_TARGETS,
};
