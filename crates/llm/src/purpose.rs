//! Whether a user waits for a call.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Embeds a document. Waits for the quota and is retried patiently.
    Document,
    /// Embeds a question while a user waits. Has priority and fails early.
    Question,
}
