//! Questions and answers in numbers: how many, how they end, how long people wait, what they cost. Never a word of them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Outcome;

/// Bounds of what answers take, and their first words. In seconds.
const ANSWER_BUCKETS_S: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 120.0];

/// What becomes of a question when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// It is written down, and an answer is to come.
    Asked,
    /// It is empty or too long, or its document or conversation is not there.
    Invalid,
    /// As many answers are being written in the workspace as may be.
    TooMany,
    /// The workspace's database cannot be used.
    Unavailable,
}

impl Asking {
    fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Invalid => "invalid",
            Self::TooMany => "too_many",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Who speaks in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// A model.
    Model,
    /// The documents themselves, quoted.
    Extracts,
}

impl Voice {
    fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Extracts => "extracts",
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
    by: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Tokens {
    kind: &'static str,
}

/// The families of questions and answers.
#[derive(Debug)]
pub struct Answers {
    questions: Family<Outcome, Counter>,
    ended: Family<Ended, Counter>,
    first_words_seconds: Histogram,
    seconds: Histogram,
    tokens: Family<Tokens, Counter>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            questions: Family::default(),
            ended: Family::default(),
            first_words_seconds: Histogram::new(ANSWER_BUCKETS_S),
            seconds: Histogram::new(ANSWER_BUCKETS_S),
            tokens: Family::default(),
        }
    }
}

impl Answers {
    /// Gives each family its name and its help.
    pub(super) fn register(&self, own: &mut Registry) {
        own.register(
            "questions",
            "Questions, by what became of them: asked, or why they were refused",
            self.questions.clone(),
        );
        own.register(
            "answers",
            "Answers that this process wrote, by how they ended (complete, not_found, stopped, left to another process, lost to one, \
             or the reason why they failed) and by who speaks: a model, or extracts of the documents",
            self.ended.clone(),
        );
        own.register_with_unit(
            "answer_first_words",
            "How long answers of a model took until their first words, from when their writing began",
            Unit::Seconds,
            self.first_words_seconds.clone(),
        );
        own.register_with_unit(
            "answer",
            "How long answers took to their end, from when their writing began",
            Unit::Seconds,
            self.seconds.clone(),
        );
        own.register(
            "answer_tokens",
            "Tokens of answers as the model's endpoint counts them: of prompts, and of answers",
            self.tokens.clone(),
        );
    }

    /// Somebody asked, or tried to.
    pub fn question(&self, asking: Asking) {
        let outcome = asking.as_str();
        self.questions.get_or_create(&Outcome { outcome }).inc();
    }

    /// The writing of an answer came to an end.
    pub fn ended(&self, outcome: &'static str, by: Voice, took: Duration) {
        let by = by.as_str();
        self.ended.get_or_create(&Ended { outcome, by }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// A model's answer shows its first words.
    pub fn first_words(&self, took: Duration) {
        self.first_words_seconds.observe(took.as_secs_f64());
    }

    /// What the model's endpoint says that an answer cost.
    pub fn tokens(&self, prompt: u64, answer: u64) {
        for (kind, count) in [("prompt", prompt), ("answer", answer)] {
            self.tokens.get_or_create(&Tokens { kind }).inc_by(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn questions_and_answers_show_in_numbers() {
        let metrics = Metrics::new();
        metrics.answers.question(Asking::Asked);
        metrics.answers.question(Asking::TooMany);
        metrics.answers.first_words(Duration::from_millis(700));
        metrics
            .answers
            .ended("complete", Voice::Model, Duration::from_secs(3));
        metrics.answers.tokens(900, 40);
        let text = metrics.encode().expect("text");
        for line in [
            r#"chat_app_questions_total{outcome="asked"} 1"#,
            r#"chat_app_questions_total{outcome="too_many"} 1"#,
            r#"chat_app_answers_total{outcome="complete",by="model"} 1"#,
            r#"chat_app_answer_first_words_seconds_bucket{le="1.0"} 1"#,
            r#"chat_app_answer_first_words_seconds_bucket{le="0.5"} 0"#,
            "chat_app_answer_seconds_count 1",
            r#"chat_app_answer_tokens_total{kind="prompt"} 900"#,
            r#"chat_app_answer_tokens_total{kind="answer"} 40"#,
        ] {
            assert!(text.lines().any(|l| l == line), "missing: {line}\n{text}");
        }
    }
}
