//! The pages' HTTP: one table of routes, one guard before every one of them, thin handlers behind it.
//!
//! A request's way: `service_kit::http` (connections) -> `outer` (its id, span, metrics, headers, how errors look) -> `guard` (limits,
//! session, CSRF, access, body) -> a handler in [`handlers`], which takes what the guard found through [`extract`].

pub mod assets;
pub mod cookies;
pub mod error;
pub mod events;
pub mod extract;
mod guard;
pub mod handlers;
pub mod limits;
mod outer;
pub mod return_to;
pub mod router;
pub mod security;
pub mod state;
pub mod streams;

pub use error::Problem;
pub use state::App;
