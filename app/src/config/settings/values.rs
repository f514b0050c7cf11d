//! Text to values, where the app has kinds of its own. Each function answers what to write instead when the text will not do.

use std::num::NonZeroU32;

use ipnet::IpNet;
use openidconnect::IssuerUrl;
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use url::{Host, Url};

use super::super::rate::{Allowance, NotARate, Rate};
use super::super::{Choice, ForwardedHeader, NotAPublicUrl, PublicUrl};
use super::SignInMode;

/// Longest word, in bytes: names of models, regions, clients.
const WORD_BYTES_MAX: usize = 200;
/// Choices that people can look over, at most.
const CHOICES_MAX: usize = 50;

pub(super) fn public_url(text: &str) -> Result<PublicUrl, String> {
    text.parse()
        .map_err(|error: NotAPublicUrl| error.to_string())
}

pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    parts(text)
        .map(|part| {
            let network = part.parse::<IpNet>();
            let one = || part.parse().map(|address: std::net::IpAddr| address.into());
            network.or_else(|_| one()).map_err(|_| {
                format!("`{part}` is no network; write CIDRs with commas between, such as `10.0.0.0/8,fd00::/8`")
            })
        })
        .collect()
}

pub(super) fn forwarded_header(text: &str) -> Result<ForwardedHeader, String> {
    match text.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => Ok(ForwardedHeader::XForwardedFor),
        "forwarded" => Ok(ForwardedHeader::Forwarded),
        _ => Err("write `x-forwarded-for` or `forwarded`".to_owned()),
    }
}

pub(super) fn database_url(text: &str) -> Result<SecretString, String> {
    let readable = text.starts_with("postgres://") || text.starts_with("postgresql://");
    if readable && text.parse::<PgConnectOptions>().is_ok() {
        Ok(text.to_owned().into())
    } else {
        Err("write a PostgreSQL URL, such as `postgres://user:password@host:5432/name`".to_owned())
    }
}

pub(super) fn redis_url(text: &str) -> Result<SecretString, String> {
    if text.starts_with("redis://") && redis::Client::open(text).is_ok() {
        Ok(text.to_owned().into())
    } else {
        Err("write a Redis URL, such as `redis://:password@host:6379/0`".to_owned())
    }
}

pub(super) fn secret(text: &str) -> Result<SecretString, String> {
    if (1..=4096).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned().into())
    } else {
        Err("write 1 to 4096 printable ASCII characters without spaces".to_owned())
    }
}

pub(super) fn word(text: &str) -> Result<String, String> {
    if (1..=WORD_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
    {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "write 1 to {WORD_BYTES_MAX} printable ASCII characters without spaces"
        ))
    }
}

pub(super) fn between(text: &str, min: u32, max: u32) -> Result<NonZeroU32, String> {
    text.parse::<NonZeroU32>()
        .ok()
        .filter(|number| (min..=max).contains(&number.get()))
        .ok_or_else(|| format!("write a whole number from {min} to {max}"))
}

pub(super) fn number(text: &str, max: usize) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number <= max)
        .ok_or_else(|| format!("write a whole number from 0 to {max}"))
}

pub(super) fn bytes(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let units = [("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let (digits, unit) = units
        .iter()
        .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)))
        .unwrap_or((text, 1));
    digits
        .trim_end()
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(unit))
        .filter(|bytes| (min..=max).contains(bytes))
        .ok_or_else(|| {
            format!(
                "write a number of bytes from {min} to {max}, or of KB, MB or GB, such as `25MB`"
            )
        })
}

pub(super) fn choices(text: &str, min: usize) -> Result<Vec<Choice>, String> {
    let advice = || {
        "write names and what people read, such as `aws-eu-central-1=Frankfurt,aws-us-east-2=Ohio`"
            .to_owned()
    };
    let choices = parts(text)
        .map(|part| {
            let (name, display_name) = part.split_once('=').unwrap_or((part, part));
            let (name, display_name) = (word(name.trim())?, display_name.trim());
            if display_name.is_empty() || display_name.chars().any(char::is_control) {
                return Err(advice());
            }
            Ok(Choice {
                name,
                display_name: display_name.to_owned(),
            })
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| advice())?;
    let twins = (1..choices.len()).any(|index| {
        choices[..index]
            .iter()
            .any(|before| before.name == choices[index].name)
    });
    if twins || !(min..=CHOICES_MAX).contains(&choices.len()) {
        return Err(format!(
            "{}; {min} to {CHOICES_MAX} of them, each once",
            advice()
        ));
    }
    Ok(choices)
}

pub(super) fn bucket(text: &str) -> Result<String, String> {
    let fits = (3..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("write the name of a bucket: 3 to 63 of a-z, 0-9, - and .".to_owned())
    }
}

pub(super) fn region_buckets(text: &str) -> Result<Vec<(String, String)>, String> {
    parts(text)
        .map(|part| {
            let (region, name) = part.split_once('=').ok_or_else(|| {
                "write regions and their buckets, such as `aws-eu-central-1=files-eu`".to_owned()
            })?;
            Ok((word(region.trim())?, bucket(name.trim())?))
        })
        .collect()
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_| "write `true` or `false`".to_owned())
}

pub(super) fn sign_in_mode(text: &str) -> Result<SignInMode, String> {
    match text {
        "oidc" => Ok(SignInMode::Oidc),
        "local" => Ok(SignInMode::Local),
        _ => Err("write `oidc` or `local`".to_owned()),
    }
}

pub(super) fn issuer(text: &str) -> Result<IssuerUrl, String> {
    let url = Url::parse(text).ok().filter(|url| {
        let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        bare && match url.scheme() {
            "https" => url.has_host(),
            "http" => is_loopback(url),
            _ => false,
        }
    });
    url.and_then(|_| IssuerUrl::new(text.to_owned()).ok())
        .ok_or_else(|| {
            "write the provider's https URL, such as `https://accounts.google.com`; http is for this machine alone"
                .to_owned()
        })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

pub(super) fn allowance(text: &str) -> Result<Allowance, String> {
    let advice = |error: NotARate| {
        format!("{error}; first for a user, then for a client address, such as `60/1m,300/1m`")
    };
    let rates = parts(text)
        .map(str::parse::<Rate>)
        .collect::<Result<Vec<_>, _>>()
        .map_err(advice)?;
    match rates[..] {
        [user, address] => Ok(Allowance { user, address }),
        _ => Err(advice(NotARate)),
    }
}

/// What stands between commas, without the space around it.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}
