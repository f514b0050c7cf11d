//! What people see: pages and fragments as pure functions of plain values.
//!
//! Handlers fill the structs here and get [`maud::Markup`] back; nothing in this folder reads a database, a clock or a request. `Chrome`
//! is what every page has around it; each page has a file with its view structs, its function `page` and the fragments that are streamed
//! into it. Text is escaped by maud. No page holds a script or a style of its own: the Content-Security-Policy would refuse it.

pub mod account;
pub mod chat;
pub mod document;
pub mod documents;
pub mod format;
mod icons;
pub mod invitation;
pub mod landing;
mod layout;
pub mod members;
pub mod new_workspace;
mod parts;
pub mod problem;
mod prose;
pub mod provisioning;
pub mod receipt;
pub mod settings;
pub mod sign_in;

pub use layout::{Chrome, Notice, PersonView, Section, Theme, WorkspaceLink, layout};
pub use parts::{Choice, Role};

/// What the product calls itself.
pub const PRODUCT: &str = "Folio";
