//! Clients of the store: one that sends, one that only signs.

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

/// Limit on connecting to the store.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Limit on the first byte of an answer.
pub const READ_LIMIT: Duration = Duration::from_secs(10);
/// Limit on one sending of a request, up to the answer's head. Bodies are streamed after that; one that stalls is ended by the SDK.
pub const ATTEMPT_LIMIT: Duration = Duration::from_secs(15);
/// Limit on a request with its repetitions.
pub const OPERATION_LIMIT: Duration = Duration::from_secs(40);
/// Sendings of one request at most. Jobs come back later by themselves.
pub const ATTEMPTS_MAX: u32 = 3;

/// The store cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nothing in the environment says with which keys to sign.
    #[error(
        "there are no keys for the store of files; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this process a role"
    )]
    NoCredentials,
}

pub(super) async fn clients(
    config: &config::Objects,
    keys: Option<Credentials>,
) -> Result<(Client, Client), StartError> {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(keys) = keys {
        loader = loader.credentials_provider(keys);
    }
    let shared = loader
        .http_client(http)
        .region(Region::new(config.region.clone()))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_LIMIT)
                .read_timeout(READ_LIMIT)
                .operation_attempt_timeout(ATTEMPT_LIMIT)
                .operation_timeout(OPERATION_LIMIT)
                .build(),
        )
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
        .load()
        .await;
    if shared.credentials_provider().is_none() {
        return Err(StartError::NoCredentials);
    }
    let with_endpoint = |endpoint: Option<&Url>| {
        let mut builder = Builder::from(&shared)
            .force_path_style(config.path_style)
            // Checksums in trailers need chunked signing, which not everything that speaks S3 knows; what matters is signed as
            // a header.
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
