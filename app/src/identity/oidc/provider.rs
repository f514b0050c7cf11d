//! What the provider says of itself: where its addresses are and which keys it signs with, kept for an hour.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use openidconnect::core::{
    CoreClient, CoreClientAuthMethod, CoreIdTokenVerifier, CoreJwsSigningAlgorithm,
    CoreProviderMetadata,
};
use openidconnect::{
    AsyncHttpClient, AuthType, ClientId, ClientSecret, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, IssuerUrl, RedirectUrl,
};
use secrecy::ExposeSecret as _;
use service_kit::error_chain;
use tokio::sync::Mutex;

use super::OidcError;
use super::http::{FetchError, client as http_client, fetch};
use crate::config;

/// How long what the provider said is taken for true.
const FRESH_FOR: Duration = Duration::from_hours(1);
/// Shortest time between two fetches that unknown keys ask for, so that tokens with made-up keys make us no burden.
const REFETCH_PAUSE: Duration = Duration::from_secs(10);
/// How far the provider's clock and ours may differ.
const CLOCK_SKEW: Duration = Duration::from_mins(1);
/// How old a token may be: it comes straight from the token endpoint.
const TOKEN_AGE_MAX: Duration = Duration::from_mins(10);
/// Signatures that are believed: made with the provider's own keys, never with a secret that we know too.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// The client of a discovered provider.
pub(super) type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The provider and what is known of it.
#[derive(Debug)]
pub(super) struct Provider {
    issuer: IssuerUrl,
    client_id: ClientId,
    client_secret: Option<ClientSecret>,
    redirect: RedirectUrl,
    http: Http,
    /// Whoever comes while it is fetched waits for the outcome.
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    client: Arc<Client>,
    fetched: Instant,
    /// When an unknown key last had it fetched before its time.
    asked_anew: Option<Instant>,
}

impl Provider {
    pub(super) fn new(settings: &config::Oidc, redirect: &str) -> Result<Self, FetchError> {
        Ok(Self {
            issuer: settings.issuer.clone(),
            client_id: ClientId::new(settings.client_id.clone()),
            client_secret: settings
                .client_secret
                .as_ref()
                .map(|secret| ClientSecret::new(secret.expose_secret().to_owned())),
            redirect: RedirectUrl::from_url(redirect.parse().map_err(|_| FetchError::TooLong)?),
            http: Http(http_client()?),
            known: Mutex::new(None),
        })
    }

    pub(super) fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// Its host, or its name where everybody knows it.
    pub(super) fn display_name(&self) -> String {
        match self.issuer.url().host_str() {
            Some("accounts.google.com") => "Google".to_owned(),
            Some("login.microsoftonline.com") => "Microsoft".to_owned(),
            Some(host) => host.to_owned(),
            None => "your provider".to_owned(),
        }
    }

    /// The client, discovered anew when what is known is old. What is old serves on while the provider is away.
    pub(super) async fn client(&self) -> Result<Arc<Client>, OidcError> {
        let mut known = self.known.lock().await;
        match &*known {
            Some(known) if known.fetched.elapsed() < FRESH_FOR => Ok(Arc::clone(&known.client)),
            old => match (self.discover().await, old) {
                (Ok(client), _) => Ok(remember(&mut known, client)),
                (Err(_), Some(old)) => Ok(Arc::clone(&old.client)),
                (Err(error), None) => Err(error),
            },
        }
    }

    /// The client with the keys that are there now, unless an unknown key asked for them just before.
    pub(super) async fn refetched(&self) -> Result<Arc<Client>, OidcError> {
        let mut known = self.known.lock().await;
        match &*known {
            Some(known)
                if known
                    .asked_anew
                    .is_some_and(|asked| asked.elapsed() < REFETCH_PAUSE) =>
            {
                Ok(Arc::clone(&known.client))
            }
            _ => {
                let client = remember(&mut known, self.discover().await?);
                if let Some(known) = known.as_mut() {
                    known.asked_anew = Some(Instant::now());
                }
                Ok(client)
            }
        }
    }

    async fn discover(&self) -> Result<Client, OidcError> {
        let metadata = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http)
            .await
            .map_err(|error| OidcError::Unreachable(error_chain(&error)))?;
        let secret_in_body = metadata
            .token_endpoint_auth_methods_supported()
            .is_some_and(|methods| {
                !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
                    && methods.contains(&CoreClientAuthMethod::ClientSecretPost)
            });
        let client = CoreClient::from_provider_metadata(
            metadata,
            self.client_id.clone(),
            self.client_secret.clone(),
        )
        .set_redirect_uri(self.redirect.clone());
        Ok(if secret_in_body {
            client.set_auth_type(AuthType::RequestBody)
        } else {
            client
        })
    }
}

fn remember(known: &mut Option<Known>, client: Client) -> Arc<Client> {
    let client = Arc::new(client);
    *known = Some(Known {
        client: Arc::clone(&client),
        fetched: Instant::now(),
        asked_anew: None,
    });
    client
}

/// Checks signature, issuer, audience (ours alone), expiry and age, with both clocks a little wrong.
pub(super) fn verifier(client: &Client) -> CoreIdTokenVerifier<'_> {
    client
        .id_token_verifier()
        .set_allowed_algs(ALGORITHMS)
        .set_time_fn(|| (SystemTime::now() - CLOCK_SKEW).into())
        .set_issue_time_verifier_fn(|issued| check_age(issued.timestamp(), Timestamp::now()))
}

/// Refuses a token from the future, and one that was not made for this very sign-in.
fn check_age(issued_s: i64, now: Timestamp) -> Result<(), String> {
    let age_s = now.as_second().saturating_sub(issued_s);
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    if age_s < -seconds(CLOCK_SKEW) {
        Err("it is from the future".to_owned())
    } else if age_s > seconds(TOKEN_AGE_MAX) + seconds(CLOCK_SKEW) {
        Err("it is too old".to_owned())
    } else {
        Ok(())
    }
}

/// Our HTTP client as openidconnect takes it.
#[derive(Clone, Debug)]
pub(super) struct Http(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, FetchError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(fetch(&self.0, request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_of_now_with_a_minute_of_clocks_between() {
        let now = Timestamp::from_second(1_800_000_000).expect("a moment");
        let issued = |ago: i64| check_age(now.as_second() - ago, now);
        assert_eq!(issued(0), Ok(()));
        assert_eq!(issued(-60), Ok(()));
        assert!(issued(-61).is_err());
        assert_eq!(issued(660), Ok(()));
        assert!(issued(661).is_err());
    }
}
