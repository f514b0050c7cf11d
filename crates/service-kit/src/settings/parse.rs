//! Text to values. Each function answers what to write instead when the text will not do.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use tracing_subscriber::EnvFilter;
use url::Url;

/// Longest DNS label, in bytes; names of namespaces are such labels.
const DNS_LABEL_BYTES_MAX: usize = 63;
/// Longest DNS subdomain, in bytes; names of Leases are such.
const DNS_SUBDOMAIN_BYTES_MAX: usize = 253;

/// A share between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(f64);

impl Ratio {
    /// Everything.
    pub const ALL: Self = Self(1.0);

    /// The share.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// A sentence and its fields, for people.
    Pretty,
}

/// Directives of a log filter, known to be readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The directives, such as `info,neon=debug`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A duration with its unit, within bounds.
pub fn duration(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|d| Duration::try_from(d).ok())
        .filter(|d| (min..=max).contains(d))
        .ok_or_else(|| {
            format!(
                "write a number with a unit (ms, s, m, h) from {} to {}, such as `{}`",
                show(min),
                show(max),
                show(min.saturating_mul(2).min(max))
            )
        })
}

/// A duration of whole seconds, within bounds.
pub fn whole_seconds(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let value = duration(text, min, max)?;
    if value.subsec_nanos() == 0 {
        Ok(value)
    } else {
        Err(format!(
            "write whole seconds, such as `{}s`",
            value.as_secs() + 1
        ))
    }
}

/// A duration as people write it.
pub fn show(duration: Duration) -> String {
    SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{}s", duration.as_secs()), |d| format!("{d:#}"))
}

/// A whole number, within bounds; the lower one is 1.
pub fn count(text: &str, max: u32) -> Result<NonZeroU32, String> {
    text.parse::<NonZeroU32>()
        .ok()
        .filter(|n| n.get() <= max)
        .ok_or_else(|| format!("write a whole number from 1 to {max}"))
}

/// As [`count`], for what is counted in memory.
pub fn size(text: &str, max: u32) -> Result<NonZeroUsize, String> {
    let n = count(text, max)?;
    NonZeroUsize::try_from(n).map_err(|_| format!("write a whole number from 1 to {max}"))
}

/// A share between 0 and 1.
pub fn ratio(text: &str) -> Result<Ratio, String> {
    text.parse::<f64>()
        .ok()
        .filter(|r| (0.0..=1.0).contains(r))
        .map(Ratio)
        .ok_or_else(|| "write a share from 0 to 1, such as `0.1` for one in ten".to_owned())
}

/// An address with a port.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an IP address and a port, such as `0.0.0.0:8080` or `[::]:8080`".to_owned()
    })
}

/// Base URL of an HTTP service.
pub fn http_url(text: &str) -> Result<Url, String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .filter(|url| url.username().is_empty() && url.password().is_none())
        .ok_or_else(|| {
            "write an http or https URL without a user, such as `http://collector:4318`".to_owned()
        })
}

/// Name of a namespace.
pub fn namespace(text: &str) -> Result<String, String> {
    if is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "write the name of a namespace: 1 to {DNS_LABEL_BYTES_MAX} of a-z, 0-9 and -, with neither end a -"
        ))
    }
}

/// Names of namespaces with commas between; none for an empty text. Each once, in order of the alphabet.
pub fn namespaces(text: &str) -> Result<Vec<String>, String> {
    let mut names = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| {
            namespace(name).map_err(|_| {
                format!("`{name}` cannot be the name of a namespace; write names with commas between, such as `team-a,team-b`, or nothing for all")
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Name of an object such as a Lease.
pub fn object_name(text: &str) -> Result<String, String> {
    if text.len() <= DNS_SUBDOMAIN_BYTES_MAX && text.split('.').all(is_dns_label) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "write a name of at most {DNS_SUBDOMAIN_BYTES_MAX} characters a-z, 0-9, - and ., such as `my-lease`"
        ))
    }
}

/// An identity: anything that can be read in a log line.
pub fn identity(text: &str) -> Result<String, String> {
    let fits = (1..=DNS_SUBDOMAIN_BYTES_MAX).contains(&text.len());
    if fits && text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "write 1 to {DNS_SUBDOMAIN_BYTES_MAX} printable ASCII characters without spaces, such as the name of the Pod"
        ))
    }
}

/// A directory that is there.
pub fn directory(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_dir() {
        Ok(path)
    } else {
        Err("write the path of a directory that exists, or leave it out".to_owned())
    }
}

/// Form of log lines.
pub fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "json" => Ok(LogFormat::Json),
        "pretty" => Ok(LogFormat::Pretty),
        _ => Err("write `json` or `pretty`".to_owned()),
    }
}

/// Directives of a log filter.
pub fn log_filter(text: &str) -> Result<LogFilter, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) if !text.trim().is_empty() => Ok(LogFilter(text.to_owned())),
        _ => Err(
            "write a level (error, warn, info, debug, trace) and, with commas between, `target=level`, such as `info,neon=debug`"
                .to_owned(),
        ),
    }
}

fn is_dns_label(text: &str) -> bool {
    (1..=DNS_LABEL_BYTES_MAX).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn durations_need_a_unit_and_have_to_be_within_bounds() {
        let read = |text| duration(text, SECOND, 60 * SECOND);
        assert_eq!(read("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(read("1m"), Ok(60 * SECOND));
        assert_eq!(read("30 seconds"), Ok(30 * SECOND));
        for text in ["15", "", "-5s", "0s", "999ms", "61s", "soon", "1d"] {
            let advice = read(text).expect_err(text);
            assert!(advice.contains("from 1s to 1m, such as `2s`"), "{advice}");
        }
    }

    #[test]
    fn fractions_of_seconds_are_refused_where_the_api_has_whole_ones() {
        assert_eq!(
            whole_seconds("1500ms", SECOND, 60 * SECOND),
            Err("write whole seconds, such as `2s`".to_owned())
        );
        assert_eq!(whole_seconds("2s", SECOND, 60 * SECOND), Ok(2 * SECOND));
    }

    #[test]
    fn counts_start_at_one_and_end_at_their_bound() {
        assert_eq!(count("700", 700).map(NonZeroU32::get), Ok(700));
        for text in ["0", "-1", "701", "7.5", "", "many"] {
            assert!(count(text, 700).is_err(), "{text}");
        }
    }

    #[test]
    fn ratios_are_between_zero_and_one() {
        assert_eq!(ratio("0.25").map(Ratio::get), Ok(0.25));
        for text in ["-0.1", "1.01", "NaN", "inf", "10%"] {
            assert!(ratio(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_of_namespaces_are_trimmed_sorted_and_without_twins() {
        assert_eq!(
            namespaces(" b, a,b ,"),
            Ok(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(namespaces(""), Ok(vec![]));
        assert!(
            namespaces("a,-b").is_err_and(|advice| advice.contains("`-b`")),
            "the wrong one is named"
        );
    }

    #[test]
    fn urls_with_a_password_are_refused() {
        assert!(http_url("http://collector:4318").is_ok());
        for text in ["collector:4318", "http://u:p@host", "ftp://host", "http://"] {
            assert!(http_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn log_filters_are_checked() {
        assert!(log_filter("info,neon=debug").is_ok());
        for text in ["", "neon=loud", "info,=,"] {
            assert!(log_filter(text).is_err(), "{text}");
        }
    }
}
