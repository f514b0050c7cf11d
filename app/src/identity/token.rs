//! Random tokens: the browser holds the token, the database its hash, and forms something that is derived from it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

/// Bytes of chance in a token.
const TOKEN_BYTES: usize = 32;
/// What sets a [`CsrfToken`] apart from every other hash of a token.
const CSRF_DOMAIN: &[u8] = b"csrf\0";
/// What sets a receipt's token apart from every other hash of a token.
const RECEIPT_DOMAIN: &[u8] = b"receipt\0";

/// A secret that lets in whoever has it: of a session, a sign-in under way, an invitation, a receipt.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; TOKEN_BYTES]);

/// What the database keeps of a [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

/// A text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a token")]
pub struct InvalidToken;

impl Token {
    /// A new one, by chance.
    pub fn random() -> Self {
        Self(rand::rng().random())
    }

    /// What the database keeps.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0).into())
    }

    /// What a form has to bring to be believed to come from a page of ours. Whoever reads it learns nothing of the token.
    pub fn csrf(&self) -> CsrfToken {
        let hash = Sha256::new()
            .chain_update(CSRF_DOMAIN)
            .chain_update(self.0)
            .finalize();
        CsrfToken(URL_SAFE_NO_PAD.encode(hash))
    }

    /// The token of the receipt for removing `subject`, asked for with this token's session. Asking twice leads to the same receipt, without
    /// anything kept for that, and to nobody but who asked. Whoever reads it learns nothing of the session.
    #[must_use]
    pub fn receipt(&self, subject: &str) -> Self {
        let hash = Sha256::new()
            .chain_update(RECEIPT_DOMAIN)
            .chain_update(self.0)
            .chain_update(subject)
            .finalize();
        Self(hash.into())
    }

    /// As it stands in a cookie or a link.
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
    /// For a `bytea` column.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a form brings in its field `csrf`, and a script in `X-CSRF-Token`.
#[derive(Clone, PartialEq, Eq)]
pub struct CsrfToken(String);

impl CsrfToken {
    /// As it stands in a form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a form brought it. Takes the same time wherever the two differ.
    pub fn matches(&self, brought: &str) -> bool {
        let (own, brought) = (self.0.as_bytes(), brought.as_bytes());
        own.len() == brought.len()
            && own
                .iter()
                .zip(brought)
                .fold(0, |differing, (a, b)| differing | (a ^ b))
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
    fn a_token_is_read_back_from_its_text() {
        let token = Token::random();
        assert_eq!(token.reveal().parse(), Ok(token));
    }

    #[test]
    fn what_a_form_brings_and_what_the_database_keeps_tell_nothing_of_each_other() {
        let token = Token::random();
        assert_ne!(
            token.csrf().as_str(),
            URL_SAFE_NO_PAD.encode(token.hash().as_bytes())
        );
        assert_ne!(token.csrf().as_str(), token.reveal());
        assert!(!token.csrf().matches(Token::random().csrf().as_str()));
    }

    #[test]
    fn a_receipt_is_of_one_subject_and_one_session() {
        let session = Token::random();
        assert_eq!(session.receipt("a"), session.receipt("a"));
        assert_ne!(session.receipt("a"), session.receipt("b"));
        assert_ne!(session.receipt("a"), Token::random().receipt("a"));
        assert_ne!(session.receipt("a").reveal(), session.csrf().as_str());
    }

    #[test]
    fn debug_output_shows_no_token() {
        let token = Token::random();
        let shown = format!("{token:?} {:?}", token.csrf());
        assert!(!shown.contains(&token.reveal()) && !shown.contains(token.csrf().as_str()));
    }

    proptest! {
        #[test]
        fn only_texts_of_the_right_length_and_alphabet_are_tokens(text in "\\PC{0,80}") {
            if let Ok(token) = text.parse::<Token>() {
                prop_assert_eq!(token.reveal(), text);
            }
        }

        #[test]
        fn a_form_is_believed_only_with_the_very_token(text in "\\PC{0,60}") {
            let token = Token([7; TOKEN_BYTES]).csrf();
            prop_assert_eq!(token.matches(&text), token.as_str() == text);
        }
    }
}
