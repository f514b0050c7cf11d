//! How far a rollout may reach. Pure.
//!
//! The Tenants are in a fixed order. A wave is a prefix of it; the first one is the canary, the last
//! one is everybody. The reach is the place of the last Tenant that should have the new schema. It
//! moves only while fewer Tenants than the limit are in progress, never beyond the current wave, and
//! never back.
//!
//! With `wake: OnUse`, Tenants become due in the order of their use, so a position cannot tell which may
//! start. Instead, the rollout lists the Tenants that it has admitted: those of the current wave that
//! are in use, as many as the limit allows. A Tenant that has begun says so in its own status and leaves
//! the list, so that the list is never longer than the limit.

use crds::{RolloutSettings, RolloutStrategy};
use jiff::{SignedDuration, Timestamp};

use super::observe::{Member, MemberState, canary_size};
use crate::identity::TenantUid;
use crate::schema_assignment::Place;

/// Largest number of Tenants that a rollout lists as admitted.
const MAX_ADMITTED: usize = 256;

/// How far a rollout has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Number of the current wave; 0 is the canary.
    pub wave: usize,
    pub reach: Option<Place>,
    /// With `wake: OnUse`, the Tenants that may begin.
    pub admitted: Vec<TenantUid>,
    /// Set between two waves.
    pub soak_until: Option<Timestamp>,
}

/// What a rollout does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    Migrating,
    Soaking,
    /// All Tenants that are left are asleep.
    Asleep,
    /// No Tenant is left.
    Done,
}

/// For each wave, the number of Tenants in it and in the waves before it.
pub fn wave_ends(settings: &RolloutSettings, members: &[Member]) -> Vec<usize> {
    let total = members.len();
    if settings.strategy == RolloutStrategy::AllAtOnce {
        return vec![total];
    }
    let canary = canary_size(settings, members);
    let mut ends = vec![canary];
    let mut end = canary;
    for wave in &settings.waves {
        end = end.saturating_add(wave.of(total)).min(total);
        ends.push(end);
    }
    ends.push(total);
    ends
}

/// Moves a rollout on as far as it may go now, with at most `limit` Tenants in progress. If it is not
/// known yet which Tenants have been used, no wave with Tenants that seem to be asleep ends.
pub fn advance(
    settings: &RolloutSettings,
    members: &[Member],
    limit: usize,
    use_unknown: bool,
    mut progress: Progress,
    now: Timestamp,
) -> (Progress, Activity) {
    let is_left =
        |member: &Member| matches!(member.state, MemberState::Pending | MemberState::Asleep);
    let is_pending = |member: &Member| member.state == MemberState::Pending;
    let is_asleep = |member: &Member| member.state == MemberState::Asleep;
    if settings.strategy == RolloutStrategy::AllAtOnce || !members.iter().any(is_left) {
        let activity = if members.iter().any(is_left) {
            Activity::Migrating
        } else {
            Activity::Done
        };
        let wave = wave_ends(settings, members).len() - 1;
        let progress = Progress {
            wave,
            reach: Some(Place::LAST),
            ..Progress::default()
        };
        return (progress, activity);
    }
    let ends = wave_ends(settings, members);
    // A Tenant that is used during a soak waits, or it would restart the soak.
    if settings.wakes_on_use()
        && let Some(until) = progress.soak_until.take()
    {
        if now < until {
            progress.soak_until = Some(until);
            return (progress, Activity::Soaking);
        }
        progress.wave += 1;
    }
    loop {
        let is_last = progress.wave + 1 >= ends.len();
        let end = if is_last {
            members.len()
        } else {
            ends[progress.wave]
        };
        if settings.wakes_on_use() {
            admit(members, limit, &mut progress, end);
            if is_last {
                // New Tenants get the new schema.
                progress.reach = Some(Place::LAST);
            }
        } else {
            release(members, limit, &mut progress, end);
            if is_last && progress.reach >= members.last().map(|member| member.place) {
                // New Tenants get the new schema as well.
                progress.reach = Some(Place::LAST);
            }
        }
        let in_wave = &members[..end];
        let is_migrating = in_wave.iter().any(is_pending)
            || use_unknown && !is_last && in_wave.iter().any(is_asleep);
        if is_last || is_migrating {
            progress.soak_until = None;
            let activity = if is_migrating {
                Activity::Migrating
            } else {
                Activity::Asleep
            };
            return (progress, activity);
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
fn release(members: &[Member], limit: usize, progress: &mut Progress, end: usize) {
    let reached = members.partition_point(|member| Some(member.place) <= progress.reach);
    let mut free = limit.saturating_sub(in_progress_up_to(members, progress.reach));
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

/// Admits Tenants of the wave that ends at `end`.
fn admit(members: &[Member], limit: usize, progress: &mut Progress, end: usize) {
    let pending = || {
        members
            .iter()
            .filter(|member| member.state == MemberState::Pending)
    };
    let begun = pending().filter(|member| member.begun).count();
    let admitted = pending().filter(|member| member.admitted && !member.begun);
    let admitted: Vec<TenantUid> = admitted.map(|member| member.uid).collect();
    let free = limit
        .min(MAX_ADMITTED)
        .saturating_sub(begun + admitted.len());
    let next = members[..end]
        .iter()
        .filter(|member| member.state == MemberState::Pending && !member.begun && !member.admitted);
    progress.admitted = admitted;
    progress
        .admitted
        .extend(next.take(free).map(|member| member.uid));
}

/// The number of Tenants that should have the new schema and do not have it yet.
pub fn in_progress(settings: &RolloutSettings, members: &[Member], progress: &Progress) -> usize {
    if !settings.wakes_on_use() {
        return in_progress_up_to(members, progress.reach);
    }
    let is_in_progress = |member: &&Member| {
        let is_chosen = member.begun || progress.admitted.contains(&member.uid);
        member.state == MemberState::Pending && is_chosen
    };
    members.iter().filter(is_in_progress).count()
}

fn in_progress_up_to(members: &[Member], reach: Option<Place>) -> usize {
    members
        .iter()
        .filter(|member| member.state == MemberState::Pending && Some(member.place) <= reach)
        .count()
}

#[cfg(test)]
mod tests;
