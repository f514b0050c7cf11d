//! Signing in with an OpenID provider: the authorization code flow with PKCE, state and nonce.
//!
//! A sign-in under way is a row: its state's hash finds it, the visitor's cookie ties it to the browser that began it, and reading it
//! takes it away, so an answer works once. The provider is discovered when it is first needed and again every hour; a token with a key
//! that is not known has the keys fetched anew, once. Nothing that the provider sends is believed before its signature, issuer,
//! audience, times and nonce were checked.

mod http;
mod provider;

use std::time::Duration;

use openidconnect::core::{
    CoreAuthenticationFlow, CoreIdToken, CoreIdTokenClaims, CoreRequestTokenError,
};
use openidconnect::{
    AuthorizationCode, ClaimsVerificationError, CsrfToken as State, Nonce, PkceCodeChallenge,
    PkceCodeVerifier, Scope, SignatureVerificationError, TokenResponse as _,
};
use service_kit::error_chain;
use sqlx::PgPool;
use url::Url;

use super::Token;
use super::return_to::ReturnTo;
use super::users::Claims;
use crate::config::{self, PublicUrl};

pub use http::FetchError;
use provider::Provider;

/// How long somebody may take at the provider.
const SIGN_IN_MAX: Duration = Duration::from_mins(15);
/// Where the provider sends people back to.
pub const CALLBACK_PATH: &str = "/sign-in/callback";
/// Longest `sub` that the specification allows, in bytes.
const SUBJECT_BYTES_MAX: usize = 255;

/// Why a sign-in came to nothing. No variant holds a token or a code.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The provider cannot be reached, or says of itself what cannot be.
    #[error("the sign-in provider cannot be reached: {0}")]
    Unreachable(String),
    /// The person, or the provider's policy, said no.
    #[error("the sign-in provider refused: {0}")]
    Refused(String),
    /// No sign-in of this browser waits for this answer: it took too long, was answered already, or was begun elsewhere.
    #[error("no sign-in of this browser waits for this answer")]
    Stale,
    /// The provider does not take the code.
    #[error("the sign-in provider does not take the code back: {0}")]
    Exchange(String),
    /// What the provider sent is not to be believed.
    #[error("the ID token is not to be believed: {0}")]
    Untrusted(String),
    /// The main database did not do it.
    #[error("the sign-in could not be written down")]
    Database(#[from] sqlx::Error),
}

/// What the provider sends back with the browser.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct AuthorizationResponse {
    /// Names the sign-in.
    pub state: Option<String>,
    /// To be exchanged for tokens.
    pub code: Option<String>,
    /// A word of the specification, where there is no code.
    pub error: Option<String>,
    /// Who answers, RFC 9207.
    pub iss: Option<String>,
}

/// The app as a client of its OpenID provider.
#[derive(Debug)]
pub struct Oidc {
    provider: Provider,
}

impl Oidc {
    /// Nothing is sent yet: the provider may come up later than the app.
    pub fn new(settings: &config::Oidc, public_url: &PublicUrl) -> Result<Self, FetchError> {
        Ok(Self {
            provider: Provider::new(settings, &public_url.at(CALLBACK_PATH))?,
        })
    }

    /// What people know the provider by.
    pub fn display_name(&self) -> String {
        self.provider.display_name()
    }

    /// Writes a sign-in of this browser down and answers where to send it.
    pub async fn start(
        &self,
        database: &PgPool,
        browser: &Token,
        return_to: &ReturnTo,
    ) -> Result<Url, OidcError> {
        let client = self.provider.client().await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let state = Token::random();
        let named = state.reveal();
        let (url, _, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || State::new(named),
                Nonce::new_random,
            )
            .add_scope(Scope::new("profile".to_owned()))
            .add_scope(Scope::new("email".to_owned()))
            .set_pkce_challenge(challenge)
            .url();
        sqlx::query(
            "INSERT INTO sign_ins (state_sha256, browser_sha256, nonce, pkce_verifier, return_to, expires_at)
             VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))",
        )
        .bind(state.hash().as_bytes())
        .bind(browser.hash().as_bytes())
        .bind(nonce.secret())
        .bind(verifier.secret())
        .bind(return_to.as_str())
        .bind(SIGN_IN_MAX.as_secs_f64())
        .execute(database)
        .await?;
        Ok(url)
    }

    /// Whom the provider's answer means, and where they wanted to go.
    pub async fn complete(
        &self,
        database: &PgPool,
        browser: &Token,
        answer: AuthorizationResponse,
    ) -> Result<(Claims, ReturnTo), OidcError> {
        let waiting = take(database, browser, answer.state.as_deref()).await?;
        if answer
            .iss
            .is_some_and(|issuer| issuer != self.provider.issuer())
        {
            return Err(OidcError::Untrusted("another issuer answered".to_owned()));
        }
        if let Some(error) = answer.error {
            return Err(OidcError::Refused(word(&error)));
        }
        let code = answer
            .code
            .ok_or_else(|| OidcError::Refused("it sent no code".to_owned()))?;
        let client = self.provider.client().await?;
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| OidcError::Unreachable(error_chain(&error)))?
            .set_pkce_verifier(PkceCodeVerifier::new(waiting.pkce_verifier))
            .request_async(self.provider.http())
            .await
            .map_err(|error| exchange_error(&error))?;
        let token = tokens
            .id_token()
            .ok_or_else(|| OidcError::Untrusted("there is none".to_owned()))?;
        let claims = self.verify(token, &Nonce::new(waiting.nonce)).await?;
        if claims.subject().as_str().is_empty()
            || claims.subject().as_str().len() > SUBJECT_BYTES_MAX
        {
            return Err(OidcError::Untrusted("its subject cannot be one".to_owned()));
        }
        Ok((of_person(&claims), ReturnTo::new(&waiting.return_to)))
    }

    /// The claims of a token that holds against the keys that are known, or against those that are there now.
    async fn verify(
        &self,
        token: &CoreIdToken,
        nonce: &Nonce,
    ) -> Result<CoreIdTokenClaims, OidcError> {
        let client = self.provider.client().await?;
        match token.claims(&provider::verifier(&client), nonce) {
            Ok(claims) => Ok(claims.clone()),
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey
                | SignatureVerificationError::CryptoError(_),
            )) => {
                let client = self.provider.refetched().await?;
                token
                    .claims(&provider::verifier(&client), nonce)
                    .cloned()
                    .map_err(|error| OidcError::Untrusted(error_chain(&error)))
            }
            Err(error) => Err(OidcError::Untrusted(error_chain(&error))),
        }
    }
}

/// A sign-in that waits for its answer.
#[derive(sqlx::FromRow)]
struct Waiting {
    nonce: String,
    pkce_verifier: String,
    return_to: String,
}

/// Finds the sign-in and takes it away, so that an answer works once.
async fn take(
    database: &PgPool,
    browser: &Token,
    state: Option<&str>,
) -> Result<Waiting, OidcError> {
    let state: Token = state
        .and_then(|state| state.parse().ok())
        .ok_or(OidcError::Stale)?;
    sqlx::query_as(
        "DELETE FROM sign_ins WHERE state_sha256 = $1 AND browser_sha256 = $2 AND expires_at > now()
         RETURNING nonce, pkce_verifier, return_to",
    )
    .bind(state.hash().as_bytes())
    .bind(browser.hash().as_bytes())
    .fetch_optional(database)
    .await?
    .ok_or(OidcError::Stale)
}

fn of_person(claims: &CoreIdTokenClaims) -> Claims {
    Claims {
        issuer: claims.issuer().as_str().to_owned(),
        subject: claims.subject().as_str().to_owned(),
        name: claims
            .name()
            .and_then(|name| name.get(None))
            .map(|name| name.as_str().to_owned()),
        email: claims.email().map(|email| email.as_str().to_owned()),
        email_verified: claims.email_verified().unwrap_or(false),
    }
}

/// The provider's own word, which a stranger may have written into the URL: short and of plain letters.
fn word(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .take(40)
        .collect()
}

/// What went wrong at the token endpoint. Answers that cannot be read are not quoted: they may hold tokens.
fn exchange_error(error: &CoreRequestTokenError<FetchError>) -> OidcError {
    match error {
        CoreRequestTokenError::ServerResponse(answer) => {
            OidcError::Exchange(word(answer.error().as_ref()))
        }
        CoreRequestTokenError::Request(error) => OidcError::Unreachable(error_chain(error)),
        CoreRequestTokenError::Parse(..) => {
            OidcError::Exchange("its answer cannot be read".to_owned())
        }
        CoreRequestTokenError::Other(_) => {
            OidcError::Exchange("its answer is none of the specification's".to_owned())
        }
    }
}
