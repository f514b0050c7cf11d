//! The address that browsers know the app by.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use url::{Host, Url};

/// Scheme, host and port that browsers reach the app by: https, or http on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
    https: bool,
    loopback: bool,
}

/// A text is no public URL. `Display` says what to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write the scheme, host and port that browsers use, such as `https://chat.example.com`; http is for this machine alone, such as `http://127.0.0.1:8000`"
)]
pub struct NotAPublicUrl;

impl PublicUrl {
    /// As browsers write it in `Origin`: without a slash at its end.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether browsers come over TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Whether only this machine can mean it.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The whole address of a path of the app, which starts with a slash.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

impl FromStr for PublicUrl {
    type Err = NotAPublicUrl;

    fn from_str(text: &str) -> Result<Self, NotAPublicUrl> {
        let url = Url::parse(text).map_err(|_| NotAPublicUrl)?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
            None => return Err(NotAPublicUrl),
        };
        let https = match url.scheme() {
            "https" => true,
            "http" if loopback => false,
            _ => return Err(NotAPublicUrl),
        };
        if !bare {
            return Err(NotAPublicUrl);
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
    fn the_origin_is_as_browsers_write_it() {
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
    fn plain_http_is_for_this_machine_alone() {
        let local: PublicUrl = "http://localhost:8000".parse().expect("loopback");
        assert!(local.is_loopback() && !local.is_https());
        for text in [
            "http://chat.example.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "ftp://localhost",
        ] {
            assert_eq!(text.parse::<PublicUrl>(), Err(NotAPublicUrl), "{text}");
        }
    }

    #[test]
    fn what_is_more_than_an_origin_is_refused() {
        for text in [
            "https://host/path",
            "https://user@host",
            "https://user:word@host",
            "https://host/?q",
            "https://host/#f",
            "host",
            "",
        ] {
            assert_eq!(text.parse::<PublicUrl>(), Err(NotAPublicUrl), "{text}");
        }
    }
}
