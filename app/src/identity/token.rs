//! Random tokens. The browser stores the token, the database stores its hash, and forms contain a
//! value derived from it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

const TOKEN_BYTES: usize = 32;
/// Domain separator of [`CsrfToken`]s.
const CSRF_DOMAIN: &[u8] = b"csrf\0";
/// Domain separator of receipt tokens.
const RECEIPT_DOMAIN: &[u8] = b"receipt\0";
/// Domain separator of invitation tokens.
const INVITATION_DOMAIN: &[u8] = b"invitation\0";

/// A bearer token of a session, a browser without a session, an invitation or a receipt.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; TOKEN_BYTES]);

/// The SHA-256 of a [`Token`], which the database stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid token")]
pub struct InvalidToken;

impl Token {
    pub fn random() -> Self {
        Self(rand::rng().random())
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0).into())
    }

    /// The CSRF token of forms. It does not reveal the token.
    pub fn csrf(&self) -> CsrfToken {
        let hash = Sha256::new()
            .chain_update(CSRF_DOMAIN)
            .chain_update(self.0)
            .finalize();
        CsrfToken(URL_SAFE_NO_PAD.encode(hash))
    }

    /// The token of the receipt for deleting `subject` with this session. A repeated request yields
    /// the same token, and only this session can derive it. It does not reveal the session's token.
    #[must_use]
    pub fn receipt(&self, subject: &str) -> Self {
        self.derive(RECEIPT_DOMAIN, subject.as_bytes())
    }

    /// The token of the invitation that a form with this key creates in this session. Submitting the
    /// form again yields the same token, and only this session can derive it.
    #[must_use]
    pub fn invitation(&self, request: Uuid) -> Self {
        self.derive(INVITATION_DOMAIN, request.as_bytes())
    }

    fn derive(&self, domain: &[u8], subject: &[u8]) -> Self {
        let hash = Sha256::new()
            .chain_update(domain)
            .chain_update(self.0)
            .chain_update(subject)
            .finalize();
        Self(hash.into())
    }

    /// The text form, for cookies and links.
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidToken)?;
        bytes.try_into().map(Self).map_err(|_| InvalidToken)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(..)")
    }
}

impl TokenHash {
    /// The value of a `bytea` column.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The value of the form field `csrf` and of the header `X-CSRF-Token`.
#[derive(Clone, PartialEq, Eq)]
pub struct CsrfToken(String);

impl CsrfToken {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), other.as_bytes());
        own.len() == other.len()
            && own
                .iter()
                .zip(other)
                .fold(0, |difference, (a, b)| difference | (a ^ b))
                == 0
    }
}

impl fmt::Debug for CsrfToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CsrfToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_round_trips_through_its_text() {
        let token = Token::random();
        assert_eq!(token.reveal().parse(), Ok(token));
    }

    #[test]
    fn the_csrf_token_differs_from_the_stored_hash() {
        let token = Token::random();
        assert_ne!(
            token.csrf().as_str(),
            URL_SAFE_NO_PAD.encode(token.hash().as_bytes())
        );
        assert_ne!(token.csrf().as_str(), token.reveal());
        assert!(!token.csrf().matches(Token::random().csrf().as_str()));
    }

    #[test]
    fn receipt_tokens_depend_on_subject_and_session() {
        let session = Token::random();
        assert_eq!(session.receipt("a"), session.receipt("a"));
        assert_ne!(session.receipt("a"), session.receipt("b"));
        assert_ne!(session.receipt("a"), Token::random().receipt("a"));
        assert_ne!(session.receipt("a").reveal(), session.csrf().as_str());
        let request = Uuid::from_u128(1);
        assert_eq!(session.invitation(request), session.invitation(request));
        assert_ne!(
            session.invitation(request),
            Token::random().invitation(request)
        );
    }

    #[test]
    fn debug_output_hides_tokens() {
        let token = Token::random();
        let shown = format!("{token:?} {:?}", token.csrf());
        assert!(!shown.contains(&token.reveal()) && !shown.contains(token.csrf().as_str()));
    }

    proptest! {
        #[test]
        fn parsed_tokens_round_trip(text in "\\PC{0,80}") {
            if let Ok(token) = text.parse::<Token>() {
                prop_assert_eq!(token.reveal(), text);
            }
        }

        #[test]
        fn only_the_same_csrf_token_matches(text in "\\PC{0,60}") {
            let token = Token([7; TOKEN_BYTES]).csrf();
            prop_assert_eq!(token.matches(&text), token.as_str() == text);
        }
    }
}
