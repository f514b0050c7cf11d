//! Formats numbers, sizes and times for display.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

const MINUTE_SECONDS: i64 = 60;
const HOUR_SECONDS: i64 = 60 * MINUTE_SECONDS;
const DAY_SECONDS: i64 = 24 * HOUR_SECONDS;
/// From this age on, the date is shown instead.
const MAX_RELATIVE_AGE_DAYS: i64 = 30;

/// For example `640 KB` or `2.4 MB`, with decimal units.
pub fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "KB")];
    // Values that would round up to 1000 use the next unit.
    match UNITS
        .iter()
        .find(|(unit, _)| count.saturating_add(unit / 2_000) >= *unit)
    {
        None => self::count(count, "byte", "bytes"),
        Some((unit, name)) => {
            let tenths = (u128::from(count) * 10 + u128::from(unit / 2)) / u128::from(*unit);
            if tenths >= 100 || tenths.is_multiple_of(10) {
                format!("{} {name}", (tenths + 5) / 10)
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            }
        }
    }
}

/// For example `1 page` or `12 pages`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        thousands(number),
        if number == 1 { one } else { many }
    )
}

/// For example `12,400`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Seconds with one decimal: `3.4 s`.
pub fn seconds(milliseconds: u64) -> String {
    let tenths = (milliseconds + 50) / 100;
    format!("{}.{} s", thousands(tenths / 10), tenths % 10)
}

/// For example `3 hours ago`.
pub fn age(at: Timestamp, now: Timestamp) -> String {
    let passed = now.as_second().saturating_sub(at.as_second());
    let ago = |number: i64, one: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{number} {one}{plural} ago")
    };
    if passed < MINUTE_SECONDS {
        "just now".to_owned()
    } else if passed < HOUR_SECONDS {
        ago(passed / MINUTE_SECONDS, "minute")
    } else if passed < DAY_SECONDS {
        ago(passed / HOUR_SECONDS, "hour")
    } else if passed < MAX_RELATIVE_AGE_DAYS * DAY_SECONDS {
        ago(passed / DAY_SECONDS, "day")
    } else {
        day(at)
    }
}

/// For example `23 Nov 2026`.
pub fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%-d %b %Y").to_string()
}

/// For example `23 Nov 2026, 11:40 UTC`.
pub fn moment(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%-d %b %Y, %H:%M UTC")
        .to_string()
}

/// A relative time with the exact time as tooltip. The script keeps it up to date.
pub fn time(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(machine(at)) title=(moment(at)) data-age { (age(at, now)) } }
}

/// An exact time.
pub fn date_time(at: Timestamp) -> Markup {
    html! { time datetime=(machine(at)) { (moment(at)) } }
}

/// The value of a `datetime` attribute, to the second.
pub(crate) fn machine(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// `page 3` or `pages 3–4`.
pub fn pages(from: u32, to: u32) -> String {
    if to > from {
        format!("pages {from}\u{2013}{to}")
    } else {
        format!("page {from}")
    }
}

/// `page 7`, `page 7 (printed iv)`, or `pages 7–8 (printed iv–v)`. A printed label is `None` if it is
/// the page's number.
pub fn printed_pages(from: u32, to: u32, printed: (Option<&str>, Option<&str>)) -> String {
    let pages = pages(from, to);
    let number = |label: Option<&str>, page: u32| match label {
        Some(label) => label.to_owned(),
        None => page.to_string(),
    };
    let (first, last) = (number(printed.0, from), number(printed.1, to));
    match printed {
        (None, None) => pages,
        _ if first == last => format!("{pages} (printed {first})"),
        _ => format!("{pages} (printed {first}\u{2013}{last})"),
    }
}

/// Turns an error's message, which is lower case without a full stop, into a sentence.
pub fn format_error(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_use_the_largest_suitable_unit() {
        for (size, text) in [
            (1, "1 byte"),
            (640, "640 bytes"),
            (999_600, "1 MB"),
            (1_000, "1 KB"),
            (48_256, "48 KB"),
            (2_440_000, "2.4 MB"),
            (25_000_000, "25 MB"),
            (9_960_000, "10 MB"),
            (u64::MAX, "18446744074 GB"),
        ] {
            assert_eq!(bytes(size), text, "{size}");
        }
    }

    #[test]
    fn ages_are_relative_for_a_week_and_future_times_are_just_now() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        for (at, text) in [
            ("2026-11-23T12:00:09Z", "just now"),
            ("2026-11-23T11:59:01Z", "just now"),
            ("2026-11-23T11:59:00Z", "1 minute ago"),
            ("2026-11-23T09:30:00Z", "2 hours ago"),
            ("2026-11-20T12:00:00Z", "3 days ago"),
            ("2026-03-01T12:00:00Z", "1 Mar 2026"),
        ] {
            assert_eq!(age(at.parse().unwrap(), now), text, "{at}");
        }
    }

    #[test]
    fn errors_are_shown_as_sentences() {
        let error = std::io::Error::other("a search may have at most 200 characters");
        assert_eq!(
            format_error(&error),
            "A search may have at most 200 characters."
        );
    }

    #[test]
    fn durations_and_counts_are_formatted() {
        assert_eq!(seconds(3_449), "3.4 s");
        assert_eq!(seconds(950), "1.0 s");
        assert_eq!(count(1, "page", "pages"), "1 page");
        assert_eq!(count(12_400, "page", "pages"), "12,400 pages");
        assert_eq!(pages(3, 3), "page 3");
        assert_eq!(pages(3, 4), "pages 3\u{2013}4");
    }
}
