//! Emulators as the tests want them: every exchange is held against the API's document, and computes fall asleep.
//!
//! A compute sleeps after five minutes without use, which no test can wait for. So the clock of an emulator is hurried: it is
//! turned by a minute, nearly, several times a second. A compute that nobody uses is asleep after a second, and a cold start takes
//! three turns: whatever the controller, the app or a test does with a database, it may have to be woken first.

use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use neon_emulator::openapi::Document;
use neon_emulator::{Builder, Emulator, Latency, Limits};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use xtask::install;

/// How often the clock is turned.
const PACE: Duration = Duration::from_millis(150);
/// By how much. Less than the shortest suspend timeout there can be (a minute), so that a pause between two statements puts nobody to
/// sleep.
const STEP: Duration = Duration::from_secs(55);
/// A cold start by the hurried clock, in milliseconds: three turns, so 300 to 450 ms.
const COLD_START_MS: u64 = 165_000;
/// How long a connection waits for its compute by the hurried clock, in milliseconds: 18 seconds.
const COMPUTE_WAIT_MS: u64 = 6_600_000;
/// From the last use of a compute until it sleeps, at the latest, with much to spare.
pub const ASLEEP: Duration = Duration::from_secs(30);

/// Whether computes fall asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Computes {
    /// When nobody has used them for about a second.
    FallAsleep,
    /// When their time is over by an ordinary clock, so in hardly any test.
    StayAwake,
}

/// An emulator that is watched. Dropping it stops it; [`Watched::stop`] waits.
#[derive(Debug)]
pub struct Watched {
    // Gone before the emulator is.
    clock: JoinSet<()>,
    emulator: Arc<Emulator>,
}

impl Watched {
    /// Starts one, over the server that the builder names.
    pub async fn start(
        builder: Builder,
        computes: Computes,
        mut latency: Latency,
        mut limits: Limits,
    ) -> Result<Self> {
        if computes == Computes::FallAsleep {
            latency.cold_start_ms = COLD_START_MS;
            limits.compute_wait_ms = COMPUTE_WAIT_MS;
        }
        let builder = builder.document(document().await?);
        let emulator = Arc::new(builder.latency(latency).limits(limits).start().await?);
        let mut clock = JoinSet::new();
        if computes == Computes::FallAsleep {
            clock.spawn(hurry(Arc::downgrade(&emulator)));
        }
        Ok(Self { clock, emulator })
    }

    /// Fails where an answer, or a request that was accepted, did not fit the API's document.
    pub fn kept_to_the_document(&self) -> Result<()> {
        let conformance = self.emulator.conformance();
        ensure!(
            conformance.is_enabled(),
            "nothing was held against the API's document"
        );
        let found = conformance.violations();
        ensure!(
            found.is_empty(),
            "{} times the API's document was not kept to:\n{}",
            found.len(),
            found.join("\n")
        );
        Ok(())
    }

    /// Stops it and waits until it has.
    pub async fn stop(mut self) {
        self.clock.shutdown().await;
        // Nobody but the clock has another.
        if let Some(emulator) = Arc::into_inner(self.emulator) {
            emulator.shutdown().await;
        }
    }
}

impl Deref for Watched {
    type Target = Emulator;

    fn deref(&self) -> &Emulator {
        &self.emulator
    }
}

/// Turns the clock of an emulator until it is gone.
async fn hurry(emulator: Weak<Emulator>) {
    let mut turns = tokio::time::interval(PACE);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let Some(emulator) = emulator.upgrade() else {
            return;
        };
        if let Err(error) = emulator.advance_clock(STEP).await {
            tracing::warn!(%error, "The emulator's clock was not turned");
        }
    }
}

/// The API's document, read once for all tests of a program.
async fn document() -> Result<Arc<Document>> {
    static DOCUMENT: OnceCell<Arc<Document>> = OnceCell::const_new();
    let read = async || {
        tokio::task::spawn_blocking(|| {
            let path = install::neon_document()?;
            Document::read(&path).context("the API's document")
        })
        .await?
    };
    DOCUMENT.get_or_try_init(read).await.cloned()
}
