//! Pages and API: one folder per area of the product, each with its routes, handlers and pages.
//!
//! [`shared`] holds what all requests share: the application state, route policies, middleware, extractors, errors, rate limits and the
//! page layout. The areas import from `shared` and from the domain modules, never from each other. [`router`] assembles the areas' routes.

// The modules are listed in layers, as in `lib.rs`.
pub mod router;

pub mod chat;
pub mod documents;
pub mod home;
pub mod identity;
pub mod workspaces;

pub mod shared;
