//! How far a rollout may reach. Pure.
//!
//! The Tenants are in a fixed order. A wave is a prefix of it; the first one is the canary, the last
//! one is everybody. The reach is the place of the last Tenant that should have the new schema. It
//! moves only while fewer Tenants than `maxConcurrent` are in progress, never beyond the current
//! wave, and never back.

use crds::{RolloutSettings, RolloutStrategy};
use jiff::{SignedDuration, Timestamp};

use super::observe::{Member, MemberState};
use crate::schema_assignment::Place;

/// How far a rollout has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Number of the current wave; 0 is the canary.
    pub wave: usize,
    pub reach: Option<Place>,
    /// Set between two waves.
    pub soak_until: Option<Timestamp>,
}

/// What a rollout does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    Migrating,
    Soaking,
    /// No Tenant is pending.
    Done,
}

/// For each wave, the number of Tenants in it and in the waves before it.
pub fn wave_ends(settings: &RolloutSettings, members: &[Member]) -> Vec<usize> {
    let total = members.len();
    if settings.strategy == RolloutStrategy::AllAtOnce {
        return vec![total];
    }
    let canary = if settings.canary.selector.is_some() {
        members.partition_point(|member| member.place.is_selected_canary())
    } else {
        settings.canary.of(total)
    };
    let mut ends = vec![canary];
    let mut end = canary;
    for wave in &settings.waves {
        end = end.saturating_add(wave.of(total)).min(total);
        ends.push(end);
    }
    ends.push(total);
    ends
}

/// Moves a rollout on as far as it may go now.
pub fn advance(
    settings: &RolloutSettings,
    members: &[Member],
    mut progress: Progress,
    now: Timestamp,
) -> (Progress, Activity) {
    let is_pending = |member: &Member| member.state == MemberState::Pending;
    if settings.strategy == RolloutStrategy::AllAtOnce || !members.iter().any(is_pending) {
        let activity = if members.iter().any(is_pending) {
            Activity::Migrating
        } else {
            Activity::Done
        };
        let wave = wave_ends(settings, members).len() - 1;
        let progress = Progress {
            wave,
            reach: Some(Place::LAST),
            soak_until: None,
        };
        return (progress, activity);
    }
    let ends = wave_ends(settings, members);
    loop {
        let is_last = progress.wave + 1 >= ends.len();
        let end = if is_last {
            members.len()
        } else {
            ends[progress.wave]
        };
        release(settings, members, &mut progress, end);
        if is_last && progress.reach >= members.last().map(|member| member.place) {
            // New Tenants get the new schema as well.
            progress.reach = Some(Place::LAST);
        }
        let in_wave = &members[..end];
        if is_last || in_wave.iter().any(is_pending) {
            progress.soak_until = None;
            return (progress, Activity::Migrating);
        }
        let soak = SignedDuration::from_secs(settings.soak_seconds);
        let begin = match progress.wave.checked_sub(1) {
            Some(before) => ends[before],
            None => 0,
        };
        // There is nothing to watch after a wave without Tenants.
        if end > begin && settings.soak_seconds > 0 {
            let until = progress.soak_until.unwrap_or(now + soak);
            if now < until {
                progress.soak_until = Some(until);
                return (progress, Activity::Soaking);
            }
        }
        progress.soak_until = None;
        progress.wave += 1;
    }
}

/// Moves the reach within the wave that ends at `end`.
fn release(settings: &RolloutSettings, members: &[Member], progress: &mut Progress, end: usize) {
    let limit = usize::try_from(settings.max_concurrent).unwrap_or(usize::MAX);
    let reached = members.partition_point(|member| Some(member.place) <= progress.reach);
    let mut free = limit.saturating_sub(in_progress(members, progress.reach));
    for member in &members[reached.min(end)..end] {
        if member.state == MemberState::Pending {
            if free == 0 {
                break;
            }
            free -= 1;
        }
        progress.reach = Some(member.place);
    }
}

/// The number of Tenants that should have the new schema and do not have it yet.
pub fn in_progress(members: &[Member], reach: Option<Place>) -> usize {
    members
        .iter()
        .filter(|member| member.state == MemberState::Pending && Some(member.place) <= reach)
        .count()
}

#[cfg(test)]
mod tests;
