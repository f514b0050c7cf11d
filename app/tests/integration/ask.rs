//! Questions and answers.

mod answer_tools;
mod answers;
mod conversations;
mod full_database;
mod page_fixture;
mod pages;
mod retrieval;
mod support;
mod writers;
