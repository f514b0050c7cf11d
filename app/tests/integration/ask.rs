//! Questions and answers.

mod answers;
mod pages;
mod support;
mod writers;
