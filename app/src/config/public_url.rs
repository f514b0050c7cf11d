//! The origin that browsers use for the app.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// Scheme, host and port that browsers use for the app: https, or http on the loopback interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    https: bool,
    loopback: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be the scheme, host and port that browsers use, such as `https://chat.example.com`; http is allowed on the loopback interface only, such as `http://127.0.0.1:8000`"
)]
pub struct InvalidPublicUrl;

impl PublicUrl {
    /// The form of the `Origin` header: without a trailing slash.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub fn is_https(&self) -> bool {
        self.https
    }

    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The URL of a path of the app. The path starts with a slash.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let url = Url::parse(text).map_err(|_| InvalidPublicUrl)?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        let loopback = http_client::is_loopback(&url);
        let https = match url.scheme() {
            "https" => true,
            "http" if loopback => false,
            _ => return Err(InvalidPublicUrl),
        };
        if !bare || !url.has_host() {
            return Err(InvalidPublicUrl);
        }
        Ok(Self {
            origin: url.origin().ascii_serialization(),
            https,
            loopback,
        })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_has_the_form_of_the_origin_header() {
        for (text, origin) in [
            ("https://Chat.Example.com", "https://chat.example.com"),
            ("https://chat.example.com:443/", "https://chat.example.com"),
            (
                "https://chat.example.com:8443",
                "https://chat.example.com:8443",
            ),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("http://[::1]:8000/", "http://[::1]:8000"),
        ] {
            assert_eq!(
                text.parse::<PublicUrl>().map(|url| url.origin().to_owned()),
                Ok(origin.to_owned())
            );
        }
    }

    #[test]
    fn plain_http_is_allowed_on_the_loopback_interface_only() {
        let local: PublicUrl = "http://localhost:8000".parse().expect("loopback");
        assert!(local.is_loopback() && !local.is_https());
        for text in [
            "http://chat.example.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "ftp://localhost",
        ] {
            assert_eq!(text.parse::<PublicUrl>(), Err(InvalidPublicUrl), "{text}");
        }
    }

    #[test]
    fn urls_with_more_than_an_origin_are_rejected() {
        for text in [
            "https://host/path",
            "https://user@host",
            "https://user:word@host",
            "https://host/?q",
            "https://host/#f",
            "host",
            "",
        ] {
            assert_eq!(text.parse::<PublicUrl>(), Err(InvalidPublicUrl), "{text}");
        }
    }
}
