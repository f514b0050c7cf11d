//! The bucket's CORS rule that lets browsers upload from the app's pages; added if these
//! credentials permit it.

use std::time::Duration;

use aws_sdk_s3::types::{CorsConfiguration, CorsRule};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{ObjectStore, ObjectStoreError};

/// How long a browser may cache the preflight response.
pub const CORS_MAX_AGE_SECONDS: i32 = 3600;
/// The id of this app's rule.
const RULE_ID: &str = "chat-app-uploads";
/// The request headers of a presigned upload that CORS does not allow by default.
const HEADERS: [&str; 2] = ["content-type", "x-amz-checksum-sha256"];

/// The state of a bucket's CORS rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorsStatus {
    /// The existing rules allow uploads.
    Present,
    /// The app added its rule.
    Added,
    /// These credentials may not read or change the rules; an operator has to configure them.
    NotManaged,
}

/// Backoff while the store is unavailable.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(2);
const MAX_RETRY_DELAY: Duration = Duration::from_mins(1);

impl ObjectStore {
    /// Runs [`ObjectStore::allow_uploads_from`] at startup, retries until it succeeds, and logs the
    /// result for each bucket.
    pub async fn configure_cors(self, origin: String) {
        let mut delay = MIN_RETRY_DELAY;
        loop {
            match self.allow_uploads_from(&origin).await {
                Ok(statuses) => {
                    for (bucket, status) in statuses {
                        log_status(&bucket, status, &origin);
                    }
                    return;
                }
                Err(error) => warn!(
                    error = %service_kit::error_chain(&error),
                    retry_after_s = delay.as_secs(),
                    "failed to configure the buckets' CORS rules, retrying"
                ),
            }
            sleep(delay).await;
            delay = delay.saturating_mul(2).min(MAX_RETRY_DELAY);
        }
    }

    /// Ensures that pages of this origin (`https://host[:port]`) may upload to every bucket. Keeps
    /// all other rules.
    pub async fn allow_uploads_from(
        &self,
        origin: &str,
    ) -> Result<Vec<(String, CorsStatus)>, ObjectStoreError> {
        let mut statuses = Vec::new();
        for bucket in self.settings.all_buckets() {
            let status = match self.allow_uploads(bucket, origin).await {
                Ok(status) => status,
                // Access denied, or a store without CORS rules (501).
                Err(ObjectStoreError::Rejected {
                    status: 0..=403 | 405..,
                    ..
                }) => CorsStatus::NotManaged,
                Err(error) => return Err(error),
            };
            statuses.push((bucket.to_owned(), status));
        }
        Ok(statuses)
    }

    async fn allow_uploads(
        &self,
        bucket: &str,
        origin: &str,
    ) -> Result<CorsStatus, ObjectStoreError> {
        let response = self.client.get_bucket_cors().bucket(bucket).send().await;
        let mut rules = match response {
            Ok(response) => response.cors_rules().to_vec(),
            Err(error) => match ObjectStoreError::from_sdk(error) {
                // The bucket has no rules yet.
                ObjectStoreError::NotFound => Vec::new(),
                error => return Err(error),
            },
        };
        if rules.iter().any(|rule| allows_uploads(rule, origin)) {
            return Ok(CorsStatus::Present);
        }
        let rule = CorsRule::builder()
            .id(RULE_ID)
            .allowed_origins(origin)
            .allowed_methods("PUT")
            .set_allowed_headers(Some(HEADERS.map(ToOwned::to_owned).to_vec()))
            .max_age_seconds(CORS_MAX_AGE_SECONDS)
            .build()
            .map_err(|_| ObjectStoreError::InvalidRequest)?;
        rules.retain(|rule| rule.id() != Some(RULE_ID));
        rules.push(rule);
        let rules = CorsConfiguration::builder()
            .set_cors_rules(Some(rules))
            .build()
            .map_err(|_| ObjectStoreError::InvalidRequest)?;
        self.client
            .put_bucket_cors()
            .bucket(bucket)
            .cors_configuration(rules)
            .send()
            .await
            .map_err(ObjectStoreError::from_sdk)?;
        Ok(CorsStatus::Added)
    }
}

fn log_status(bucket: &str, status: CorsStatus, origin: &str) {
    match status {
        CorsStatus::Present => info!(bucket, "bucket allows uploads from the app's pages"),
        CorsStatus::Added => info!(bucket, "CORS rule for uploads added to the bucket"),
        CorsStatus::NotManaged => warn!(
            bucket,
            origin,
            headers = HEADERS.join(", "),
            "no permission to manage the bucket's CORS rules; uploads fail unless they allow PUT from this origin with these headers"
        ),
    }
}

fn allows_uploads(rule: &CorsRule, origin: &str) -> bool {
    let has = |list: &[String], value: &str| {
        list.iter()
            .any(|entry| entry == "*" || entry.eq_ignore_ascii_case(value))
    };
    has(rule.allowed_origins(), origin)
        && has(rule.allowed_methods(), "PUT")
        && HEADERS
            .iter()
            .all(|header| has(rule.allowed_headers(), header))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origin: &str, headers: &[&str]) -> CorsRule {
        CorsRule::builder()
            .allowed_origins(origin)
            .allowed_methods("PUT")
            .set_allowed_headers(Some(headers.iter().map(ToString::to_string).collect()))
            .build()
            .unwrap()
    }

    #[test]
    fn a_rule_must_match_the_origin_and_all_headers() {
        let origin = "https://chat.example.org";
        assert!(allows_uploads(
            &rule(origin, &["Content-Type", "X-Amz-Checksum-Sha256"]),
            origin
        ));
        assert!(allows_uploads(&rule("*", &["*"]), origin));
        assert!(!allows_uploads(
            &rule("https://other.example.org", &["*"]),
            origin
        ));
        assert!(!allows_uploads(&rule(origin, &["content-type"]), origin));
    }
}
