//! Decides whether search results are similar enough to the question to answer it.
//!
//! A search finds a nearest chunk for every question. Each embedding model has its own
//! scale, and therefore its own threshold. Below the threshold, the answer is that the documents do
//! not contain it. A language model also judges the text itself, so the threshold only has to
//! exclude off-topic questions.

/// all-MiniLM-L6-v2, measured on technical manuals chunked by this crate: off-topic questions score
/// 0.14 to 0.21, answerable ones 0.42 to 0.67, and one in another language than the manual 0.33.
/// The threshold is closer to the former, because missing an answer is worse than quoting an
/// unnecessary page.
const MINI_LM: f32 = 0.27;
/// text-embedding-3-small, not measured here. According to published measurements, unrelated texts
/// score 0.05 to 0.15 and a question and its passage 0.35 to 0.65, similar to the larger model of
/// the family. The threshold is halfway to the lowest of the latter.
const TEXT_EMBEDDING_3: f32 = 0.2;
/// text-embedding-ada-002 places all texts in a narrow cone: unrelated texts score 0.68 to 0.75, as
/// reported by many users and by OpenAI.
const ADA_002: f32 = 0.76;
/// Unknown models: only clearly dissimilar texts are excluded.
const UNKNOWN: f32 = 0.05;

/// Similarity threshold of an embedding model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Relevance {
    threshold: f32,
}

impl Relevance {
    /// Returns the threshold of a model by name.
    pub fn of_model(name: &str) -> Self {
        let threshold = if name.contains("MiniLM-L6") {
            MINI_LM
        } else if name.starts_with("text-embedding-3-") {
            TEXT_EMBEDDING_3
        } else if name.starts_with("text-embedding-ada-002") {
            ADA_002
        } else {
            UNKNOWN
        };
        Self { threshold }
    }

    /// Minimum cosine similarity of a relevant chunk.
    pub fn threshold(self) -> f32 {
        self.threshold
    }

    /// Whether a chunk with this cosine similarity to the question may be relevant.
    pub fn is_near(self, cosine_similarity: f32) -> bool {
        cosine_similarity >= self.threshold
    }
}
