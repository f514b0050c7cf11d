//! A deterministic OpenAI-compatible endpoint for tests, which checks what it is asked.
