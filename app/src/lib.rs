//! The chat app: each user who signs up gets a workspace with its own database, uploads PDFs and
//! asks questions about them.
//!
//! The modules are listed in layers, from top to bottom and separated by blank lines. A module
//! imports only modules of lower layers; `tools/xtask/tests/architecture/layers.rs` enforces this.

// The process: composes all of it.
pub mod run;

// Pages and API, one folder per area of the product.
pub mod web;

// From an uploaded file to searchable text.
pub mod ingestion;

// The life of workspaces.
pub mod workspaces;

// Questions and answers.
pub mod ask;

// Documents and users.
pub mod documents;
pub mod identity;

// The main database, S3, the cluster and the databases of the Tenants.
pub mod database;
pub mod objects;
pub mod tenants;

// Settings.
pub mod config;

// Notifications between processes, the durable job queue, and metrics.
pub mod events;
pub mod jobs;
pub mod telemetry;

// Types that several modules share.
pub mod domain;

pub mod ids;
