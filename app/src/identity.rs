//! Users, their identities and their sessions.
//!
//! An identity is the pair `(issuer, subject)`. E-mail addresses are displayed only; no decision
//! depends on them.

pub mod local;
pub mod oidc;
pub mod return_to;
pub mod sessions;
pub mod token;
pub mod users;

pub use sessions::{Session, SessionRow};
pub use token::{CsrfToken, Token, TokenHash};
pub use users::User;
