//! Telemetry: the app's identity in traces, its metrics, and its liveness and readiness. Never
//! contains content: no file names, document text or questions.

mod health;
mod metrics;

use service_kit::telemetry::Program;
use tracing::level_filters::LevelFilter;

pub use health::{Health, ProcessState};
pub use metrics::{
    AnswerSource, Answers, JobCounts, Jobs, Metrics, QuestionOutcome, RejectionReason,
};

/// The app's identity in traces.
pub const PROGRAM: Program = Program {
    name: "chat-app",
    version: env!("CARGO_PKG_VERSION"),
    targets: &[
        ("app", LevelFilter::DEBUG),
        ("llm", LevelFilter::DEBUG),
        ("pdf_text", LevelFilter::DEBUG),
    ],
    silenced: llm::SILENCED_LOG_TARGETS,
};
