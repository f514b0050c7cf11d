//! Discovery of the provider: its endpoints and signing keys, cached for an hour.

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

/// How long the discovery document is cached.
const METADATA_TTL: Duration = Duration::from_hours(1);
/// Lower bound between two refreshes caused by unknown keys, so that forged tokens cause no load on
/// the provider.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);
/// Tolerated difference between the provider's clock and ours.
const MAX_CLOCK_SKEW: Duration = Duration::from_mins(1);
/// Upper bound of the age of a token, which comes directly from the token endpoint.
const MAX_TOKEN_AGE: Duration = Duration::from_mins(10);
/// Accepted signature algorithms: asymmetric ones only, so that the client secret cannot sign
/// tokens.
const SIGNING_ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
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

/// A client with the endpoints that discovery found.
pub(super) type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

#[derive(Debug)]
pub(super) struct Provider {
    issuer: IssuerUrl,
    client_id: ClientId,
    client_secret: Option<ClientSecret>,
    redirect: RedirectUrl,
    http: HttpClient,
    /// Concurrent sign-ins wait for one discovery.
    cached: Mutex<Option<CachedClient>>,
}

#[derive(Clone, Debug)]
struct CachedClient {
    client: Arc<Client>,
    fetched_at: Instant,
    /// When an unknown key last caused a refresh.
    refreshed_at: Option<Instant>,
}

impl Provider {
    pub(super) fn new(settings: &config::OidcProvider, redirect: &str) -> Result<Self, FetchError> {
        Ok(Self {
            issuer: settings.issuer.clone(),
            client_id: ClientId::new(settings.client_id.clone()),
            client_secret: settings
                .client_secret
                .as_ref()
                .map(|secret| ClientSecret::new(secret.expose_secret().to_owned())),
            redirect: RedirectUrl::from_url(redirect.parse().map_err(|_| FetchError::RedirectUrl)?),
            http: HttpClient(http_client()?),
            cached: Mutex::new(None),
        })
    }

    pub(super) fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    pub(super) fn http(&self) -> &HttpClient {
        &self.http
    }

    /// A well-known name such as `Google`, or the host of the issuer.
    pub(super) fn display_name(&self) -> String {
        match self.issuer.url().host_str() {
            Some("accounts.google.com") => "Google".to_owned(),
            Some("login.microsoftonline.com") => "Microsoft".to_owned(),
            Some(host) => host.to_owned(),
            None => "your provider".to_owned(),
        }
    }

    /// The client, rediscovered after [`METADATA_TTL`]. If discovery fails, the cached client stays
    /// in use.
    pub(super) async fn client(&self) -> Result<Arc<Client>, OidcError> {
        let mut cached = self.cached.lock().await;
        match &*cached {
            Some(cached) if cached.fetched_at.elapsed() < METADATA_TTL => {
                Ok(Arc::clone(&cached.client))
            }
            old => match (self.discover().await, old) {
                (Ok(client), _) => Ok(store(&mut cached, client)),
                (Err(_), Some(old)) => Ok(Arc::clone(&old.client)),
                (Err(error), None) => Err(error),
            },
        }
    }

    /// The client with the current keys. Refreshes at most once per [`REFRESH_INTERVAL`].
    pub(super) async fn refreshed_client(&self) -> Result<Arc<Client>, OidcError> {
        let mut cached = self.cached.lock().await;
        match &*cached {
            Some(cached)
                if cached
                    .refreshed_at
                    .is_some_and(|at| at.elapsed() < REFRESH_INTERVAL) =>
            {
                Ok(Arc::clone(&cached.client))
            }
            _ => {
                let client = store(&mut cached, self.discover().await?);
                if let Some(cached) = cached.as_mut() {
                    cached.refreshed_at = Some(Instant::now());
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

fn store(cached: &mut Option<CachedClient>, client: Client) -> Arc<Client> {
    let client = Arc::new(client);
    *cached = Some(CachedClient {
        client: Arc::clone(&client),
        fetched_at: Instant::now(),
        refreshed_at: None,
    });
    client
}

/// Verifies signature, issuer, audience, expiry and age of ID tokens, with a tolerance for clock
/// skew.
pub(super) fn verifier(client: &Client) -> CoreIdTokenVerifier<'_> {
    client
        .id_token_verifier()
        .set_allowed_algs(SIGNING_ALGORITHMS)
        .set_time_fn(|| (SystemTime::now() - MAX_CLOCK_SKEW).into())
        .set_issue_time_verifier_fn(|issued| check_age(issued.timestamp(), Timestamp::now()))
}

/// Rejects tokens that were issued in the future or too long ago.
fn check_age(issued_s: i64, now: Timestamp) -> Result<(), String> {
    let age_s = now.as_second().saturating_sub(issued_s);
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    if age_s < -seconds(MAX_CLOCK_SKEW) {
        Err("issued in the future".to_owned())
    } else if age_s > seconds(MAX_TOKEN_AGE) + seconds(MAX_CLOCK_SKEW) {
        Err("issued too long ago".to_owned())
    } else {
        Ok(())
    }
}

/// Adapts our HTTP client to openidconnect.
#[derive(Clone, Debug)]
pub(super) struct HttpClient(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for HttpClient {
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
    fn tokens_must_be_recent_within_the_clock_skew() {
        let now = Timestamp::from_second(1_800_000_000).expect("a moment");
        let issued = |ago: i64| check_age(now.as_second() - ago, now);
        assert_eq!(issued(0), Ok(()));
        assert_eq!(issued(-60), Ok(()));
        assert!(issued(-61).is_err());
        assert_eq!(issued(660), Ok(()));
        assert!(issued(661).is_err());
    }
}
