//! Ranks search results by meaning and by words, and decides whether they are similar enough to the
//! question to answer it.
//!
//! Meaning is the cosine similarity of the embeddings, on a scale from 0 for unrelated texts to 1
//! for a question and the passage that answers it; each embedding model has its own. Words is the
//! share of the question's terms that a chunk contains, weighted by how specific they are in the
//! documents, and more than that if they occur repeatedly. A term that no document contains is the
//! most specific one, so it counts against all chunks.
//!
//! A search finds a nearest chunk for every question. If none is relevant, the answer is that the
//! documents do not contain it. A language model also judges the text itself, so this only has to
//! exclude off-topic questions. The figures are in `docs/retrieval.md`.

/// How much meaning and words count in the score of a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fusion {
    pub meaning: f32,
    pub words: f32,
}

impl Fusion {
    /// Tuned on one half of the questions in `tests/retrieval`.
    pub const TUNED: Self = Self {
        meaning: 0.5,
        words: 0.5,
    };
    pub const MEANING_ONLY: Self = Self {
        meaning: 1.0,
        words: 0.0,
    };
    pub const WORDS_ONLY: Self = Self {
        meaning: 0.0,
        words: 1.0,
    };
}

impl Default for Fusion {
    fn default() -> Self {
        Self::TUNED
    }
}

/// all-MiniLM-L6-v2, measured on technical manuals chunked by this crate.
const MINI_LM: Scale = Scale {
    unrelated: 0.15,
    answer: 0.65,
};
/// text-embedding-3-small, not measured here. According to published measurements, unrelated texts
/// score 0.05 to 0.15 and a question and its passage 0.35 to 0.65, similar to the larger model of
/// the family.
const TEXT_EMBEDDING_3: Scale = Scale {
    unrelated: 0.1,
    answer: 0.6,
};
/// text-embedding-ada-002 places all texts in a narrow cone: unrelated texts score 0.68 to 0.75, as
/// reported by many users and by OpenAI.
const ADA_002: Scale = Scale {
    unrelated: 0.7,
    answer: 0.88,
};
/// Unknown models: only clearly dissimilar texts are excluded.
const UNKNOWN: Scale = Scale {
    unrelated: -0.3,
    answer: 0.6,
};

/// The cosine similarities of an embedding model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Of a question and unrelated texts.
    pub unrelated: f32,
    /// Of a question and a passage that answers it.
    pub answer: f32,
}

impl Scale {
    /// Returns the scale of a model by name.
    pub fn of_model(name: &str) -> Self {
        if name.contains("MiniLM-L6") {
            MINI_LM
        } else if name.starts_with("text-embedding-3-") {
            TEXT_EMBEDDING_3
        } else if name.starts_with("text-embedding-ada-002") {
            ADA_002
        } else {
            UNKNOWN
        }
    }

    /// Returns the meaning of a cosine similarity, from 0 to 1.
    pub fn meaning(self, cosine_similarity: f32) -> f32 {
        ((cosine_similarity - self.unrelated) / (self.answer - self.unrelated)).clamp(0.0, 1.0)
    }
}

/// How likely a chunk answers the question: the mean of meaning and words, from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Relevance(f32);

impl Relevance {
    /// Tuned on one half of the questions in `tests/retrieval`.
    pub const MIN: Self = Self(0.4);
    /// Minimum share of the question's terms in a relevant chunk without an embedding.
    const MIN_WORDS: f32 = 0.5;

    /// `meaning` is `None` if the chunk has no embedding.
    pub fn new(meaning: Option<f32>, words: f32) -> Self {
        let words = words.min(1.0);
        Self(match meaning {
            Some(meaning) => f32::midpoint(meaning, words),
            None => words * Self::MIN.0 / Self::MIN_WORDS,
        })
    }

    /// Whether the chunk may answer the question.
    pub fn is_sufficient(self) -> bool {
        self >= Self::MIN
    }

    pub fn value(self) -> f32 {
        self.0
    }
}
