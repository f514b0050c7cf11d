//! Kills and restarts the controller at every effect in turn, in one run for each. The outcome must
//! always be that of an undisturbed run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use crds::{Reason, annotations};
use futures::{StreamExt as _, stream};
use kube::ResourceExt as _;
use serde_json::json;
use test_support::crash_injection::{CrashTiming, Trigger};
use test_support::scenario::project_id;
use test_support::suite::{self, Trial};
use test_support::timeouts;

use crate::fixture::{Fixture, LANES, fixture};
use crate::is_long;
use crate::operations::Operation;
use crate::outcome::{self, Outcome};
use crate::run::{Run, TENANT};

/// No operation has more effects.
const MAX_EFFECTS: usize = 100;
/// How long to wait for a sign that the controller has processed a response. Most signs come
/// immediately, and after the last effect there is none.
const NEXT_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(150);
/// For an operation with all its runs, which share the lanes with those of other operations.
const SWEEP_TIMEOUT: Duration = Duration::from_mins(20);
/// Further failures would add no information.
const MAX_FAILURES: usize = 3;
/// The effect that is not idempotent.
const CREATION: &str = "Neon POST projects";
/// The prefix of effects on databases.
const FLUSH: &str = "database flush";

macro_rules! crashes {
    ($($name:ident: $work:expr;)+) => {
        pub(crate) fn tests() -> Vec<Trial> {
            vec![$(suite::test_alone(concat!("faults::crash::", stringify!($name)), SWEEP_TIMEOUT, async || $work.await)),+]
        }
    };
}

crashes! {
    a_kill_at_any_effect_of_a_creation_leads_to_one_project: sweep(Operation::Create);
    a_kill_at_any_effect_of_an_adoption_leads_to_the_adopted_project: sweep(Operation::Adopt);
    a_kill_at_any_effect_of_a_migration_leads_to_the_new_schema: sweep(Operation::Migrate);
    a_kill_at_any_effect_of_a_migration_with_a_backup_leads_to_one_backup: sweep(Operation::MigrateWithBackup);
    a_kill_at_any_effect_of_a_migration_with_a_snapshot_leads_to_one_backup: sweep(Operation::MigrateWithSnapshot);
    a_kill_at_any_effect_of_a_rollout_leads_to_the_new_schema_in_both_waves: sweep(Operation::RollOut);
    a_kill_at_any_effect_of_a_correction_replaces_the_paused_rollout: sweep(Operation::CorrectRollout);
    a_kill_at_any_effect_of_a_failed_migration_restores_the_branch_once: sweep(Operation::RestoreBranch);
    a_kill_at_any_effect_of_a_failed_migration_restores_the_snapshot_once: sweep(Operation::RestoreSnapshot);
    a_kill_at_any_effect_of_an_update_leads_to_the_new_spec: sweep(Operation::Update);
    a_kill_at_any_effect_of_a_secrets_restoration_leads_to_the_secret: sweep(Operation::RestoreSecret);
    a_kill_at_any_effect_of_a_deletion_leaves_nothing: sweep(Operation::Delete);
    a_kill_at_any_effect_of_a_deletion_during_a_creation_leaves_nothing: sweep(Operation::DeleteDuringCreation);
    a_project_created_after_the_controllers_death_is_recovered: delayed_creation(Arrival::BeforeRestart);
    a_project_created_after_the_restart_is_recovered: delayed_creation(Arrival::DuringVerification);
    a_project_created_after_the_verification_window_is_deleted_by_order: delayed_creation(Arrival::AfterVerification);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kill {
    /// The number of the effect, from 1.
    effect: usize,
    timing: CrashTiming,
}

async fn sweep(operation: Operation) -> Result<()> {
    let fixture = fixture().await?;
    let started = Instant::now();
    let (expected, effects) = Box::pin(run_undisturbed(&fixture, operation)).await?;
    let finished = AtomicBool::new(false);
    ensure!(
        effects.len() < MAX_EFFECTS,
        "more effects than MAX_EFFECTS: {}",
        effects.join(", ")
    );
    let kills = (1..=MAX_EFFECTS).flat_map(|effect| kills_at(operation, effect, &effects));
    let runs = stream::iter(kills).map(|kill| {
        let (fixture, expected, finished) = (&fixture, &expected, &finished);
        async move {
            if finished.load(Ordering::Relaxed) {
                return None;
            }
            let outcome = Box::pin(run_with_kill(fixture, operation, kill, expected)).await;
            if matches!(outcome, Ok(None)) {
                finished.store(true, Ordering::Relaxed);
            }
            Some((kill, outcome))
        }
    });
    let mut runs = std::pin::pin!(runs.buffered(LANES));
    let (mut done, mut failures) = (BTreeMap::<CrashTiming, usize>::new(), Vec::new());
    while let Some(run) = runs.next().await {
        match run {
            Some((kill, Ok(Some(_)))) => *done.entry(kill.timing).or_default() += 1,
            Some((kill, Err(error))) => {
                failures.push(format!(
                    "kill at effect {} ({:?}): {error:#}",
                    kill.effect, kill.timing
                ));
                if failures.len() >= MAX_FAILURES {
                    finished.store(true, Ordering::Relaxed);
                }
            }
            Some((_, Ok(None))) | None => {}
        }
    }
    suite::say(&format!(
        "{}: {} effects, kills: {done:?}, {} s\n  {}",
        operation.name(),
        effects.len(),
        started.elapsed().as_secs(),
        effects.join(", ")
    ));
    if !failures.is_empty() {
        bail!("{} runs failed:\n{}", failures.len(), failures.join("\n\n"));
    }
    if done.is_empty() {
        bail!("no run was killed, so this test proves nothing");
    }
    Ok(())
}

/// When the delayed request for a project reaches Neon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    BeforeRestart,
    DuringVerification,
    /// After the verification window, so that the project is a duplicate.
    AfterVerification,
}

/// Kills the controller while its request for a project is delayed.
async fn delayed_creation(arrival: Arrival) -> Result<()> {
    let fixture = fixture().await?;
    let (expected, _) = Box::pin(run_undisturbed(&fixture, Operation::Create)).await?;
    let mut run = Run::begin(&fixture, "create-late").await?;
    let result = Box::pin(run_delayed_creation(&mut run, arrival, &expected)).await;
    with_report(&run, result).await
}

async fn run_delayed_creation(run: &mut Run, arrival: Arrival, expected: &Outcome) -> Result<()> {
    let operation = Operation::Create;
    run.start_controller().await?;
    let before = operation.prepare(run).await?;
    let injector = run.lane.injector.clone();
    injector.arm(Some((Trigger::First(CREATION), CrashTiming::HoldRequest)));
    operation.start(run, &before).await?;
    tokio::time::timeout(timeouts::CONVERGE, injector.triggered())
        .await
        .context("no project was requested")?;
    run.kill_controller().await?;
    injector.unblock();
    if arrival == Arrival::BeforeRestart {
        ensure!(injector.release_held_request().await, "no request was held");
    }
    run.start_controller().await?;
    if arrival == Arrival::DuringVerification {
        ensure!(injector.release_held_request().await, "no request was held");
    }
    operation.wait_until_finished(run, &before).await?;
    if arrival == Arrival::AfterVerification {
        ensure!(injector.release_held_request().await, "no request was held");
        delete_duplicate(run).await?;
    }
    let mut expected = expected.clone();
    if arrival == Arrival::AfterVerification {
        expected.insert(outcome::PROJECTS_CREATED, json!(2));
    }
    outcome::expect(run, &expected).await?;
    run.finish().await
}

/// A project that appears after the verification window may hold data, so a user names it.
async fn delete_duplicate(run: &Run) -> Result<()> {
    let message = run
        .scenario
        .wait_until_stalled(TENANT, Reason::DuplicateProject)
        .await?;
    let tenant = run.scenario.tenant(TENANT).await?;
    let recorded = project_id(&tenant)?;
    let uid = tenant.uid().context("the Tenant has no UID")?;
    let projects = run.projects_of(&uid).await?;
    let duplicate = projects
        .iter()
        .find(|project| project.id != recorded)
        .context("there is no duplicate")?;
    ensure!(message.contains(duplicate.id.as_str()), "{message}");
    let order = json!({(annotations::DELETE_DUPLICATE): duplicate.id});
    run.scenario
        .patch(TENANT, json!({"metadata": {"annotations": order}}))
        .await?;
    run.scenario.wait_until_ready(TENANT).await?;
    Ok(())
}

/// Kills before and after the response to an effect. A migration makes many small database flushes:
/// in the short form of the test each is killed on only one side, alternately, and those of a rollout,
/// which are the same, are left out.
fn kills_at(operation: Operation, effect: usize, effects: &[String]) -> Vec<Kill> {
    let both = [CrashTiming::BeforeResponse, CrashTiming::AfterResponse]
        .map(|timing| Kill { effect, timing });
    let is_flush = effects
        .get(effect - 1)
        .is_some_and(|name| name.starts_with(FLUSH));
    match (is_flush && !is_long(), operation) {
        (true, Operation::RollOut | Operation::CorrectRollout) => Vec::new(),
        (true, _) => vec![both[effect % 2]],
        (false, _) => both.to_vec(),
    }
}

/// The outcome that all others are compared with, and the effects.
async fn run_undisturbed(
    fixture: &Arc<Fixture>,
    operation: Operation,
) -> Result<(Outcome, Vec<String>)> {
    let mut run = Run::begin(fixture, operation.name()).await?;
    let result = async {
        run.start_controller().await?;
        let before = operation.prepare(&run).await?;
        run.lane.injector.arm(None);
        operation.start(&run, &before).await?;
        operation.wait_until_finished(&run, &before).await?;
        let effects = run.lane.injector.disarm();
        let outcome = outcome::wait_for_any(&run).await?;
        run.finish().await?;
        operation.clean_up(&run, &before).await?;
        Ok((outcome, effects))
    }
    .await;
    with_report(&run, result)
        .await
        .context("in the undisturbed run")
}

/// One run with a kill. Returns `None` if the operation finished before that effect.
async fn run_with_kill(
    fixture: &Arc<Fixture>,
    operation: Operation,
    kill: Kill,
    expected: &Outcome,
) -> Result<Option<String>> {
    let letter = match kill.timing {
        CrashTiming::BeforeResponse => 'a',
        CrashTiming::AfterResponse => 'b',
        CrashTiming::HoldRequest => 'c',
    };
    let mut run = Run::begin(
        fixture,
        &format!("{}-{letter}{}", operation.name(), kill.effect),
    )
    .await?;
    let result = kill_and_compare(&mut run, operation, kill, expected).await;
    with_report(&run, result).await
}

async fn kill_and_compare(
    run: &mut Run,
    operation: Operation,
    kill: Kill,
    expected: &Outcome,
) -> Result<Option<String>> {
    run.start_controller().await?;
    let before = operation.prepare(run).await?;
    let injector = run.lane.injector.clone();
    injector.arm(Some((Trigger::Nth(kill.effect), kill.timing)));
    operation.start(run, &before).await?;
    tokio::select! {
        () = injector.triggered() => {}
        finished = operation.wait_until_finished(run, &before) => finished?,
    }
    let effects = injector.disarm();
    let name = effects.get(kill.effect - 1).cloned();
    if let Some(name) = &name {
        let what = || format!("after effect {name}");
        // The operation may be finished shortly before the response to its last effect arrives.
        tokio::time::timeout(timeouts::CONVERGE, injector.triggered())
            .await
            .with_context(what)?;
        if kill.timing == CrashTiming::AfterResponse {
            injector.wait_for_next_attempt(NEXT_ATTEMPT_TIMEOUT).await;
        }
        run.kill_controller().await?;
        injector.unblock();
        run.start_controller().await?;
        operation
            .wait_until_finished(run, &before)
            .await
            .with_context(what)?;
        outcome::expect(run, expected).await.with_context(what)?;
    }
    run.finish().await?;
    operation.clean_up(run, &before).await?;
    Ok(name)
}

async fn with_report<T>(run: &Run, result: Result<T>) -> Result<T> {
    match result {
        Ok(value) => Ok(value),
        Err(error) => {
            let report = run.report().await;
            run.clean_up().await;
            Err(anyhow!("{error:#}\n{report}"))
        }
    }
}
