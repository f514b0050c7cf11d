//! A small OpenID provider in this process, with a key of its own: it answers what the test has it answer.

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
/// PKCS #8 of an Ed25519 key up to its 32 bytes.
const ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What the person agreed to: what the code stands for.
#[derive(Clone)]
struct Consent {
    code: String,
    challenge: String,
    redirect: String,
    claims: Value,
}

struct Holder {
    kid: String,
    key: CoreEdDsaPrivateSigningKey,
    /// Signs with this instead of the key that is published.
    forged: Option<CoreEdDsaPrivateSigningKey>,
    /// Writes this algorithm into the token and leaves the signature empty.
    unsigned: bool,
    consent: Option<Consent>,
    key_fetches: usize,
}

/// The provider. It ends when it is dropped.
pub(crate) struct Issuer {
    pub(crate) url: String,
    holder: Arc<Mutex<Holder>>,
    serving: JoinHandle<()>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

type Shared = (Arc<Mutex<Holder>>, String);

impl Issuer {
    pub(crate) async fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let holder = Arc::new(Mutex::new(Holder {
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
            .with_state((Arc::clone(&holder), url.clone()));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("serves");
        });
        Self {
            url,
            holder,
            serving,
        }
    }

    /// The person agrees at the authorization endpoint; answers where they are sent back to. `change` may spoil the token's claims.
    pub(crate) fn agree(&self, authorize: &str, change: impl FnOnce(&mut Value)) -> String {
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
        self.holder().consent = Some(Consent {
            code: code.clone(),
            challenge: asked("code_challenge"),
            redirect: redirect.clone(),
            claims,
        });
        let path = &url::Url::parse(&redirect).expect("a URL")[url::Position::BeforePath..];
        format!("{path}?code={code}&state={state}")
    }

    /// Signs with a new key, and publishes that alone.
    pub(crate) fn rotate(&self, kid: &str) {
        let mut holder = self.holder();
        kid.clone_into(&mut holder.kid);
        holder.key = random_key(kid);
    }

    /// Signs with a key that it does not publish.
    pub(crate) fn forge(&self) {
        let mut holder = self.holder();
        holder.forged = Some(random_key(&holder.kid.clone()));
    }

    /// Sends tokens without a signature.
    pub(crate) fn sign_nothing(&self) {
        self.holder().unsigned = true;
    }

    pub(crate) fn key_fetches(&self) -> usize {
        self.holder().key_fetches
    }

    fn holder(&self) -> MutexGuard<'_, Holder> {
        self.holder.lock().expect("no panic before")
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

async fn keys(State((holder, _)): State<Shared>) -> Json<Value> {
    let mut holder = holder.lock().expect("no panic before");
    holder.key_fetches += 1;
    let key = serde_json::to_value(holder.key.as_verification_key()).expect("JSON");
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
    State((holder, _)): State<Shared>,
    headers: HeaderMap,
    Form(exchange): Form<Exchange>,
) -> (StatusCode, Json<Value>) {
    let mut holder = holder.lock().expect("no panic before");
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error })));
    let password = STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
    if headers
        .get(header::AUTHORIZATION)
        .map(|value| value.to_str().expect("ASCII"))
        != Some(&format!("Basic {password}"))
    {
        return refused("invalid_client");
    }
    // A code is good once.
    let Some(consent) = holder.consent.take() else {
        return refused("invalid_grant");
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&exchange.code_verifier));
    let fits = exchange.grant_type == "authorization_code"
        && exchange.code == consent.code
        && exchange.redirect_uri == consent.redirect
        && challenge == consent.challenge;
    if !fits {
        return refused("invalid_grant");
    }
    (
        StatusCode::OK,
        Json(json!({
            "access_token": "unused", "token_type": "Bearer", "id_token": sign(&holder, &consent.claims),
        })),
    )
}

fn sign(holder: &Holder, claims: &Value) -> String {
    let algorithm = if holder.unsigned { "none" } else { "EdDSA" };
    let head = json!({ "alg": algorithm, "typ": "JWT", "kid": holder.kid });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&head), part(claims));
    if holder.unsigned {
        return format!("{signed}.");
    }
    let key = holder.forged.as_ref().unwrap_or(&holder.key);
    let signature = key
        .sign(&CoreJwsSigningAlgorithm::EdDsa, signed.as_bytes())
        .expect("signed");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
