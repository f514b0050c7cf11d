//! Counts the effects of a controller, and cuts it off at the one that a test names.
//!
//! The controller talks to the API server, to Neon and to the databases through relays of this module ([`http`], [`data`]),
//! which share one [`Gate`]. A test arms it with the number of an effect; when that effect has come, nothing goes through any
//! more, in either direction, until the test has killed the controller and opens the gate for the next one. What the process
//! does between the cut and its death therefore never reaches anybody: the effect was its last.

pub mod data;
pub mod http;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Where the controller is cut off from the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// The effect is done, and the controller never hears of it.
    BeforeAnswer,
    /// The controller hears of the effect, and does nothing more.
    AfterAnswer,
    /// The request is on its way: it is held, to be let go later.
    Held,
}

/// Which effect a test waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The one with this number, from 1.
    Number(usize),
    /// The first of this name.
    First(&'static str),
}

/// What may happen to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It goes through.
    Through,
    /// It is the effect that the test waits for.
    Cut(Cut),
    /// Nothing goes through.
    Shut,
}

type Held = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The gate of one controller. Clones are the same gate.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    shut: watch::Sender<bool>,
    attempts: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    counting: bool,
    effects: Vec<String>,
    cut: Option<(At, Cut)>,
    held: Option<Held>,
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            shut: watch::Sender::new(false),
            attempts: watch::Sender::new(0),
        }))
    }
}

impl Gate {
    /// Counts effects from now on; at the one that is named the controller is cut off.
    pub fn arm(&self, at: Option<(At, Cut)>) {
        *self.state() = State {
            counting: true,
            cut: at,
            ..State::default()
        };
        self.0.attempts.send_replace(0);
    }

    /// Counts no more, and gives the names of the effects that came.
    pub fn disarm(&self) -> Vec<String> {
        let mut state = self.state();
        state.counting = false;
        state.cut = None;
        state.effects.clone()
    }

    /// Waits until the controller is cut off.
    pub async fn cut(&self) {
        let mut shut = self.0.shut.subscribe();
        // The sender lives as long as the gate.
        let _ = shut.wait_for(|shut| *shut).await;
    }

    /// Waits until the cut-off controller tries to go on, which shows that it has taken in its last answer; one that has
    /// nothing more to do is waited for only so long.
    pub async fn tried_to_go_on(&self, at_most: Duration) {
        let mut attempts = self.0.attempts.subscribe();
        let _ = tokio::time::timeout(at_most, attempts.wait_for(|attempts| *attempts > 0)).await;
    }

    /// Lets everything through again, and counts nothing.
    pub fn open(&self) {
        self.state().counting = false;
        self.0.shut.send_replace(false);
    }

    /// Lets the request go that was held; it has arrived when this returns. Whether there was one.
    pub async fn let_go(&self) -> bool {
        let held = self.state().held.take();
        match held {
            Some(held) => {
                held.await;
                true
            }
            None => false,
        }
    }

    pub(crate) fn effect(&self, name: &str) -> Passage {
        if self.is_shut() {
            return Passage::Shut;
        }
        let mut state = self.state();
        if !state.counting {
            return Passage::Through;
        }
        state.effects.push(name.to_owned());
        let Some((at, cut)) = state.cut else {
            return Passage::Through;
        };
        let is_it = match at {
            At::Number(number) => number == state.effects.len(),
            At::First(first) => first == name,
        };
        if is_it {
            state.cut = None;
            Passage::Cut(cut)
        } else {
            Passage::Through
        }
    }

    pub(crate) fn is_shut(&self) -> bool {
        *self.0.shut.borrow()
    }

    pub(crate) fn shut(&self) {
        self.0.shut.send_replace(true);
    }

    pub(crate) fn attempted(&self) {
        self.0.attempts.send_modify(|attempts| *attempts += 1);
    }

    pub(crate) fn hold(&self, request: Held) {
        self.state().held = Some(request);
    }

    /// Waits until the controller behind the gate is another.
    pub(crate) async fn opened(&self) {
        let mut shut = self.0.shut.subscribe();
        let _ = shut.wait_for(|shut| !*shut).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
