//! The chat app: each user who signs up gets a workspace with its own database, uploads PDFs and
//! asks questions about them.
//!
//! The modules form layers. A module imports only from modules above it in this list;
//! `tests/layers.rs` checks every import.
//!
//! 1. [`ids`], [`domain`]: ids, and types that several modules share.
//! 2. [`telemetry`], [`events`], [`jobs`]: metrics, notifications between processes, and the
//!    durable job queue.
//! 3. [`config`], [`tenants`], [`database`], [`objects`]: the cluster and the tenants' databases,
//!    settings, the main database, S3.
//! 4. [`identity`], [`documents`], [`workspaces`], [`ask`], [`ingestion`]: the domain.
//! 5. [`web`]: pages and API, one folder per area of the product.
//! 6. [`run`]: composes all of it into a process.

pub mod domain;
pub mod ids;

pub mod events;
pub mod jobs;
pub mod telemetry;

pub mod config;
pub mod database;
pub mod objects;
pub mod tenants;

pub mod ask;
pub mod documents;
pub mod identity;
pub mod ingestion;
pub mod workspaces;

pub mod run;
pub mod web;
