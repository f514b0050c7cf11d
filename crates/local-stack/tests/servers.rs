//! The S3 server, Redis and the OpenID provider have the features that the app relies on, and the
//! S3 server keeps its data during an outage.

use anyhow::{Context as _, Result, ensure};
use aws_sdk_s3::presigning::PresigningConfig;
use local_stack::openid::OpenIdProvider;
use local_stack::redis::Redis;
use local_stack::s3::S3;

const URL_LIFETIME: std::time::Duration = std::time::Duration::from_mins(1);
const ORIGIN: &str = "http://127.0.0.1:8000";

#[tokio::test(flavor = "multi_thread")]
async fn browsers_can_upload_only_what_was_signed_and_an_outage_loses_nothing() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let server = S3::start(folder.path()).await?;
    server.create_bucket("documents", &[ORIGIN]).await?;
    let client = server.client();
    let request = client
        .put_object()
        .bucket("documents")
        .key("workspaces/a/1")
        .content_length(5)
        .content_type("application/pdf");
    let signed = request
        .presigned(PresigningConfig::expires_in(URL_LIFETIME)?)
        .await?;
    let http = reqwest::Client::new();

    let preflight = http
        .request(reqwest::Method::OPTIONS, signed.uri())
        .header("origin", ORIGIN)
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "content-type")
        .send()
        .await?;
    ensure!(
        preflight.status().is_success(),
        "preflight: {}",
        preflight.status()
    );
    let allowed = preflight.headers().get("access-control-allow-origin");
    ensure!(
        allowed.is_some_and(|origin| origin == ORIGIN),
        "{allowed:?}"
    );
    let put = |body: &'static str, media_type: &'static str| {
        let mut put = http.put(signed.uri()).header("origin", ORIGIN).body(body);
        for (name, value) in signed.headers().filter(|(name, _)| *name != "content-type") {
            put = put.header(name, value);
        }
        put.header("content-type", media_type).send()
    };
    let wrong = put("%PDF-", "text/html").await?;
    ensure!(
        wrong.status().is_client_error(),
        "another media type: {}",
        wrong.status()
    );
    let right = put("%PDF-", "application/pdf").await?;
    ensure!(
        right.status().is_success(),
        "as signed: {} {}",
        right.status(),
        right.text().await?
    );

    server.stop_server().await;
    ensure!(
        server.object_versions("documents").await.is_err(),
        "the stopped server responds"
    );
    server.start_server().await?;
    client
        .delete_object()
        .bucket("documents")
        .key("workspaces/a/1")
        .send()
        .await?;
    let versions = server.object_versions("documents").await?;
    ensure!(
        versions.len() == 2,
        "expected an object version and a delete marker, got {versions:?}"
    );
    server.stop("documents").await
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_accepts_connections_until_it_is_stopped() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Redis::start(folder.path()).await?;
    let address = server.url().strip_prefix("redis://").context("a URL")?;
    let address = address.trim_end_matches('/').to_owned();
    ensure!(tokio::net::TcpStream::connect(&address).await.is_ok());
    server.stop().await;
    let is_managed = std::env::var_os(installer::external::REDIS_URL).is_none();
    if is_managed {
        ensure!(tokio::net::TcpStream::connect(&address).await.is_err());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openid_provider_supports_discovery_and_requires_pkce() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    let callback = format!("{ORIGIN}/sign-in/callback");
    let provider = OpenIdProvider::start(folder.path(), &callback).await?;
    let http = reqwest::Client::new();
    let url = format!("{}/.well-known/openid-configuration", provider.issuer());
    let discovered: serde_json::Value = http.get(url).send().await?.json().await?;
    ensure!(discovered["issuer"] == provider.issuer(), "{discovered}");
    let authorize = discovered["authorization_endpoint"]
        .as_str()
        .context("no authorization endpoint")?;
    let without_pkce = [
        ("client_id", OpenIdProvider::CLIENT_ID),
        ("redirect_uri", callback.as_str()),
        ("response_type", "code"),
        ("scope", "openid"),
    ];
    let no_redirects = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let response = no_redirects
        .get(authorize)
        .query(&without_pkce)
        .send()
        .await?;
    let location = response
        .headers()
        .get("location")
        .context("the provider does not redirect to the client")?;
    ensure!(
        location.to_str()?.contains("error=invalid_request"),
        "{location:?}"
    );
    provider.stop().await;
    Ok(())
}
