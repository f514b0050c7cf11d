//! Asks the questions and compares the pages of the answers with the expected ones.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use app::ask::retrieve::{self, SearchQuery};
use llm::{LOCAL_MODEL_NAME, Purpose};
use pgvector::Vector;
use rag::Fusion;
use sqlx::PgPool;

use crate::index::{Document, Model, pages_by_file_name};
use crate::questions::Question;

/// How chunks are ranked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Method {
    Meaning,
    Words,
    Both(Fusion),
}

impl Method {
    pub(crate) const SHIPPED: Self = Self::Both(Fusion::TUNED);

    pub(crate) fn name(self) -> String {
        match self {
            Self::Meaning => "vectors".to_owned(),
            Self::Words => "words".to_owned(),
            both if both == Self::SHIPPED => "fused".to_owned(),
            Self::Both(fusion) => format!("{:.2} + {:.2}", fusion.meaning, fusion.words),
        }
    }
}

/// The answer to a question.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The place of the first quote with an expected page, from 1. `None` if there is none, and for
    /// off-topic questions.
    pub(crate) rank: Option<usize>,
    /// File names and pages of the quotes.
    pub(crate) quotes: Vec<(String, u32)>,
    /// Whether the answer is that the documents do not contain it.
    pub(crate) is_refused: bool,
    pub(crate) relevance: f32,
    pub(crate) elapsed: Duration,
}

/// Asks the questions.
pub(crate) async fn ask(
    database: &PgPool,
    model: &mut Model,
    questions: &[Question],
    method: Method,
) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for question in questions {
        let vectors = model.embed(&[&question.text], Purpose::Question).await?;
        let vector = vectors.into_iter().next().map(Vector::from);
        let embedding = vector.map(|vector| (LOCAL_MODEL_NAME.to_owned(), vector));
        let query = match method {
            Method::Meaning => SearchQuery {
                embedding,
                terms: Vec::new(),
                documents: Vec::new(),
                fusion: Fusion::MEANING_ONLY,
            },
            Method::Words => SearchQuery {
                embedding: None,
                terms: rag::terms(&question.text),
                documents: Vec::new(),
                fusion: Fusion::WORDS_ONLY,
            },
            Method::Both(fusion) => SearchQuery {
                embedding,
                terms: rag::terms(&question.text),
                documents: Vec::new(),
                fusion,
            },
        };
        let started = Instant::now();
        let found = retrieve::search(database, &query).await?;
        let elapsed = started.elapsed();
        let quotes: Vec<(String, u32)> = rag::extractive_answer(&question.text, &found.passages)
            .into_iter()
            .zip(&found.titles)
            .map(|(excerpt, title)| (title.clone(), excerpt.page))
            .collect();
        let rank = question.answer.as_ref().and_then(|answer| {
            let at = quotes.iter().position(|(document, page)| {
                *document == answer.document && answer.pages.contains(page)
            });
            at.map(|at| at + 1)
        });
        outcomes.push(Outcome {
            rank,
            is_refused: found.passages.is_empty() || !found.relevance.is_sufficient(),
            relevance: found.relevance.value(),
            quotes,
            elapsed,
        });
    }
    Ok(outcomes)
}

/// Checks that the documents are the versions for which the questions were written.
pub(crate) fn check_answers(documents: &[Document], questions: &[Question]) -> Result<()> {
    let pages = pages_by_file_name(documents);
    let spaceless = |text: &str| -> String { text.split_whitespace().collect() };
    let missing: Vec<String> = questions
        .iter()
        .filter_map(|question| question.answer.as_ref())
        .filter(|answer| {
            let page = answer.pages[0] as usize - 1;
            !pages
                .get(answer.document.as_str())
                .and_then(|pages| pages.get(page))
                .is_some_and(|page| spaceless(page).contains(&spaceless(&answer.text)))
        })
        .map(|answer| {
            format!(
                "{} page {}: {}",
                answer.document, answer.pages[0], answer.text
            )
        })
        .collect();
    ensure!(
        missing.is_empty(),
        "the documents differ from those for which the questions were written; this text is missing:\n{}",
        missing.join("\n")
    );
    Ok(())
}

/// Counts of outcomes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Summary {
    pub(crate) questions: usize,
    /// Answerable questions whose first quote has an expected page.
    pub(crate) at_1: usize,
    /// The same within the first four and five quotes.
    pub(crate) at_4: usize,
    pub(crate) at_5: usize,
    /// Answerable questions that are refused.
    pub(crate) not_found: usize,
    pub(crate) off_topic: usize,
    pub(crate) off_topic_refused: usize,
}

impl Summary {
    pub(crate) fn of<'a>(outcomes: impl Iterator<Item = (&'a Question, &'a Outcome)>) -> Self {
        let mut summary = Self::default();
        for (question, outcome) in outcomes {
            if question.answer.is_none() {
                summary.off_topic += 1;
                summary.off_topic_refused += usize::from(outcome.is_refused);
                continue;
            }
            let within = |limit: usize| usize::from(outcome.rank.is_some_and(|rank| rank <= limit));
            summary.questions += 1;
            summary.at_1 += within(1);
            summary.at_4 += within(4);
            summary.at_5 += within(5);
            summary.not_found += usize::from(outcome.is_refused);
        }
        summary
    }
}
