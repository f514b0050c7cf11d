//! Whether what was found is near enough to answer from.
//!
//! The nearest chunk is always found, whatever is asked. Each embedding model has a scale of its own, so each has a threshold of its own:
//! below it the honest answer is that the documents do not say. Where a language model answers, it judges again on the words, so that a
//! threshold is to stop what is off the topic and no more.

/// all-MiniLM-L6-v2, measured over technical manuals cut by this crate: questions off their topic came to .14 to .21, answerable ones to .42
/// to .67, and one in another language than the manual's to .33. Nearer to the former than to the latter, since to miss an answer is
/// worse than to quote a page too many.
const MINI_LM: f32 = 0.27;
/// text-embedding-3-small. Not measured here. Texts that have nothing in common come to .05 to .15 with it and a question and its
/// passage to .35 to .65 in what others report, much as with the larger model of its family; half the way up to the least of these.
const TEXT_EMBEDDING_3: f32 = 0.2;
/// text-embedding-ada-002 has all texts in a narrow cone: what is unrelated comes to .68 to .75, as reported by many, its maker included.
const ADA_002: f32 = 0.76;
/// A model that nothing is known of: only what points away from the question is refused.
const UNKNOWN: f32 = 0.05;

/// What counts as near to a question for one embedding model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Relevance {
    threshold: f32,
}

impl Relevance {
    /// For a model, by its name.
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

    /// The cosine similarity from which on a chunk may have something to say.
    pub fn threshold(self) -> f32 {
        self.threshold
    }

    /// Whether a chunk of this cosine similarity to the question may have something to say to it.
    pub fn is_near(self, cosine_similarity: f32) -> bool {
        cosine_similarity >= self.threshold
    }
}
