//! Who somebody is: users, what their issuer calls them, and the sessions that remember them.
//!
//! An identity is `(issuer, subject)` and nothing else: an e-mail address is shown, and trusted for nothing.

pub mod local;
pub mod oidc;
pub mod return_to;
pub mod sessions;
pub mod token;
pub mod users;

pub use sessions::{Session, SessionRow};
pub use token::{CsrfToken, Token, TokenHash};
pub use users::User;
