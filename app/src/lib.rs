//! The chat app: whoever signs up gets a database of their own, uploads PDFs and asks them.
