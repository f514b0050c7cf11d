//! E-mail addresses and their domains, in a form in which equal ones compare equal.

use std::fmt;
use std::str::FromStr;

use url::Host;

/// Longest address (RFC 5321), in bytes.
const MAX_ADDRESS_BYTES: usize = 254;

/// The domain of e-mail addresses: lower-case ASCII, internationalized names as Punycode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailDomain(String);

/// An e-mail address. Case does not distinguish addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailAddress {
    local_part: String,
    domain: EmailDomain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a domain without `@`, such as `example.com`")]
pub struct InvalidEmailDomain;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address, such as `ada@example.com`")]
pub struct InvalidEmailAddress;

impl FromStr for EmailDomain {
    type Err = InvalidEmailDomain;

    fn from_str(text: &str) -> Result<Self, InvalidEmailDomain> {
        match Host::parse(text) {
            Ok(Host::Domain(name)) if name.contains('.') && name.split('.').all(is_label) => {
                Ok(Self(name))
            }
            _ => Err(InvalidEmailDomain),
        }
    }
}

fn is_label(label: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
    !label.is_empty() && !label.starts_with('-') && label.bytes().all(allowed)
}

impl EmailAddress {
    pub fn domain(&self) -> &EmailDomain {
        &self.domain
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;

    fn from_str(text: &str) -> Result<Self, InvalidEmailAddress> {
        let (local_part, domain) = text.rsplit_once('@').ok_or(InvalidEmailAddress)?;
        let readable = |c: char| !c.is_whitespace() && !c.is_control();
        if local_part.is_empty()
            || text.len() > MAX_ADDRESS_BYTES
            || !local_part.chars().all(readable)
        {
            return Err(InvalidEmailAddress);
        }
        Ok(Self {
            local_part: local_part.to_lowercase(),
            domain: domain.parse().map_err(|_| InvalidEmailAddress)?,
        })
    }
}

impl fmt::Display for EmailDomain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.local_part, self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> EmailAddress {
        text.parse().expect("an address")
    }

    #[test]
    fn case_and_the_form_of_an_international_domain_do_not_distinguish_addresses() {
        assert_eq!(address("Ada@Example.COM"), address("ada@example.com"));
        assert_eq!(
            address("ada@bücher.example"),
            address("ada@xn--bcher-kva.example")
        );
        assert_ne!(address("ada@example.com"), address("grace@example.com"));
        assert_ne!(address("ada@example.com"), address("ada@mail.example.com"));
    }

    #[test]
    fn the_domain_follows_the_last_at_sign() {
        let address = address("\"ada@other.example\"@example.com");
        assert_eq!(address.domain().to_string(), "example.com");
    }

    #[test]
    fn other_text_is_rejected() {
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "ada@127.0.0.1",
            "a b@example.com",
        ] {
            assert_eq!(
                text.parse::<EmailAddress>(),
                Err(InvalidEmailAddress),
                "{text}"
            );
        }
        for text in [
            "",
            "@example.com",
            "example",
            "example.com.",
            "https://example.com",
            "*.example.com",
            "[::1]",
        ] {
            assert_eq!(
                text.parse::<EmailDomain>(),
                Err(InvalidEmailDomain),
                "{text}"
            );
        }
    }
}
