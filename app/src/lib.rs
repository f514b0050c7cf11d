//! The chat app: whoever signs up gets a database of their own, uploads PDFs and asks them.
//!
//! Folder order is the order of the data: [`ids`] name things; the rest follows a person from sign-in to an answer.

pub mod ask;
pub mod config;
pub mod database;
pub mod documents;
pub mod identity;
pub mod ids;
pub mod ingestion;
pub mod objects;
pub mod pages;
pub mod run;
pub mod telemetry;
pub mod tenants;
pub mod web;
pub mod workspaces;
