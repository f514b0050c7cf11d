//! Questions and answers.

mod answer_tools;
mod answers;
mod conversations;
mod full_database;
mod list;
mod page_fixture;
mod pages;
mod privacy;
mod retrieval;
mod scope;
mod support;
mod writers;
