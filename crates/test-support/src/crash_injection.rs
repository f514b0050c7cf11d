//! Cuts a controller off from all servers at a chosen effect, to simulate a crash at that point.
//!
//! The controller talks to the API server, to Neon and to the databases through the relays of this
//! module ([`http_relay`], [`database_relay`]), which share a [`CrashInjector`]. The injector
//! counts effects: requests that change something. At the chosen effect it blocks all traffic in
//! both directions. The test then kills the controller and unblocks the traffic for the next one.
//! Whatever the process does between the block and its death has no effect, so the chosen effect is
//! its last.

pub mod database_relay;
pub mod http_relay;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

/// When the controller is cut off, relative to the chosen effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashTiming {
    /// The effect happens, but the controller never receives the response.
    BeforeResponse,
    /// The controller receives the response, and nothing after it.
    AfterResponse,
    /// The request is held back, and may be released later.
    HoldRequest,
}

/// The effect at which the controller is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The effect with this number, from 1.
    Nth(usize),
    /// The first effect with this name.
    First(&'static str),
}

/// What a relay does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Forward,
    /// The message is the chosen effect.
    Interrupt(CrashTiming),
    Block,
}

type HeldRequest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The crash injector of one controller. Clones share their state.
#[derive(Clone)]
pub struct CrashInjector(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    blocked: watch::Sender<bool>,
    /// Messages that the controller has sent since the traffic was blocked.
    attempts: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    counting: bool,
    /// The names of the counted effects.
    effects: Vec<String>,
    armed: Option<(Trigger, CrashTiming)>,
    held: Option<HeldRequest>,
}

impl Default for CrashInjector {
    fn default() -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            blocked: watch::Sender::new(false),
            attempts: watch::Sender::new(0),
        }))
    }
}

impl CrashInjector {
    /// Starts to count effects, and cuts the controller off at the trigger if there is one.
    pub fn arm(&self, armed: Option<(Trigger, CrashTiming)>) {
        *self.state() = State {
            counting: true,
            armed,
            ..State::default()
        };
        self.0.attempts.send_replace(0);
    }

    /// Stops counting, and returns the names of the effects so far.
    pub fn disarm(&self) -> Vec<String> {
        let mut state = self.state();
        state.counting = false;
        state.armed = None;
        state.effects.clone()
    }

    /// Waits until the controller is cut off.
    pub async fn triggered(&self) {
        let mut blocked = self.0.blocked.subscribe();
        // The sender lives as long as the injector.
        let _ = blocked.wait_for(|blocked| *blocked).await;
    }

    /// Waits until the blocked controller sends another message, which shows that it has processed
    /// the last response. The timeout is for a controller that has nothing more to do.
    pub async fn wait_for_next_attempt(&self, timeout: Duration) {
        let mut attempts = self.0.attempts.subscribe();
        let _ = tokio::time::timeout(timeout, attempts.wait_for(|attempts| *attempts > 0)).await;
    }

    /// Unblocks the traffic and stops counting.
    pub fn unblock(&self) {
        self.state().counting = false;
        self.0.blocked.send_replace(false);
    }

    /// Sends the held request and waits for its response. Returns whether a request was held.
    pub async fn release_held_request(&self) -> bool {
        let held = self.state().held.take();
        match held {
            Some(held) => {
                held.await;
                true
            }
            None => false,
        }
    }

    pub(crate) fn on_effect(&self, name: &str) -> Action {
        if self.is_blocked() {
            return Action::Block;
        }
        let mut state = self.state();
        if !state.counting {
            return Action::Forward;
        }
        state.effects.push(name.to_owned());
        let Some((trigger, timing)) = state.armed else {
            return Action::Forward;
        };
        let matches = match trigger {
            Trigger::Nth(number) => number == state.effects.len(),
            Trigger::First(first) => first == name,
        };
        if matches {
            state.armed = None;
            Action::Interrupt(timing)
        } else {
            Action::Forward
        }
    }

    pub(crate) fn is_blocked(&self) -> bool {
        *self.0.blocked.borrow()
    }

    pub(crate) fn block(&self) {
        self.0.blocked.send_replace(true);
    }

    pub(crate) fn record_attempt(&self) {
        self.0.attempts.send_modify(|attempts| *attempts += 1);
    }

    pub(crate) fn hold(&self, request: HeldRequest) {
        self.state().held = Some(request);
    }

    /// Waits until the traffic is unblocked, which happens after the controller was replaced.
    pub(crate) async fn unblocked(&self) {
        let mut blocked = self.0.blocked.subscribe();
        let _ = blocked.wait_for(|blocked| !*blocked).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock()
    }
}
