//! What all requests share.

pub mod pages;
pub mod assets;
pub mod error;
pub mod cookies;
pub mod security;
pub mod client_address;
pub mod rate_limit;
pub mod streams;
pub mod app;
pub mod route;
pub mod extract;
pub mod receipts;
pub mod unavailable;
pub mod middleware;

pub use app::App;
pub use error::Problem;
