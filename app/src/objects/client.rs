//! S3 clients: one that sends requests, and one that only presigns URLs.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Builder, Credentials, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use url::Url;

use crate::config;

pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Until the first byte of the response.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// For one attempt, until the response headers arrive. Bodies are streamed after that; the SDK
/// aborts stalled ones.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// For a request including its retries.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(40);
/// Per request. Jobs retry later on their own.
pub const MAX_ATTEMPTS: u32 = 3;

/// No credentials to sign requests with.
#[derive(Debug, thiserror::Error)]
#[error(
    "no credentials for the object store; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this process an IAM role"
)]
pub struct MissingCredentials;

pub(super) async fn clients(
    config: &config::Objects,
    credentials: Option<Credentials>,
) -> Result<(Client, Client), MissingCredentials> {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(credentials) = credentials {
        loader = loader.credentials_provider(credentials);
    }
    let shared = loader
        .http_client(http)
        .region(Region::new(config.region.clone()))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .read_timeout(READ_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(OPERATION_TIMEOUT)
                .build(),
        )
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .load()
        .await;
    if shared.credentials_provider().is_none() {
        return Err(MissingCredentials);
    }
    let with_endpoint = |endpoint: Option<&Url>| {
        let mut builder = Builder::from(&shared)
            .force_path_style(config.path_style)
            // Trailing checksums need chunked signing, which not every S3-compatible service
            // supports. The checksum that matters is a signed header.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(endpoint) = endpoint {
            builder = builder.endpoint_url(endpoint.as_str());
        }
        Client::from_conf(builder.build())
    };
    let internal = config.endpoint.as_ref();
    let public = config.public_endpoint.as_ref().or(internal);
    Ok((with_endpoint(internal), with_endpoint(public)))
}
