//! The pure part of retrieval: chunks, passages, prompts and citations. No IO, no clock.
