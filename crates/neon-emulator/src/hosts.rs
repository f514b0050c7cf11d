//! The hosts and URIs that clients connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use neon_client::ids::{DatabaseName, EndpointId, RoleName};
use url::Url;

use crate::config::ENDPOINT_PLACEHOLDER;

/// The suffix of the endpoint ID in a pooled host.
pub(crate) const POOLER_SUFFIX: &str = "-pooler";
/// The host of every endpoint if there is no template.
const SHARED_HOST: &str = "127.0.0.1";

/// Builds hosts and connection URIs.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    template: Option<String>,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the host template {template:?} must begin with {ENDPOINT_PLACEHOLDER} and a dot, such as {ENDPOINT_PLACEHOLDER}.localhost"
)]
pub struct HostTemplateError {
    template: String,
}

/// The loopback address for an unspecified address (such as 0.0.0.0), to which clients cannot
/// connect. Other addresses are returned unchanged.
pub(crate) fn connectable(address: SocketAddr) -> SocketAddr {
    let loopback = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(loopback, address.port())
}

impl Hosts {
    pub(crate) fn new(template: Option<String>, port: u16) -> Result<Self, HostTemplateError> {
        if let Some(template) = &template {
            let rest = template
                .strip_prefix(ENDPOINT_PLACEHOLDER)
                .and_then(|rest| rest.strip_prefix('.'));
            let valid = rest.is_some_and(|rest| {
                !rest.is_empty()
                    && rest
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
            });
            if !valid {
                return Err(HostTemplateError {
                    template: template.clone(),
                });
            }
        }
        Ok(Self { template, port })
    }

    /// The host without the endpoint ID and the dot, or the whole host if all endpoints share one.
    pub(crate) fn suffix(&self) -> &str {
        self.template
            .as_deref()
            .and_then(|template| {
                template
                    .strip_prefix(ENDPOINT_PLACEHOLDER)?
                    .strip_prefix('.')
            })
            .unwrap_or(SHARED_HOST)
    }

    /// Whether each endpoint has its own host.
    pub(crate) fn is_per_endpoint(&self) -> bool {
        self.template.is_some()
    }

    pub(crate) fn host(&self, endpoint: &EndpointId, pooled: bool) -> String {
        if self.is_per_endpoint() {
            format!("{}.{}", label(endpoint, pooled), self.suffix())
        } else {
            SHARED_HOST.to_owned()
        }
    }

    pub(crate) fn uri(
        &self,
        endpoint: &EndpointId,
        role: &RoleName,
        password: Option<&str>,
        database: &DatabaseName,
        pooled: bool,
    ) -> Result<String, url::ParseError> {
        let mut uri = Url::parse(&format!(
            "postgresql://{}:{}",
            self.host(endpoint, pooled),
            self.port
        ))?;
        // These calls do not fail for a URI with a host.
        let _ = uri.set_username(role.as_str());
        let _ = uri.set_password(password);
        uri.path_segments_mut()
            .map_err(|()| url::ParseError::RelativeUrlWithCannotBeABaseBase)?
            .push(database.as_str());
        let query = if self.is_per_endpoint() {
            "sslmode=require".to_owned()
        } else {
            format!(
                "options=endpoint%3D{}&sslmode=require",
                label(endpoint, pooled)
            )
        };
        uri.set_query(Some(&query));
        Ok(uri.into())
    }
}

fn label(endpoint: &EndpointId, pooled: bool) -> String {
    format!("{endpoint}{}", if pooled { POOLER_SUFFIX } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(hosts: &Hosts, database: &str, pooled: bool) -> String {
        let endpoint = "ep-still-lake-00000001".parse().unwrap();
        let role = "neondb_owner".parse().unwrap();
        hosts
            .uri(
                &endpoint,
                &role,
                Some("npg_secret"),
                &database.parse().unwrap(),
                pooled,
            )
            .unwrap()
    }

    #[test]
    fn without_a_template_the_endpoint_is_in_the_options() {
        let hosts = Hosts::new(None, 5433).unwrap();
        assert_eq!(
            uri(&hosts, "neondb", true),
            "postgresql://neondb_owner:npg_secret@127.0.0.1:5433/neondb?options=endpoint%3Dep-still-lake-00000001-pooler&sslmode=require"
        );
    }

    #[test]
    fn with_a_template_the_endpoint_is_in_the_host() {
        let hosts = Hosts::new(Some("{endpoint}.localhost".into()), 5433).unwrap();
        assert_eq!(
            uri(&hosts, "my db", false),
            "postgresql://neondb_owner:npg_secret@ep-still-lake-00000001.localhost:5433/my%20db?sslmode=require"
        );
    }

    #[test]
    fn a_template_without_a_separate_label_for_the_endpoint_is_rejected() {
        for template in [
            "localhost",
            "db-{endpoint}.localhost",
            "{endpoint}",
            "{endpoint}.",
            "{endpoint}.a/b",
        ] {
            assert!(Hosts::new(Some(template.into()), 1).is_err(), "{template}");
        }
    }
}
