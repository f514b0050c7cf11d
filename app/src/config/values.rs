//! Types and parsers of settings that only the app has. Errors describe the valid values.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use openidconnect::IssuerUrl;
use secrecy::SecretString;
use service_kit::settings::List;
use sqlx::postgres::PgConnectOptions;
use url::Url;

/// Longest name of a model, region or client, in bytes.
const MAX_WORD_BYTES: usize = 200;
/// Longest secret, in bytes.
const MAX_SECRET_BYTES: usize = 4096;
/// Maximum number of options that users can choose from.
const MAX_OPTIONS: usize = 50;

/// A class or a region that users can choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassOption {
    /// The name that the Tenant uses.
    pub name: String,
    /// The name that users see.
    pub display_name: String,
}

/// The classes or regions that users can choose from, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassOptions(pub Vec<ClassOption>);

/// Buckets by region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets(pub BTreeMap<String, String>);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// Parses networks. `none` says explicitly that there are none.
pub(super) fn networks(text: &str) -> Result<List<IpNet>, String> {
    if text.trim() == "none" {
        return Ok(List(Vec::new()));
    }
    let List(parts) = text.parse::<List<String>>()?;
    let networks = parts.iter().map(|part| {
        let network = part.parse::<IpNet>();
        let address = || part.parse().map(|address: std::net::IpAddr| address.into());
        network.or_else(|_| address()).map_err(|_| {
            format!("`{part}` is not a network; must be CIDR blocks separated by commas, such as `10.0.0.0/8,fd00::/8`, or `none`")
        })
    });
    networks.collect::<Result<_, _>>().map(List)
}

pub(super) fn database_url(text: &str) -> Result<SecretString, String> {
    let is_postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
    if is_postgres && text.parse::<PgConnectOptions>().is_ok() {
        Ok(text.into())
    } else {
        Err(
            "must be a PostgreSQL URL, such as `postgres://user:password@host:5432/name`"
                .to_owned(),
        )
    }
}

pub(super) fn redis_url(text: &str) -> Result<SecretString, String> {
    if text.starts_with("redis://") && redis::Client::open(text).is_ok() {
        Ok(text.into())
    } else {
        Err("must be a Redis URL, such as `redis://:password@host:6379/0`".to_owned())
    }
}

pub(super) fn secret(text: &str) -> Result<SecretString, String> {
    printable(text, MAX_SECRET_BYTES).map(SecretString::from)
}

pub(super) fn word(text: &str) -> Result<String, String> {
    printable(text, MAX_WORD_BYTES).map(str::to_owned)
}

fn printable(text: &str, max_bytes: usize) -> Result<&str, String> {
    let fits = (1..=max_bytes).contains(&text.len());
    if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text)
    } else {
        Err(format!(
            "must consist of 1 to {max_bytes} printable ASCII characters without spaces"
        ))
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_| "must be `true` or `false`".to_owned())
}

/// A parser of sizes within these bounds, in bytes, KB, MB or GB of 1,000.
pub(super) fn byte_size(
    bounds: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<ByteSize, String> + Clone + Send + Sync + 'static {
    move |text| {
        let units = [("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
        let (digits, unit) = units
            .iter()
            .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)))
            .unwrap_or((text, 1));
        let bytes = digits.trim_end().parse::<u64>().ok();
        bytes
            .and_then(|count| count.checked_mul(unit))
            .filter(|bytes| bounds.contains(bytes))
            .map(ByteSize)
            .ok_or_else(|| {
                format!(
                    "must be a number of bytes, KB, MB or GB, from {} to {} bytes, such as `25MB`",
                    bounds.start(),
                    bounds.end()
                )
            })
    }
}

/// Parses the classes, of which there must be one.
pub(super) fn classes(text: &str) -> Result<ClassOptions, String> {
    options(text, 1)
}

pub(super) fn regions(text: &str) -> Result<ClassOptions, String> {
    options(text, 0)
}

fn options(text: &str, min: usize) -> Result<ClassOptions, String> {
    let advice = || {
        format!(
            "must be {min} to {MAX_OPTIONS} distinct names, each with the name that users see, such as \
             `aws-eu-central-1=Frankfurt,aws-us-east-2=Ohio`"
        )
    };
    let List(parts) = text.parse::<List<String>>()?;
    let options = parts
        .iter()
        .map(|part| {
            let (name, display_name) = part.split_once('=').unwrap_or((part, part));
            let display_name = display_name.trim();
            let valid = !display_name.is_empty() && !display_name.chars().any(char::is_control);
            Ok(ClassOption {
                name: word(name.trim())?,
                display_name: valid.then(|| display_name.to_owned()).ok_or_else(advice)?,
            })
        })
        .collect::<Result<Vec<_>, String>>()
        .map_err(|_| advice())?;
    let mut names: Vec<&str> = options.iter().map(|option| option.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() < options.len() || !(min..=MAX_OPTIONS).contains(&options.len()) {
        return Err(advice());
    }
    Ok(ClassOptions(options))
}

pub(super) fn bucket(text: &str) -> Result<String, String> {
    let fits = (3..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("must be the name of a bucket: 3 to 63 of the characters a-z, 0-9, - and .".to_owned())
    }
}

pub(super) fn buckets(text: &str) -> Result<Buckets, String> {
    let List(parts) = text.parse::<List<String>>()?;
    let mut buckets = BTreeMap::new();
    for part in &parts {
        let (region, name) = part.split_once('=').ok_or_else(|| {
            "must be regions and their buckets, such as `aws-eu-central-1=files-eu`".to_owned()
        })?;
        if buckets
            .insert(word(region.trim())?, bucket(name.trim())?)
            .is_some()
        {
            return Err(format!(
                "must contain each region once (got {region} twice)"
            ));
        }
    }
    Ok(Buckets(buckets))
}

pub(super) fn issuer(text: &str) -> Result<IssuerUrl, String> {
    let url = Url::parse(text).ok().filter(|url| {
        let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        bare && match url.scheme() {
            "https" => url.has_host(),
            "http" => http_client::is_loopback(url),
            _ => false,
        }
    });
    url.and_then(|_| IssuerUrl::new(text.to_owned()).ok())
        .ok_or_else(|| {
            "must be the provider's https URL, such as `https://accounts.google.com`; http is allowed on the loopback interface only"
                .to_owned()
        })
}
