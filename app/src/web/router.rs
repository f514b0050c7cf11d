//! The table of routes: every address of the app, who may ask for it, and what it may cost. The router is made from it, and so is the
//! test that tries every one of them as a stranger.

use std::convert::Infallible;
use std::fmt;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};

use super::limits::Budget;
use super::{App, guard, handlers, outer};

/// Longest body of a form, in bytes, where a route says nothing else.
pub const FORM_BYTES_MAX: usize = 64 * 1024;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Whoever is signed in.
    SignedIn,
    /// Members of the path's `{workspace}`.
    Member,
    /// Its owners.
    Owner,
}

/// What the guard holds a route's requests to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who may ask.
    pub access: Access,
    /// What it costs.
    pub budget: Budget,
    /// Longest body, in bytes.
    pub body_bytes_max: usize,
    /// How long the answer may take.
    pub pace: Pace,
    /// Whether it removes something: who asks again, when it is going already and nothing is theirs any more, is led to its receipt.
    pub leads_to_receipt: bool,
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// No longer than the settings' request timeout.
    Prompt,
    /// As long as somebody listens: events. It ends when the process is asked to stop, and browsers connect again.
    Events,
    /// As long as it takes: archives. A process that is asked to stop lets it finish.
    Download,
}

/// One address of the app.
pub struct Route {
    /// GET or POST.
    pub method: Method,
    /// Its pattern, with `{workspace}` and other ids in braces.
    pub path: &'static str,
    /// What its requests are held to.
    pub rules: Rules,
    answer: MethodRouter<App, Infallible>,
}

impl Route {
    /// A page, a fragment, a stream: changes nothing.
    pub fn get<H, T>(path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        Self {
            method: Method::GET,
            path,
            rules: Rules {
                access,
                budget: Budget::Pages,
                body_bytes_max: 0,
                pace: Pace::Prompt,
                leads_to_receipt: false,
            },
            answer: get(handler),
        }
    }

    /// A form, or what a script sends.
    pub fn post<H, T>(path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        Self {
            method: Method::POST,
            path,
            rules: Rules {
                access,
                budget: Budget::Changes,
                body_bytes_max: FORM_BYTES_MAX,
                pace: Pace::Prompt,
                leads_to_receipt: false,
            },
            answer: post(handler),
        }
    }

    /// Costs this budget instead of the usual one.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.rules.budget = budget;
        self
    }

    /// Takes bodies of so many bytes.
    #[must_use]
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.rules.body_bytes_max = bytes;
        self
    }

    /// Removes what its receipt is then of.
    #[must_use]
    pub fn leads_to_receipt(mut self) -> Self {
        self.rules.leads_to_receipt = true;
        self
    }

    /// Answers with events, as long as somebody listens.
    #[must_use]
    pub fn stream(mut self) -> Self {
        self.rules.pace = Pace::Events;
        self
    }

    /// Answers with something that takes its time.
    #[must_use]
    pub fn download(mut self) -> Self {
        self.rules.pace = Pace::Download;
        self
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} ({:?})",
            self.method, self.path, self.rules
        )
    }
}

/// Every address of the app, area by area.
pub fn table() -> Vec<Route> {
    handlers::routes()
}

/// The app as axum serves it.
pub fn router(app: &App) -> Router {
    router_of(app, table())
}

/// As [`router`], with these routes: tests bring handlers of their own.
pub fn router_of(app: &App, routes: Vec<Route>) -> Router {
    let mut made = Router::new();
    for route in routes {
        let guard = from_fn_with_state((app.clone(), route.rules), guard::guard);
        made = made.route(route.path, route.answer.route_layer(guard));
    }
    made.fallback(guard::unknown_path)
        .method_not_allowed_fallback(outer::method_not_allowed)
        .layer(from_fn_with_state(app.clone(), outer::around))
        .with_state(app.clone())
}
