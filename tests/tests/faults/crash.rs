//! The controller is killed after every effect in turn, one run for each, and started again: the end is always that of a run
//! that nobody disturbed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use futures::{StreamExt as _, stream};
use serde_json::json;
use tests::gate::{At, Cut};
use tests::limits;
use tests::suite::{self, Trial};

use crate::end::{self, End};
use crate::is_long;
use crate::run::Run;
use crate::scenarios::Scenario;
use crate::stage::{LANES, Stage, stage};

/// More effects than any scenario has.
const EFFECTS_MAX: usize = 100;
/// How long is waited for a sign that the controller took in an answer; most come at once, and the last effect has none.
const GOES_ON: Duration = Duration::from_millis(150);
/// One scenario with all its runs, which share the lanes with those of other scenarios.
const SWEEP: Duration = Duration::from_mins(20);
/// After so many failures the others say nothing new.
const FAILURES_MAX: usize = 3;
/// The effect that cannot be repeated safely.
const CREATION: &str = "Neon POST projects";
/// How effects on databases begin.
const FLUSH: &str = "database flush";

macro_rules! crashes {
    ($($name:ident: $work:expr;)+) => {
        pub(crate) fn tests() -> Vec<Trial> {
            vec![$(suite::test_alone(concat!("faults::crash::", stringify!($name)), SWEEP, async || $work.await)),+]
        }
    };
}

crashes! {
    a_creation_killed_after_any_effect_ends_with_one_project: sweep(Scenario::Create);
    an_adoption_killed_after_any_effect_ends_with_that_project: sweep(Scenario::Adopt);
    a_migration_killed_after_any_effect_ends_with_the_new_schema: sweep(Scenario::Migrate);
    an_edit_killed_after_any_effect_ends_with_what_was_wished: sweep(Scenario::Update);
    a_secret_whose_restoration_is_killed_after_any_effect_is_restored: sweep(Scenario::RestoreSecret);
    a_deletion_killed_after_any_effect_leaves_nothing: sweep(Scenario::Delete);
    a_deletion_with_an_unanswered_creation_killed_after_any_effect_leaves_nothing: sweep(Scenario::DeleteUnanswered);
    a_project_that_comes_after_the_controller_died_is_taken_up: late(Landing::WhileNobodyRuns);
    a_project_that_comes_after_the_restart_is_taken_up: late(Landing::BeforeItIsGivenUp);
    a_project_that_comes_after_it_was_given_up_is_removed: late(Landing::AfterASecondOne);
}

/// A way to disturb a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kill {
    /// The number of the effect.
    effect: usize,
    cut: Cut,
}

async fn sweep(scenario: Scenario) -> Result<()> {
    let stage = stage().await?;
    let started = Instant::now();
    let (expected, effects) = Box::pin(undisturbed(&stage, scenario)).await?;
    let over = AtomicBool::new(false);
    let kills = (1..=EFFECTS_MAX).flat_map(|effect| kills_at(effect, &effects));
    let runs = stream::iter(kills).map(|kill| {
        let (stage, expected, over) = (&stage, &expected, &over);
        async move {
            if over.load(Ordering::Relaxed) {
                return None;
            }
            let outcome = Box::pin(disturbed(stage, scenario, kill, expected)).await;
            if matches!(outcome, Ok(None)) {
                over.store(true, Ordering::Relaxed);
            }
            Some((kill, outcome))
        }
    });
    let mut runs = std::pin::pin!(runs.buffered(LANES));
    let (mut done, mut failures) = (BTreeMap::<Cut, usize>::new(), Vec::new());
    while let Some(run) = runs.next().await {
        match run {
            Some((kill, Ok(Some(_)))) => *done.entry(kill.cut).or_default() += 1,
            Some((kill, Err(error))) => {
                failures.push(format!(
                    "killed at effect {} ({:?}): {error:#}",
                    kill.effect, kill.cut
                ));
                if failures.len() >= FAILURES_MAX {
                    over.store(true, Ordering::Relaxed);
                }
            }
            Some((_, Ok(None))) | None => {}
        }
    }
    suite::say(&format!(
        "{}: {} effects, killed {done:?} times, {} s\n  {}",
        scenario.name(),
        effects.len(),
        started.elapsed().as_secs(),
        effects.join(", ")
    ));
    if !failures.is_empty() {
        bail!("{} runs failed:\n{}", failures.len(), failures.join("\n\n"));
    }
    if done.is_empty() {
        bail!("no run was killed: nothing was shown");
    }
    Ok(())
}

/// When the request for a project lands whose sender was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Landing {
    WhileNobodyRuns,
    BeforeItIsGivenUp,
    /// Later than the settle window promises: the project is a twin.
    AfterASecondOne,
}

/// A creation whose request is still on its way when the controller dies.
async fn late(landing: Landing) -> Result<()> {
    let stage = stage().await?;
    let (expected, _) = Box::pin(undisturbed(&stage, Scenario::Create)).await?;
    let mut run = Run::begin(&stage, "create-late").await?;
    let result = Box::pin(landed(&mut run, landing, &expected)).await;
    with_report(&run, result).await
}

async fn landed(run: &mut Run, landing: Landing, expected: &End) -> Result<()> {
    let scenario = Scenario::Create;
    run.start_controller().await?;
    let before = scenario.prepare(run).await?;
    let gate = run.place.gate.clone();
    gate.arm(Some((At::First(CREATION), Cut::Held)));
    scenario.act(run, &before).await?;
    tokio::time::timeout(limits::CONVERGE, gate.cut())
        .await
        .context("no project was asked for")?;
    run.kill_controller().await?;
    gate.open();
    if landing == Landing::WhileNobodyRuns {
        ensure!(gate.let_go().await, "no request was held");
    }
    run.start_controller().await?;
    if landing == Landing::BeforeItIsGivenUp {
        ensure!(gate.let_go().await, "no request was held");
    }
    scenario.ended(run, &before).await?;
    if landing == Landing::AfterASecondOne {
        ensure!(gate.let_go().await, "no request was held");
    }
    let mut expected = expected.clone();
    if landing == Landing::AfterASecondOne {
        expected.insert(end::PROJECTS_EVER, json!(2));
    }
    end::expect(run, &expected).await?;
    run.finish().await
}

/// Both sides of every effect. What the database is asked comes in many small turns: in the short form of the test, one side
/// of each has to do, the sides taking turns.
fn kills_at(effect: usize, effects: &[String]) -> Vec<Kill> {
    let both = [Cut::BeforeAnswer, Cut::AfterAnswer].map(|cut| Kill { effect, cut });
    let is_flush = effects
        .get(effect - 1)
        .is_some_and(|name| name.starts_with(FLUSH));
    if is_flush && !is_long() {
        vec![both[effect % 2]]
    } else {
        both.to_vec()
    }
}

/// The end that all others are compared with, and the effects on the way.
async fn undisturbed(stage: &Arc<Stage>, scenario: Scenario) -> Result<(End, Vec<String>)> {
    let mut run = Run::begin(stage, scenario.name()).await?;
    let result = async {
        run.start_controller().await?;
        let before = scenario.prepare(&run).await?;
        run.place.gate.arm(None);
        scenario.act(&run, &before).await?;
        scenario.ended(&run, &before).await?;
        let effects = run.place.gate.disarm();
        let end = end::any(&run).await?;
        run.finish().await?;
        scenario.clean(&run, &before).await?;
        Ok((end, effects))
    }
    .await;
    with_report(&run, result).await.context("undisturbed")
}

/// One run that is killed. `None` if it came to its end before that effect.
async fn disturbed(
    stage: &Arc<Stage>,
    scenario: Scenario,
    kill: Kill,
    expected: &End,
) -> Result<Option<String>> {
    let letter = match kill.cut {
        Cut::BeforeAnswer => 'a',
        Cut::AfterAnswer => 'b',
        Cut::Held => 'c',
    };
    let mut run = Run::begin(
        stage,
        &format!("{}-{letter}{}", scenario.name(), kill.effect),
    )
    .await?;
    let result = killed(&mut run, scenario, kill, expected).await;
    with_report(&run, result).await
}

async fn killed(
    run: &mut Run,
    scenario: Scenario,
    kill: Kill,
    expected: &End,
) -> Result<Option<String>> {
    run.start_controller().await?;
    let before = scenario.prepare(run).await?;
    let gate = run.place.gate.clone();
    gate.arm(Some((At::Number(kill.effect), kill.cut)));
    scenario.act(run, &before).await?;
    tokio::select! {
        () = gate.cut() => {}
        ended = scenario.ended(run, &before) => ended?,
    }
    let effects = gate.disarm();
    let name = effects.get(kill.effect - 1).cloned();
    if let Some(name) = &name {
        let what = || format!("after effect {name}");
        // The end can be seen a moment before the answer to the last effect has come.
        tokio::time::timeout(limits::CONVERGE, gate.cut())
            .await
            .with_context(what)?;
        if kill.cut == Cut::AfterAnswer {
            gate.tried_to_go_on(GOES_ON).await;
        }
        run.kill_controller().await?;
        gate.open();
        run.start_controller().await?;
        scenario.ended(run, &before).await.with_context(what)?;
        end::expect(run, expected).await.with_context(what)?;
    }
    run.finish().await?;
    scenario.clean(run, &before).await?;
    Ok(name)
}

async fn with_report<T>(run: &Run, result: Result<T>) -> Result<T> {
    match result {
        Ok(value) => Ok(value),
        Err(error) => {
            let report = run.report().await;
            run.abandon().await;
            Err(anyhow!("{error:#}\n{report}"))
        }
    }
}
