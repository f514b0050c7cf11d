//! Embeddings and answers, from an OpenAI-compatible endpoint or a model on this machine.
