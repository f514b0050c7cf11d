//! The controller of db-per-tenant: watches Tenants and reconciles each into a Neon project with its schema applied, its
//! credentials in a Secret and its connection details in the status.
//!
//! The modules below are listed in layers, from top to bottom. A module may import only from layers below its own;
//! `tests/layers.rs` checks that.

pub mod run;

mod project_listing;
mod watches;

pub mod class;
pub mod tenant;

pub mod context;

pub mod accounts;
pub mod migration_sources;

pub mod backoff;
pub mod cache;
pub mod cluster;
pub mod config;
pub mod connect;
pub mod error;
pub mod events;
pub mod health;
pub mod identity;
pub mod leadership;
pub mod migrations;
pub mod telemetry;
pub mod triggers;
