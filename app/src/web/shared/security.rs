//! Security headers of every response, and the origin check of requests that change state.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use url::Url;

use super::Problem;
use crate::config::{Config, Objects, PublicUrl};

const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The security headers, computed once from the settings.
#[derive(Clone, Debug)]
pub struct SecurityHeaders(Vec<(HeaderName, HeaderValue)>);

impl SecurityHeaders {
    pub fn new(config: &Config) -> Self {
        let mut headers = vec![
            (
                header::CONTENT_SECURITY_POLICY,
                content_security_policy(&config.objects),
            ),
            (
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ),
            (
                header::REFERRER_POLICY,
                HeaderValue::from_static("same-origin"),
            ),
            (
                HeaderName::from_static("permissions-policy"),
                HeaderValue::from_static(
                    "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
                ),
            ),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                HeaderValue::from_static("same-origin"),
            ),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                HeaderValue::from_static("same-origin"),
            ),
            (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        ];
        if config.http.public_url.is_https() {
            headers.push((header::STRICT_TRANSPORT_SECURITY, HSTS));
        }
        Self(headers)
    }

    /// Adds the headers, and `Cache-Control: no-store` unless the response sets its own.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            headers.insert(name, value.clone());
        }
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
    }
}

/// Allows this origin only, plus the S3 endpoints for uploads and the viewer of documents.
fn content_security_policy(objects: &Objects) -> HeaderValue {
    let files: String = object_origins(objects)
        .into_iter()
        .flat_map(|origin| [" ".to_owned(), origin])
        .collect();
    let policy = format!(
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; manifest-src 'self'; \
         connect-src 'self'{files}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    // Origins are always ASCII. If one was not, the fallback would block uploads, but allow nothing
    // else.
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'self'"))
}

/// The distinct origins of presigned URLs.
fn object_origins(objects: &Objects) -> Vec<String> {
    let endpoint = objects
        .public_endpoint
        .as_ref()
        .or(objects.endpoint.as_ref());
    let mut origins: Vec<String> = match endpoint {
        Some(endpoint) if objects.path_style => vec![endpoint.origin().ascii_serialization()],
        Some(endpoint) => objects
            .all_buckets()
            .into_iter()
            .filter_map(|bucket| virtual_host_origin(endpoint, bucket))
            .collect(),
        None if objects.path_style => vec![format!("https://s3.{}.amazonaws.com", objects.region)],
        None => objects
            .all_buckets()
            .into_iter()
            .map(|bucket| format!("https://{bucket}.s3.{}.amazonaws.com", objects.region))
            .collect(),
    };
    origins.dedup();
    origins
}

/// The origin of virtual-hosted-style URLs, `https://<bucket>.<endpoint host>`.
fn virtual_host_origin(endpoint: &Url, bucket: &str) -> Option<String> {
    let mut url = endpoint.clone();
    url.set_host(Some(&format!("{bucket}.{}", endpoint.host_str()?)))
        .ok()?;
    Some(url.origin().ascii_serialization())
}

pub fn is_state_changing(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// Rejects requests that another site's page sent, according to `Sec-Fetch-Site` and `Origin`.
/// Clients that are not browsers send neither header; for them, the CSRF token decides.
pub fn check_origin(headers: &HeaderMap, public_url: &PublicUrl) -> Result<(), Problem> {
    let cross_site = || Err(Problem::cross_site(public_url.origin()));
    if let Some(site) = headers.get(SEC_FETCH_SITE)
        && site != "same-origin"
        && site != "none"
    {
        return cross_site();
    }
    match headers.get(header::ORIGIN) {
        Some(origin) if origin.as_bytes() != public_url.origin().as_bytes() => cross_site(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Buckets;

    fn objects(endpoint: Option<&str>, path_style: bool) -> Objects {
        Objects {
            region: "eu-central-1".to_owned(),
            endpoint: Some("http://s3.internal:9000".parse().expect("URL")),
            public_endpoint: endpoint.map(|url| url.parse().expect("URL")),
            path_style,
            bucket: "files".to_owned(),
            region_buckets: Buckets(BTreeMap::from([(
                "aws-us-east-1".to_owned(),
                "files-us".to_owned(),
            )])),
        }
    }

    #[test]
    fn files_are_transferred_from_and_to_the_public_s3_endpoints_only() {
        let public = Some("https://files.example.com:8443");
        assert_eq!(
            object_origins(&objects(public, true)),
            ["https://files.example.com:8443"]
        );
        assert_eq!(
            object_origins(&objects(public, false)),
            [
                "https://files.files.example.com:8443",
                "https://files-us.files.example.com:8443"
            ]
        );
        let aws = Objects {
            endpoint: None,
            ..objects(None, false)
        };
        assert_eq!(
            object_origins(&aws),
            [
                "https://files.s3.eu-central-1.amazonaws.com",
                "https://files-us.s3.eu-central-1.amazonaws.com"
            ]
        );
    }

    #[test]
    fn the_policy_allows_no_inline_scripts() {
        let policy = content_security_policy(&objects(Some("https://files.example.com"), true));
        let policy = policy.to_str().expect("ASCII");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; worker-src 'self'; "));
        assert!(policy.contains("connect-src 'self' https://files.example.com;"));
        assert!(!policy.contains("unsafe"));
    }

    #[test]
    fn requests_from_other_sites_are_rejected() {
        let own: PublicUrl = "https://chat.example.com".parse().expect("URL");
        let check = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| {
                    (
                        HeaderName::from_static(name),
                        HeaderValue::from_static(value),
                    )
                })
                .collect();
            check_origin(&headers, &own).is_ok()
        };
        for allowed in [
            &[][..],
            &[("sec-fetch-site", "same-origin")],
            &[("origin", "https://chat.example.com")],
        ] {
            assert!(check(allowed), "{allowed:?}");
        }
        for foreign in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "http://chat.example.com"),
            ("origin", "null"),
        ] {
            assert!(!check(&[foreign]), "{foreign:?}");
        }
    }
}
