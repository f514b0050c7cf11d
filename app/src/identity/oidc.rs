//! Signing in with an OpenID provider: the authorization code flow with PKCE, state and nonce.
//!
//! A pending sign-in is a row. It is found by the hash of the state, and bound to the browser by the
//! cookie of the anonymous session. Completing the sign-in deletes it, so a response works once. The
//! provider is discovered on first use and again every hour; a token with an unknown key causes one
//! refresh of the keys. Claims are used only after signature, issuer, audience, times and nonce
//! have been verified.

mod http;
mod provider;

use std::time::Duration;

use openidconnect::core::{
    CoreAuthPrompt, CoreAuthenticationFlow, CoreIdToken, CoreIdTokenClaims, CoreRequestTokenError,
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

/// How long a pending sign-in is valid.
const SIGN_IN_TIMEOUT: Duration = Duration::from_mins(15);
/// The path of the redirect URI.
pub const CALLBACK_PATH: &str = "/sign-in/callback";
/// Upper bound of `sub` in the specification.
const MAX_SUBJECT_BYTES: usize = 255;

/// Why a sign-in failed. No variant contains a token or an authorization code.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The provider is unreachable, or its discovery document is invalid.
    #[error("sign-in provider unreachable: {0}")]
    Unreachable(String),
    /// The user or the policy of the provider denied the sign-in. Contains the error code.
    #[error("sign-in provider denied the sign-in: {0}")]
    Denied(String),
    /// The sign-in has expired, was already completed, or was started in another browser.
    #[error("no pending sign-in of this browser matches the response")]
    Expired,
    #[error("sign-in provider rejected the authorization code: {0}")]
    Exchange(String),
    #[error("invalid ID token: {0}")]
    InvalidToken(String),
    #[error("query on the main database failed")]
    Database(#[from] sqlx::Error),
}

/// The parameters of the redirect back from the provider.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct AuthorizationResponse {
    /// Identifies the pending sign-in.
    pub state: Option<String>,
    pub code: Option<String>,
    /// An error code of the specification, instead of `code`.
    pub error: Option<String>,
    /// The issuer (RFC 9207).
    pub iss: Option<String>,
}

#[derive(Debug)]
pub struct Oidc {
    provider: Provider,
}

impl Oidc {
    /// Sends no request yet, so the app can start before the provider.
    pub fn new(
        settings: &config::OidcProvider,
        public_url: &PublicUrl,
    ) -> Result<Self, FetchError> {
        Ok(Self {
            provider: Provider::new(settings, &public_url.at(CALLBACK_PATH))?,
        })
    }

    /// The name of the provider, for the sign-in button.
    pub fn display_name(&self) -> String {
        self.provider.display_name()
    }

    /// Records a pending sign-in of the browser and returns the authorization URL. With
    /// `choose_account`, the provider asks which account to use even if the user has a session there.
    pub async fn start(
        &self,
        database: &PgPool,
        browser: &Token,
        return_to: &ReturnTo,
        choose_account: bool,
    ) -> Result<Url, OidcError> {
        let client = self.provider.client().await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let state = Token::random();
        let state_param = state.reveal();
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || State::new(state_param),
                Nonce::new_random,
            )
            .add_scope(Scope::new("profile".to_owned()))
            .add_scope(Scope::new("email".to_owned()))
            .set_pkce_challenge(challenge);
        if choose_account {
            request = request.add_prompt(CoreAuthPrompt::SelectAccount);
        }
        let (url, _, nonce) = request.url();
        sqlx::query(
            "INSERT INTO sign_ins (state_sha256, browser_sha256, nonce, pkce_verifier, return_to, expires_at)
             VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))",
        )
        .bind(state.hash().as_bytes())
        .bind(browser.hash().as_bytes())
        .bind(nonce.secret())
        .bind(verifier.secret())
        .bind(return_to.as_str())
        .bind(SIGN_IN_TIMEOUT.as_secs_f64())
        .execute(database)
        .await?;
        Ok(url)
    }

    /// Verifies the response of the provider. Returns the claims, and the path to return to.
    pub async fn complete(
        &self,
        database: &PgPool,
        browser: &Token,
        response: AuthorizationResponse,
    ) -> Result<(Claims, ReturnTo), OidcError> {
        let pending = take_pending(database, browser, response.state.as_deref()).await?;
        if response
            .iss
            .is_some_and(|issuer| issuer != self.provider.issuer())
        {
            return Err(OidcError::InvalidToken(
                "response of another issuer".to_owned(),
            ));
        }
        if let Some(error) = response.error {
            return Err(OidcError::Denied(sanitize_code(&error)));
        }
        let code = response
            .code
            .ok_or_else(|| OidcError::Denied("no authorization code".to_owned()))?;
        let client = self.provider.client().await?;
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| OidcError::Unreachable(error_chain(&error)))?
            .set_pkce_verifier(PkceCodeVerifier::new(pending.pkce_verifier))
            .request_async(self.provider.http())
            .await
            .map_err(|error| exchange_error(&error))?;
        let token = tokens
            .id_token()
            .ok_or_else(|| OidcError::InvalidToken("missing".to_owned()))?;
        let claims = self.verify(token, &Nonce::new(pending.nonce)).await?;
        if claims.subject().as_str().is_empty()
            || claims.subject().as_str().len() > MAX_SUBJECT_BYTES
        {
            return Err(OidcError::InvalidToken("invalid subject".to_owned()));
        }
        Ok((to_claims(&claims), ReturnTo::new(&pending.return_to)))
    }

    /// Verifies the token with the cached keys. If the key is unknown, refreshes the keys and tries
    /// again.
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
                let client = self.provider.refreshed_client().await?;
                token
                    .claims(&provider::verifier(&client), nonce)
                    .cloned()
                    .map_err(|error| OidcError::InvalidToken(error_chain(&error)))
            }
            Err(error) => Err(OidcError::InvalidToken(error_chain(&error))),
        }
    }
}

#[derive(sqlx::FromRow)]
struct PendingSignIn {
    nonce: String,
    pkce_verifier: String,
    return_to: String,
}

/// Deletes and returns the pending sign-in, so that a response works once.
async fn take_pending(
    database: &PgPool,
    browser: &Token,
    state: Option<&str>,
) -> Result<PendingSignIn, OidcError> {
    let state: Token = state
        .and_then(|state| state.parse().ok())
        .ok_or(OidcError::Expired)?;
    sqlx::query_as(
        "DELETE FROM sign_ins WHERE state_sha256 = $1 AND browser_sha256 = $2 AND expires_at > now()
         RETURNING nonce, pkce_verifier, return_to",
    )
    .bind(state.hash().as_bytes())
    .bind(browser.hash().as_bytes())
    .fetch_optional(database)
    .await?
    .ok_or(OidcError::Expired)
}

fn to_claims(claims: &CoreIdTokenClaims) -> Claims {
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

/// Restricts an error code, which anyone can put into the URL, to 40 plain characters.
fn sanitize_code(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .take(40)
        .collect()
}

/// Maps an error of the token endpoint. Unreadable responses are not quoted, because they may
/// contain tokens.
fn exchange_error(error: &CoreRequestTokenError<FetchError>) -> OidcError {
    match error {
        CoreRequestTokenError::ServerResponse(response) => {
            OidcError::Exchange(sanitize_code(response.error().as_ref()))
        }
        CoreRequestTokenError::Request(error) => OidcError::Unreachable(error_chain(error)),
        CoreRequestTokenError::Parse(..) => OidcError::Exchange("unreadable response".to_owned()),
        CoreRequestTokenError::Other(_) => {
            OidcError::Exchange("response violates the specification".to_owned())
        }
    }
}
