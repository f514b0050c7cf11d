//! What all requests share.

// The modules are listed in layers, as in `lib.rs`.
pub mod middleware;

pub mod extract;
pub mod receipts;
pub mod route;
pub mod unavailable;

pub mod app;

pub mod rate_limit;
pub mod security;
pub mod streams;

pub mod client_address;
pub mod cookies;
pub mod error;

pub mod pages;

pub mod assets;

pub use app::App;
pub use error::Problem;
