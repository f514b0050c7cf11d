//! Types and parsers of settings that several programs have. The errors of the parsers say what to
//! write instead.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use tracing_subscriber::EnvFilter;
use url::Url;

/// Longest DNS label, in bytes (RFC 1035): the names of namespaces.
const MAX_DNS_LABEL_BYTES: usize = 63;
/// Longest DNS subdomain name, in bytes: the names of most Kubernetes objects.
const MAX_DNS_SUBDOMAIN_BYTES: usize = 253;
/// What [`duration`] accepts, as a regular expression: `500ms`, `15s`, `1m 30s`.
pub(super) const DURATION_PATTERN: &str = "^([0-9]+ *[a-zµ]+[ ,]*)+$";

/// A share from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(f64);

impl Ratio {
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<f64>()
            .ok()
            .filter(|ratio| (0.0..=1.0).contains(ratio))
            .map(Self)
            .ok_or_else(|| "must be a number from 0 to 1, such as `0.1` for 10 %".to_owned())
    }
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// A message and its fields, for terminals.
    Pretty,
}

/// Valid directives of a `tracing_subscriber::EnvFilter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match EnvFilter::builder().parse(text) {
            Ok(_) if !text.trim().is_empty() => Ok(Self(text.to_owned())),
            _ => Err(
                "must be a level (error, warn, info, debug, trace) and `target=level` pairs, separated by commas, \
                 such as `info,neon_client=debug`"
                    .to_owned(),
            ),
        }
    }
}

/// Values separated by commas. Spaces around a value are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T: FromStr> FromStr for List<T>
where
    T::Err: fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().map_err(|error| format!("`{part}`: {error}")))
            .collect::<Result<Vec<T>, String>>()
            .map(Self)
    }
}

/// A parser of durations with a unit within these bounds.
pub fn duration(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        text.parse::<SignedDuration>()
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .filter(|duration| bounds.contains(duration))
            .ok_or_else(|| {
                let (min, max) = (*bounds.start(), *bounds.end());
                format!(
                    "must be a number with a unit (ms, s, m, h), from {} to {}, such as `{}`",
                    format_duration(min),
                    format_duration(max),
                    format_duration(min.saturating_mul(2).clamp(Duration::from_millis(1), max))
                )
            })
    }
}

/// As [`duration`], but only whole seconds.
pub fn whole_seconds(
    bounds: RangeInclusive<Duration>,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    let parse = duration(bounds);
    move |text| {
        let duration = parse(text)?;
        if duration.subsec_nanos() == 0 {
            Ok(duration)
        } else {
            Err(format!(
                "must be a whole number of seconds, such as `{}s`",
                duration.as_secs() + 1
            ))
        }
    }
}

/// Formats a duration the way settings are written, such as `1m 30s`.
pub fn format_duration(duration: Duration) -> String {
    SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{}s", duration.as_secs()), |d| format!("{d:#}"))
}

/// A parser of whole numbers within these bounds.
pub fn number<T>(
    bounds: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: TryFrom<u32>,
{
    move |text| {
        text.parse::<u32>()
            .ok()
            .filter(|number| bounds.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                format!(
                    "must be a whole number from {} to {}",
                    bounds.start(),
                    bounds.end()
                )
            })
    }
}

/// A parser of whole numbers from 1 to this maximum.
pub fn count(
    max: u32,
) -> impl Fn(&str) -> Result<NonZeroU32, String> + Clone + Send + Sync + 'static {
    number(1..=max)
}

/// As [`count`], for sizes in memory.
pub fn size(
    max: u32,
) -> impl Fn(&str) -> Result<NonZeroUsize, String> + Clone + Send + Sync + 'static {
    let parse = count(max);
    move |text| {
        let number = parse(text)?;
        NonZeroUsize::try_from(number).map_err(|error| error.to_string())
    }
}

/// Parses the base URL of an HTTP service.
pub fn http_url(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .filter(|url| url.username().is_empty() && url.password().is_none())
        .ok_or_else(|| {
            "must be an http or https URL without a user name, such as `http://collector:4318`"
                .to_owned()
        })
}

/// Parses an address with a port.
pub fn socket_address(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse().map_err(|_| {
        "must be an IP address and a port, such as `0.0.0.0:8080` or `[::]:8080`".to_owned()
    })
}

/// Parses the name of a Kubernetes namespace.
pub fn namespace(text: &str) -> Result<String, String> {
    if is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be the name of a namespace: 1 to {MAX_DNS_LABEL_BYTES} of the characters a-z, 0-9 and -, \
             starting and ending with a letter or digit"
        ))
    }
}

/// Parses the names of Kubernetes namespaces: sorted, and each once.
pub fn namespaces(text: &str) -> Result<List<String>, String> {
    let List(mut names) = text.parse::<List<String>>()?;
    for name in &names {
        namespace(name).map_err(|advice| format!("`{name}`: {advice}"))?;
    }
    names.sort_unstable();
    names.dedup();
    Ok(List(names))
}

/// Parses the name of a Kubernetes object.
pub fn object_name(text: &str) -> Result<String, String> {
    if text.len() <= MAX_DNS_SUBDOMAIN_BYTES && text.split('.').all(is_dns_label) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be a name of at most {MAX_DNS_SUBDOMAIN_BYTES} of the characters a-z, 0-9, - and ., such as `my-lease`"
        ))
    }
}

/// Parses the path of a directory that exists.
pub fn directory(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_dir() {
        Ok(path)
    } else {
        Err("must be the path of an existing directory".to_owned())
    }
}

fn is_dns_label(text: &str) -> bool {
    (1..=MAX_DNS_LABEL_BYTES).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_duration_needs_a_unit_and_must_be_within_bounds() {
        let parse = duration(SECOND..=60 * SECOND);
        assert_eq!(parse("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse("1m"), Ok(60 * SECOND));
        assert_eq!(parse("30 seconds"), Ok(30 * SECOND));
        for text in ["15", "", "-5s", "0s", "999ms", "61s", "soon", "1d"] {
            let advice = parse(text).expect_err(text);
            assert!(advice.contains("from 1s to 1m, such as `2s`"), "{advice}");
        }
    }

    #[test]
    fn fractions_of_a_second_are_rejected_for_settings_in_whole_seconds() {
        let parse = whole_seconds(SECOND..=60 * SECOND);
        assert_eq!(
            parse("1500ms"),
            Err("must be a whole number of seconds, such as `2s`".to_owned())
        );
        assert_eq!(parse("2s"), Ok(2 * SECOND));
    }

    #[test]
    fn counts_range_from_one_to_their_maximum() {
        assert_eq!(count(700)("700").map(NonZeroU32::get), Ok(700));
        for text in ["0", "-1", "701", "7.5", "", "many"] {
            assert!(count(700)(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ratios_range_from_zero_to_one() {
        assert_eq!("0.25".parse().map(Ratio::get), Ok(0.25));
        for text in ["-0.1", "1.01", "NaN", "inf", "10%"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
    }

    #[test]
    fn namespaces_are_trimmed_sorted_and_deduplicated() {
        assert_eq!(
            namespaces(" b, a,b ,"),
            Ok(List(vec!["a".to_owned(), "b".to_owned()]))
        );
        assert_eq!(namespaces(""), Ok(List(vec![])));
        assert!(namespaces("a,-b").is_err_and(|advice| advice.contains("`-b`")));
    }

    #[test]
    fn urls_with_a_password_are_rejected() {
        assert!(http_url("http://collector:4318").is_ok());
        for text in ["collector:4318", "http://u:p@host", "ftp://host", "http://"] {
            assert!(http_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn invalid_log_filters_are_rejected() {
        assert!("info,neon_client=debug".parse::<LogFilter>().is_ok());
        for text in ["", "neon_client=loud", "info,=,"] {
            assert!(text.parse::<LogFilter>().is_err(), "{text}");
        }
    }
}
