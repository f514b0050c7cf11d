//! Questions and answers.

mod answers;
mod conversations;
mod pages;
mod support;
mod writers;
