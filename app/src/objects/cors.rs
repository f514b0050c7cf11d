//! Leave for browsers to send files from the app's pages: a rule of the bucket, put there if these keys may.

use std::time::Duration;

use aws_sdk_s3::types::{CorsConfiguration, CorsRule};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{Objects, ObjectsError};

/// How long a browser may remember the leave.
pub const CORS_MAX_AGE_SECONDS: i32 = 3600;
/// Marks our rule among others.
const RULE: &str = "chat-app-uploads";
/// What the signed upload sends beyond what every request may.
const HEADERS: [&str; 2] = ["content-type", "x-amz-checksum-sha256"];

/// How a bucket's rules were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cors {
    /// They let the pages in already.
    Present,
    /// Ours was added to them.
    Added,
    /// These keys may not look or change: somebody else has to see to it.
    NotOurs,
}

/// Wait before a store that was away is asked again, at first and at most.
const WAIT_MIN: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_mins(1);

impl Objects {
    /// As [`Objects::allow_uploads_from`], until it is done, and says how each bucket was found: to be run when the app starts.
    pub async fn open_to_uploads_from(self, origin: String) {
        let mut wait = WAIT_MIN;
        loop {
            match self.allow_uploads_from(&origin).await {
                Ok(found) => {
                    for (bucket, cors) in found {
                        tell(&bucket, cors, &origin);
                    }
                    return;
                }
                Err(error) => warn!(
                    error = &error as &dyn std::error::Error,
                    "The buckets cannot be looked at; trying again in {} s",
                    wait.as_secs()
                ),
            }
            sleep(wait).await;
            wait = wait.saturating_mul(2).min(WAIT_MAX);
        }
    }

    /// Sees to it that pages of this origin (`https://host[:port]`) may send files to every bucket. Rules of others stay.
    pub async fn allow_uploads_from(
        &self,
        origin: &str,
    ) -> Result<Vec<(String, Cors)>, ObjectsError> {
        let mut found = Vec::new();
        for bucket in self.buckets.all() {
            let cors = match self.allow_uploads(bucket, origin).await {
                Ok(cors) => cors,
                // Refusals and stores that know nothing of rules (501): not ours to set.
                Err(ObjectsError::Refused { status, .. }) if status != 404 => Cors::NotOurs,
                Err(error) => return Err(error),
            };
            found.push((bucket.to_owned(), cors));
        }
        Ok(found)
    }

    async fn allow_uploads(&self, bucket: &str, origin: &str) -> Result<Cors, ObjectsError> {
        let answer = self.client.get_bucket_cors().bucket(bucket).send().await;
        let mut rules = match answer {
            Ok(answer) => answer.cors_rules().to_vec(),
            Err(error) => match ObjectsError::from_sdk(error) {
                // There are none yet.
                ObjectsError::Missing => Vec::new(),
                error => return Err(error),
            },
        };
        if rules.iter().any(|rule| lets_in(rule, origin)) {
            return Ok(Cors::Present);
        }
        let ours = CorsRule::builder()
            .id(RULE)
            .allowed_origins(origin)
            .allowed_methods("PUT")
            .set_allowed_headers(Some(HEADERS.map(ToOwned::to_owned).to_vec()))
            .max_age_seconds(CORS_MAX_AGE_SECONDS)
            .build()
            .map_err(|_| ObjectsError::Unmade)?;
        rules.retain(|rule| rule.id() != Some(RULE));
        rules.push(ours);
        let rules = CorsConfiguration::builder()
            .set_cors_rules(Some(rules))
            .build()
            .map_err(|_| ObjectsError::Unmade)?;
        self.client
            .put_bucket_cors()
            .bucket(bucket)
            .cors_configuration(rules)
            .send()
            .await
            .map_err(ObjectsError::from_sdk)?;
        Ok(Cors::Added)
    }
}

fn tell(bucket: &str, cors: Cors, origin: &str) {
    match cors {
        Cors::Present => info!(bucket, "The bucket takes uploads from the app's pages"),
        Cors::Added => info!(
            bucket,
            "The bucket takes uploads from the app's pages from now on"
        ),
        Cors::NotOurs => warn!(
            bucket,
            "The bucket's rules for browsers (CORS) can be neither seen nor set with these keys; it must allow PUT from {origin} with the \
             headers {}, or uploads fail",
            HEADERS.join(" and "),
        ),
    }
}

fn lets_in(rule: &CorsRule, origin: &str) -> bool {
    let has = |list: &[String], wanted: &str| {
        list.iter()
            .any(|entry| entry == "*" || entry.eq_ignore_ascii_case(wanted))
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
    fn a_rule_lets_uploads_in_only_with_origin_and_headers() {
        let origin = "https://chat.example.org";
        assert!(lets_in(
            &rule(origin, &["Content-Type", "X-Amz-Checksum-Sha256"]),
            origin
        ));
        assert!(lets_in(&rule("*", &["*"]), origin));
        assert!(!lets_in(&rule("https://other.example.org", &["*"]), origin));
        assert!(!lets_in(&rule(origin, &["content-type"]), origin));
    }
}
