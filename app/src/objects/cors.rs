//! The bucket's CORS rule that lets the app's pages upload and read files with presigned URLs; added
//! if these credentials permit it.
//!
//! Several apps can share a bucket. The id of each app's rule contains its origin, so an app changes
//! only its own rule. S3 replaces all rules of a bucket in one request without a precondition: if two
//! apps add their rules at the same time, one of them is lost. The app therefore looks again after a
//! while, and at intervals, and adds its rule if it is missing.

use std::time::Duration;

use aws_sdk_s3::types::{CorsConfiguration, CorsRule};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{ObjectStore, ObjectStoreError};

/// How long a browser may cache the preflight response.
pub const CORS_MAX_AGE_SECONDS: i32 = 3600;
/// The id of the rule that earlier versions added, regardless of their origin.
const LEGACY_RULE_ID: &str = "chat-app-uploads";
/// Longest id of a rule in S3, in characters.
const MAX_RULE_ID_CHARS: usize = 255;
/// The request headers of a presigned upload that CORS does not allow by default.
const UPLOAD_HEADERS: [&str; 4] = [
    "content-encoding",
    "content-type",
    "if-none-match",
    "x-amz-checksum-sha256",
];
/// Older browsers send a preflight request for `Range`.
const RANGE_HEADER: &str = "range";
/// The response headers from which the viewer learns that it can request parts of a file.
const EXPOSED_HEADERS: [&str; 3] = ["accept-ranges", "content-length", "content-range"];

/// The state of a bucket's CORS rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorsStatus {
    /// The existing rules allow uploads and reading.
    Present,
    /// The app added its rule.
    Added,
    /// These credentials may not read or change the rules; an operator has to configure them.
    NotManaged,
}

/// Backoff while the store is unavailable.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(2);
const MAX_RETRY_DELAY: Duration = Duration::from_mins(1);
/// How long after adding its rule the app checks that no other app has removed it.
const CONFIRMATION_DELAY: Duration = Duration::from_secs(15);
/// Added to the confirmation delay of some processes, so that two apps that replaced each other's
/// rules do not do so again.
const MAX_CONFIRMATION_JITTER: Duration = Duration::from_secs(15);
/// How often the rules are checked after that.
const CHECK_INTERVAL: Duration = Duration::from_hours(1);

impl ObjectStore {
    /// Keeps the rules in place while the process runs, and logs every change of their state.
    pub async fn maintain_cors(self, origin: String) {
        let mut delay = MIN_RETRY_DELAY;
        let mut logged = Vec::new();
        loop {
            let wait = match self.allow_pages_of(&origin).await {
                Ok(statuses) => {
                    delay = MIN_RETRY_DELAY;
                    if statuses != logged {
                        for (bucket, status) in &statuses {
                            log_status(bucket, *status, &origin);
                        }
                    }
                    let added = statuses
                        .iter()
                        .any(|(_, status)| *status == CorsStatus::Added);
                    logged = statuses;
                    if added {
                        CONFIRMATION_DELAY + MAX_CONFIRMATION_JITTER.mul_f64(rand::random())
                    } else {
                        CHECK_INTERVAL
                    }
                }
                Err(error) => {
                    warn!(
                        error = %service_kit::error_chain(&error),
                        retry_after_s = delay.as_secs(),
                        "failed to configure the buckets' CORS rules, retrying"
                    );
                    let wait = delay;
                    delay = delay.saturating_mul(2).min(MAX_RETRY_DELAY);
                    wait
                }
            };
            sleep(wait).await;
        }
    }

    /// Ensures that pages of this origin (`https://host[:port]`) may upload to every bucket and read
    /// from it, given presigned URLs. Keeps all other rules, including those of other apps.
    pub async fn allow_pages_of(
        &self,
        origin: &str,
    ) -> Result<Vec<(String, CorsStatus)>, ObjectStoreError> {
        let mut statuses = Vec::new();
        for bucket in self.settings.all_buckets() {
            let status = match self.allow_pages_in(bucket, origin).await {
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

    async fn allow_pages_in(
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
        let allows =
            |allow: fn(&CorsRule, &str) -> bool| rules.iter().any(|rule| allow(rule, origin));
        if allows(allows_uploads) && allows(allows_reading) {
            return Ok(CorsStatus::Present);
        }
        let headers = UPLOAD_HEADERS.into_iter().chain([RANGE_HEADER]);
        let rule = CorsRule::builder()
            .id(rule_id(origin))
            .allowed_origins(origin)
            .allowed_methods("PUT")
            .allowed_methods("GET")
            .set_allowed_headers(Some(headers.map(ToOwned::to_owned).collect()))
            .set_expose_headers(Some(EXPOSED_HEADERS.map(ToOwned::to_owned).to_vec()))
            .max_age_seconds(CORS_MAX_AGE_SECONDS)
            .build()
            .map_err(|_| ObjectStoreError::InvalidRequest)?;
        rules.retain(|rule| !is_own(rule, origin));
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

fn rule_id(origin: &str) -> String {
    let id = format!("{LEGACY_RULE_ID} {origin}");
    id.chars().take(MAX_RULE_ID_CHARS).collect()
}

/// Whether this app, or an earlier version of it, added the rule.
fn is_own(rule: &CorsRule, origin: &str) -> bool {
    let is_legacy =
        rule.id() == Some(LEGACY_RULE_ID) && rule.allowed_origins() == [origin.to_owned()];
    is_legacy || rule.id() == Some(&rule_id(origin))
}

fn log_status(bucket: &str, status: CorsStatus, origin: &str) {
    match status {
        CorsStatus::Present => info!(
            bucket,
            "bucket allows uploads and reading from the app's pages"
        ),
        CorsStatus::Added => info!(
            bucket,
            "CORS rule for uploads and reading added to the bucket"
        ),
        CorsStatus::NotManaged => warn!(
            bucket,
            origin,
            headers = UPLOAD_HEADERS.join(", "),
            "no permission to manage the bucket's CORS rules; uploads and the document viewer fail unless they allow GET, and PUT with these headers, from this origin"
        ),
    }
}

fn allows_uploads(rule: &CorsRule, origin: &str) -> bool {
    allows(rule, origin, "PUT")
        && UPLOAD_HEADERS
            .iter()
            .all(|header| has(rule.allowed_headers(), header))
}

fn allows_reading(rule: &CorsRule, origin: &str) -> bool {
    allows(rule, origin, "GET")
}

fn allows(rule: &CorsRule, origin: &str, method: &str) -> bool {
    has(rule.allowed_origins(), origin) && has(rule.allowed_methods(), method)
}

fn has(list: &[String], value: &str) -> bool {
    list.iter()
        .any(|entry| entry == "*" || entry.eq_ignore_ascii_case(value))
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
            &rule(
                origin,
                &[
                    "Content-Encoding",
                    "Content-Type",
                    "If-None-Match",
                    "X-Amz-Checksum-Sha256"
                ]
            ),
            origin
        ));
        assert!(allows_uploads(&rule("*", &["*"]), origin));
        assert!(!allows_uploads(
            &rule("https://other.example.org", &["*"]),
            origin
        ));
        assert!(!allows_uploads(&rule(origin, &["content-type"]), origin));
        assert!(!allows_reading(&rule(origin, &["*"]), origin));
    }

    #[test]
    fn an_app_replaces_only_its_own_rules() {
        let (origin, other) = ("https://chat.example.org", "https://docs.example.org");
        let with_id = |id: &str, origin: &str| {
            let mut rule = rule(origin, &[]);
            rule.id = Some(id.to_owned());
            rule
        };
        assert!(is_own(&with_id(&rule_id(origin), origin), origin));
        assert!(is_own(&with_id(LEGACY_RULE_ID, origin), origin));
        assert!(!is_own(&with_id(LEGACY_RULE_ID, other), origin));
        assert!(!is_own(&with_id(&rule_id(other), other), origin));
        assert!(!is_own(&rule(origin, &["*"]), origin));
    }
}
