//! The controller of db-per-tenant: reconciles each Tenant into a Neon project with its schema
//! applied, its credentials in a Secret and its connection details in the status.
//!
//! The modules are listed in layers, from top to bottom and separated by blank lines. A module
//! imports only modules of lower layers; `tools/xtask/tests/architecture/layers.rs` enforces this.
//! Each kind has a folder of its own, [`tenant`], [`class`] and [`rollout`], with the same file names:
//! `observe`, `plan`, `apply`, `status` and `reconcile`.

// The process: starts the watches and the reconcilers. A command that needs no cluster.
pub mod lint_command;
pub mod run;

// Triggers of reconciliations.
mod project_listing;
mod watches;

// The kinds.
pub mod class;
pub mod rollout;
pub mod tenant;

// What all reconciliations share.
pub mod context;

// What is read per class.
pub mod accounts;
pub mod migration_sources;

// The target schema of a Tenant.
pub mod schema_assignment;

// Errors of reconciliations.
pub mod error;

// Access to the cluster and to Neon, and what limits it.
pub mod cluster;
pub mod leadership;
pub mod migration_slots;
pub mod neon;
pub mod rollout_concurrency;

// Building blocks that do not know the kinds' logic.
pub mod cache;
pub mod events;
pub mod mass_deletion;
pub mod migrations;

// Foundations.
pub mod backoff;
pub mod clock;
pub mod config;
pub mod connection_refusals;
pub mod health;
pub mod inspections;
pub mod issue;
pub mod password_refusals;
pub mod reported_problems;
pub mod secret_repairs;
pub mod telemetry;
pub mod unapplied_settings;
pub mod work_queue;

// The identity of installations and Tenants.
pub mod identity;
