//! When the window of a rollout is open. Pure, except that time zones come from the database of the
//! system.

use crds::{RolloutWindow, Weekday};
use jiff::civil::{self, Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// Number of days to look ahead for the next opening: a week, and one more if today's opening has passed.
const MAX_DAYS_AHEAD: i64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowState {
    Open,
    ClosedUntil(Timestamp),
    /// The time zone, or a time, cannot be read.
    Unreadable,
}

/// Whether a rollout may migrate further Tenants now.
pub fn window_state(window: Option<&RolloutWindow>, now: Timestamp) -> WindowState {
    match window {
        None => WindowState::Open,
        Some(window) => state(window, now).unwrap_or(WindowState::Unreadable),
    }
}

fn state(window: &RolloutWindow, now: Timestamp) -> Option<WindowState> {
    let zone = TimeZone::get(&window.time_zone).ok()?;
    let (from, to) = (time(&window.from)?, time(&window.to)?);
    let today = now.to_zoned(zone.clone()).date();
    let mut next = None;
    // The window of yesterday may still be open.
    for days in -1..=MAX_DAYS_AHEAD {
        let opens_on = today.checked_add(days.days()).ok()?;
        if !window.days.iter().any(|day| is_on(*day, opens_on)) {
            continue;
        }
        let closes_on = if from < to {
            opens_on
        } else {
            opens_on.tomorrow().ok()?
        };
        let opens = instant(opens_on.to_datetime(from), &zone)?;
        if opens > now {
            next = Some(WindowState::ClosedUntil(opens));
            break;
        }
        if now
            < closing(
                opens,
                opens_on.to_datetime(from),
                closes_on.to_datetime(to),
                &zone,
            )?
        {
            return Some(WindowState::Open);
        }
    }
    next
}

/// When a window closes that opens at `opens`. If the opening was moved past the closing, the window is
/// open for as long as on other days.
fn closing(opens: Timestamp, from: DateTime, to: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let closes = instant(to, zone)?;
    if closes > opens {
        return Some(closes);
    }
    opens.checked_add(to.duration_since(from)).ok()
}

/// A local time that a DST change skips is moved forward by the length of the gap.
fn instant(time: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    Some(time.to_zoned(zone.clone()).ok()?.timestamp())
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

fn is_on(day: Weekday, date: Date) -> bool {
    let weekday = match day {
        Weekday::Monday => civil::Weekday::Monday,
        Weekday::Tuesday => civil::Weekday::Tuesday,
        Weekday::Wednesday => civil::Weekday::Wednesday,
        Weekday::Thursday => civil::Weekday::Thursday,
        Weekday::Friday => civil::Weekday::Friday,
        Weekday::Saturday => civil::Weekday::Saturday,
        Weekday::Sunday => civil::Weekday::Sunday,
    };
    date.weekday() == weekday
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn window(fields: &Value) -> RolloutWindow {
        serde_json::from_value(fields.clone()).unwrap()
    }

    fn state_at(window: &RolloutWindow, time: &str) -> WindowState {
        window_state(Some(window), time.parse().unwrap())
    }

    fn closed_until(time: &str) -> WindowState {
        WindowState::ClosedUntil(time.parse().unwrap())
    }

    #[test]
    fn a_rollout_without_a_window_migrates_at_any_time() {
        assert_eq!(window_state(None, Timestamp::UNIX_EPOCH), WindowState::Open);
    }

    #[test]
    fn the_hours_are_those_of_the_time_zone() {
        let berlin = window(&json!({"timeZone": "Europe/Berlin", "from": "09:00", "to": "17:00"}));
        // Summer time: UTC+2. 1 July 2026 is a Wednesday.
        for (time, expected) in [
            ("2026-07-01T06:59:59Z", closed_until("2026-07-01T07:00:00Z")),
            ("2026-07-01T07:00:00Z", WindowState::Open),
            ("2026-07-01T14:59:59Z", WindowState::Open),
            ("2026-07-01T15:00:00Z", closed_until("2026-07-02T07:00:00Z")),
            // Winter time: UTC+1.
            ("2026-12-01T07:30:00Z", closed_until("2026-12-01T08:00:00Z")),
        ] {
            assert_eq!(state_at(&berlin, time), expected, "{time}");
        }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_opens() {
        // 3 July 2026 is a Friday.
        let friday_night = window(&json!({"days": ["Friday"], "from": "22:00", "to": "04:00"}));
        for (time, expected) in [
            ("2026-07-03T03:00:00Z", closed_until("2026-07-03T22:00:00Z")),
            ("2026-07-03T22:00:00Z", WindowState::Open),
            ("2026-07-04T03:59:00Z", WindowState::Open),
            ("2026-07-04T04:00:00Z", closed_until("2026-07-10T22:00:00Z")),
            ("2026-07-04T22:30:00Z", closed_until("2026-07-10T22:00:00Z")),
        ] {
            assert_eq!(state_at(&friday_night, time), expected, "{time}");
        }
    }

    #[test]
    fn a_change_of_the_clock_moves_an_hour_that_does_not_exist() {
        // On 29 March 2026, Berlin's clocks go from 02:00 to 03:00.
        let night = window(&json!({"timeZone": "Europe/Berlin", "from": "02:30", "to": "05:00"}));
        assert_eq!(
            state_at(&night, "2026-03-29T00:45:00Z"),
            closed_until("2026-03-29T01:30:00Z")
        );
        assert_eq!(state_at(&night, "2026-03-29T02:59:00Z"), WindowState::Open);
        assert_eq!(
            state_at(&night, "2026-03-29T03:00:00Z"),
            closed_until("2026-03-30T00:30:00Z")
        );
    }

    #[test]
    fn a_window_whose_opening_moves_past_its_closing_opens_for_as_long_as_on_other_days() {
        // On 29 March 2026, a Sunday, Berlin's clocks go from 02:00 to 03:00.
        let sunday_night = window(&json!({
            "timeZone": "Europe/Berlin", "days": ["Sunday"], "from": "02:30", "to": "03:00",
        }));
        for (time, expected) in [
            ("2026-03-29T00:59:59Z", closed_until("2026-03-29T01:30:00Z")),
            ("2026-03-29T01:29:59Z", closed_until("2026-03-29T01:30:00Z")),
            ("2026-03-29T01:30:00Z", WindowState::Open),
            ("2026-03-29T01:59:59Z", WindowState::Open),
            ("2026-03-29T02:00:00Z", closed_until("2026-04-05T00:30:00Z")),
        ] {
            assert_eq!(state_at(&sunday_night, time), expected, "{time}");
        }
    }

    #[test]
    fn an_unknown_time_zone_never_opens() {
        let fields = json!({"timeZone": "Europe/Atlantis", "from": "09:00", "to": "17:00"});
        let state = state_at(&window(&fields), "2026-07-01T10:00:00Z");
        assert_eq!(state, WindowState::Unreadable);
    }

    proptest! {
        /// A closed window opens at the time that it announces, within eight days.
        #[test]
        fn a_closed_window_opens_when_it_says(
            second in 0_i64..4_000_000_000,
            day in 0_usize..7,
            from in prop::sample::select(&["00:00", "01:30", "02:00", "02:30", "03:00", "12:00", "23:30"][..]),
            to in prop::sample::select(&["00:30", "01:00", "02:15", "02:45", "03:30", "18:00"][..]),
            zone in prop::sample::select(&["UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns"][..]),
        ) {
            let days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
            let fields = json!({
                "timeZone": zone, "days": [days[day]],
                "from": from, "to": to,
            });
            let window = window(&fields);
            let now = Timestamp::from_second(second).unwrap();
            if let WindowState::ClosedUntil(opens) = window_state(Some(&window), now) {
                prop_assert!(opens > now && opens.duration_since(now).as_hours() <= 8 * 24);
                prop_assert_eq!(window_state(Some(&window), opens), WindowState::Open);
            } else {
                prop_assert_eq!(window_state(Some(&window), now), WindowState::Open);
            }
        }
    }
}
