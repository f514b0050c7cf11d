//! The HTTP client for the provider, with timeouts and a size limit. It follows no redirects, which
//! could send secrets to another host.

use std::time::Duration;

use openidconnect::{HttpRequest, HttpResponse};

/// Covers the whole request including the response body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Upper bound of a response body. Key sets and discovery documents have a few kilobytes.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;

/// A request to the provider failed. Messages omit the URL, which may contain secrets.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("request to the sign-in provider failed")]
    Http(#[source] reqwest::Error),
    #[error("response of the sign-in provider exceeds {MAX_RESPONSE_BYTES} bytes")]
    TooLarge,
    #[error("invalid response of the sign-in provider")]
    Malformed(#[from] http::Error),
    #[error("invalid redirect URL")]
    RedirectUrl,
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error.without_url())
    }
}

pub(super) fn client() -> Result<reqwest::Client, FetchError> {
    Ok(http_client::builder().timeout(REQUEST_TIMEOUT).build()?)
}

/// Executes a request of the openidconnect crate.
pub(super) async fn fetch(
    client: &reqwest::Client,
    request: HttpRequest,
) -> Result<HttpResponse, FetchError> {
    let mut response = client.execute(request.try_into()?).await?;
    let mut copy = http::Response::builder().status(response.status());
    for (name, value) in response.headers() {
        copy = copy.header(name, value);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(copy.body(body)?)
}
