//! The HTTP client for the provider: no redirects (they would lead requests with secrets elsewhere), limits on time and size.

use std::time::Duration;

use openidconnect::{HttpRequest, HttpResponse};

/// Limit on connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit on a request, its answer included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer, in bytes: key sets and discovery documents are some kilobytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A request to the provider failed. The URL is left out of `Display` where it holds what was sent.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It could not be made or sent, or its answer could not be read.
    #[error("the request failed")]
    Http(#[source] reqwest::Error),
    /// The answer is longer than anything of the kind.
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    /// The answer has no form.
    #[error("the answer cannot be read")]
    Malformed(#[from] http::Error),
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error.without_url())
    }
}

/// The client; to be made once.
pub(super) fn client() -> Result<reqwest::Client, FetchError> {
    Ok(reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .build()?)
}

/// One request, as openidconnect wants it done.
pub(super) async fn fetch(
    client: &reqwest::Client,
    request: HttpRequest,
) -> Result<HttpResponse, FetchError> {
    let mut response = client.execute(request.try_into()?).await?;
    let mut answer = http::Response::builder().status(response.status());
    for (name, value) in response.headers() {
        answer = answer.header(name, value);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(FetchError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(answer.body(body)?)
}
