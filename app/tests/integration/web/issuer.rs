//! A small OpenID provider in the test process. Tests control its responses.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKeyId, PrivateSigningKey as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) const CLIENT_ID: &str = "the-app";
pub(crate) const CLIENT_SECRET: &str = "the-apps-password";
/// The PKCS #8 prefix of an Ed25519 key, before its 32 bytes.
const ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The consent of the user that an authorization code represents.
#[derive(Clone)]
struct Consent {
    code: String,
    challenge: String,
    redirect: String,
    claims: Value,
}

struct IssuerState {
    kid: String,
    key: CoreEdDsaPrivateSigningKey,
    /// Signs with this key instead of the published one.
    forged: Option<CoreEdDsaPrivateSigningKey>,
    /// Uses the algorithm `none` and an empty signature.
    unsigned: bool,
    consent: Option<Consent>,
    key_fetches: usize,
}

/// The provider. It stops when it is dropped.
pub(crate) struct Issuer {
    pub(crate) url: String,
    state: Arc<Mutex<IssuerState>>,
    serving: JoinHandle<()>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

type Shared = (Arc<Mutex<IssuerState>>, String);

impl Issuer {
    pub(crate) async fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(IssuerState {
            kid: "first".to_owned(),
            key: random_key("first"),
            forged: None,
            unsigned: false,
            consent: None,
            key_fetches: 0,
        }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state((Arc::clone(&state), url.clone()));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serves");
        });
        Self {
            url,
            state,
            serving,
        }
    }

    /// Consents at the authorization endpoint. Returns the URL of the redirect. `change` may modify
    /// the claims.
    pub(crate) fn consent(&self, authorize: &str, change: impl FnOnce(&mut Value)) -> String {
        let url = url::Url::parse(authorize).expect("a URL");
        assert!(authorize.starts_with(&format!("{}/authorize?", self.url)));
        let asked = |name: &str| {
            url.query_pairs().find(|(key, _)| key == name).map_or_else(
                || panic!("no {name} in {authorize}"),
                |(_, value)| value.into_owned(),
            )
        };
        assert_eq!(asked("response_type"), "code");
        assert_eq!(asked("code_challenge_method"), "S256");
        assert_eq!(asked("client_id"), CLIENT_ID);
        assert!(asked("scope").split(' ').any(|scope| scope == "openid"));
        let now = Timestamp::now().as_second();
        let mut claims = json!({
            "iss": self.url, "aud": CLIENT_ID, "sub": "person-1", "nonce": asked("nonce"),
            "iat": now, "exp": now + 300,
            "name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true,
        });
        change(&mut claims);
        let code = format!("code-{:016x}", rand::random::<u64>());
        let (redirect, state) = (asked("redirect_uri"), asked("state"));
        self.state().consent = Some(Consent {
            code: code.clone(),
            challenge: asked("code_challenge"),
            redirect: redirect.clone(),
            claims,
        });
        let path = &url::Url::parse(&redirect).expect("a URL")[url::Position::BeforePath..];
        format!("{path}?code={code}&state={state}")
    }

    /// Replaces the published key.
    pub(crate) fn rotate(&self, kid: &str) {
        let mut state = self.state();
        kid.clone_into(&mut state.kid);
        state.key = random_key(kid);
    }

    /// Signs with an unpublished key.
    pub(crate) fn forge(&self) {
        let mut state = self.state();
        state.forged = Some(random_key(&state.kid.clone()));
    }

    /// Issues tokens without a signature.
    pub(crate) fn sign_nothing(&self) {
        self.state().unsigned = true;
    }

    pub(crate) fn key_fetches(&self) -> usize {
        self.state().key_fetches
    }

    fn state(&self) -> MutexGuard<'_, IssuerState> {
        self.state.lock().expect("not poisoned")
    }
}

fn random_key(kid: &str) -> CoreEdDsaPrivateSigningKey {
    let mut der = ED25519.to_vec();
    der.extend_from_slice(&rand::random::<[u8; 32]>());
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der)
    );
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new(kid.to_owned())))
        .expect("a key")
}

async fn configuration(State((_, url)): State<Shared>) -> Json<Value> {
    Json(json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA", "HS256", "none"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    }))
}

async fn keys(State((state, _)): State<Shared>) -> Json<Value> {
    let mut state = state.lock().expect("not poisoned");
    state.key_fetches += 1;
    let key = serde_json::to_value(state.key.as_verification_key()).expect("JSON");
    Json(json!({ "keys": [key] }))
}

#[derive(serde::Deserialize)]
struct Exchange {
    grant_type: String,
    code: String,
    code_verifier: String,
    redirect_uri: String,
}

async fn token(
    State((state, _)): State<Shared>,
    headers: HeaderMap,
    Form(exchange): Form<Exchange>,
) -> (StatusCode, Json<Value>) {
    let mut state = state.lock().expect("not poisoned");
    let rejected = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error })));
    let password = STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
    if headers
        .get(header::AUTHORIZATION)
        .map(|value| value.to_str().expect("ASCII"))
        != Some(&format!("Basic {password}"))
    {
        return rejected("invalid_client");
    }
    // A code works once.
    let Some(consent) = state.consent.take() else {
        return rejected("invalid_grant");
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&exchange.code_verifier));
    let is_valid = exchange.grant_type == "authorization_code"
        && exchange.code == consent.code
        && exchange.redirect_uri == consent.redirect
        && challenge == consent.challenge;
    if !is_valid {
        return rejected("invalid_grant");
    }
    (
        StatusCode::OK,
        Json(json!({
            "access_token": "unused", "token_type": "Bearer", "id_token": sign(&state, &consent.claims),
        })),
    )
}

fn sign(state: &IssuerState, claims: &Value) -> String {
    let algorithm = if state.unsigned { "none" } else { "EdDSA" };
    let head = json!({ "alg": algorithm, "typ": "JWT", "kid": state.kid });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&head), part(claims));
    if state.unsigned {
        return format!("{signed}.");
    }
    let key = state.forged.as_ref().unwrap_or(&state.key);
    let signature = key
        .sign(&CoreJwsSigningAlgorithm::EdDsa, signed.as_bytes())
        .expect("signed");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
