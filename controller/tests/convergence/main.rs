//! Whatever happens, and wherever the process dies: once it is quiet, a Tenant that lives has exactly one project with all
//! that it wishes for, and one that was deleted has left nothing behind.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what fails here fails the test"
)]

mod happenings;
mod process;
mod simulation;
mod world;

use jiff::SignedDuration;
use proptest::prelude::*;

use happenings::{Edit, Happening, creations, fates, happenings};
use simulation::Simulation;
use world::Fate;

/// Runs of each property.
const CASES: u32 = 600;

fn run(happenings: &[Happening]) {
    let mut simulation = Simulation::default();
    for happening in happenings {
        simulation.happen(happening);
    }
    simulation.quiet();
    simulation.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_ends_well_once_it_is_quiet(happenings in happenings()) {
        run(&happenings);
    }

    /// Neon broke its word on how late a request may do its work: then there are two for a while.
    #[test]
    fn a_twin_that_comes_too_late_is_removed(
        fates in proptest::collection::vec((0..900_u16).prop_map(Fate::Late), 1..4),
        seconds in proptest::collection::vec(0..200_u8, 0..8),
        crash in proptest::option::of(0..20_u8),
    ) {
        let mut simulation = Simulation::default();
        simulation.world.late_max = SignedDuration::from_mins(15);
        simulation.world.creations.extend(fates);
        simulation.world.crash_in = crash;
        for seconds in seconds {
            simulation.happen(&Happening::Steps(8));
            simulation.happen(&Happening::Seconds(seconds));
        }
        // Until the last of them is there.
        simulation.world.pass_time(simulation.world.late_max);
        simulation.quiet();
        simulation.check();
    }

    /// A life from nothing to gone, cut after any effect.
    #[test]
    fn a_tenant_deleted_at_any_moment_leaves_nothing_behind(
        before in 0..12_u8, crash in 0..20_u8, fates in proptest::collection::vec(fates(), 0..6),
        creations in proptest::collection::vec(creations(), 0..3), seconds in 0..150_u8,
    ) {
        let mut happenings: Vec<Happening> = fates.into_iter().map(Happening::Fate).collect();
        happenings.extend(creations.into_iter().map(Happening::Creation));
        happenings.extend([
            Happening::CrashIn(crash),
            Happening::Steps(before),
            Happening::Seconds(seconds),
            Happening::Delete,
            Happening::Steps(10),
        ]);
        run(&happenings);
    }
}

#[test]
fn a_quiet_life_ends_with_everything() {
    run(&[Happening::Steps(20)]);
}

#[test]
fn the_process_may_die_after_any_effect_of_a_life() {
    // Creation, an edit of everything, deletion: more effects than any of them has.
    const EFFECTS: u8 = 40;
    for crash in 0..EFFECTS {
        let mut life = vec![
            Happening::CrashIn(crash),
            Happening::Steps(20),
            Happening::Edit(Edit::MaxQuarters(8)),
            Happening::Edit(Edit::ActiveSeconds(2)),
            Happening::Edit(Edit::SecretName(true)),
            Happening::Edit(Edit::NewSchema),
            Happening::Steps(20),
        ];
        run(&life);
        life.extend([Happening::Delete, Happening::Steps(20)]);
        run(&life);
    }
}

#[test]
fn a_retained_project_stays_and_the_tenant_goes() {
    let mut simulation = Simulation::default();
    let life = [
        Happening::Steps(20),
        Happening::Edit(Edit::Retain(true)),
        Happening::Delete,
    ];
    for happening in &life {
        simulation.happen(happening);
    }
    simulation.quiet();
    assert!(simulation.world.tenant.is_none());
    assert_eq!(simulation.world.listed().len(), 1);
}
