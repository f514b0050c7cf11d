//! Signing in, and what follows from it: the user's rows, a first workspace, a new session.

mod complete;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tracing::{info, warn};

use super::pages::sign_in::{SignInPage, page};
use crate::config::SignIn;
use crate::domain::RateLimitClass;
use crate::identity::oidc::{AuthorizationResponse, Oidc, OidcError};
use crate::identity::return_to::ReturnTo;
use crate::identity::{Session, local};
use crate::web::shared::extract::{Form, Query, AnonymousSession};
use crate::web::shared::pages::PageContext;
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/sign-in", Access::Public, show),
        Route::get("/sign-in/start", Access::Public, start)
            .rate_limit_class(RateLimitClass::SignIns),
        Route::get("/sign-in/callback", Access::Public, callback)
            .rate_limit_class(RateLimitClass::SignIns),
        Route::post("/sign-in/local", Access::Public, by_name)
            .rate_limit_class(RateLimitClass::SignIns),
    ]
}

#[derive(Deserialize)]
struct Wish {
    return_to: Option<String>,
}

impl Wish {
    fn path(&self) -> ReturnTo {
        self.return_to
            .as_deref()
            .map_or_else(ReturnTo::start, ReturnTo::new)
    }
}

async fn show(
    State(app): State<App>,
    session: Option<Session>,
    Query(wish): Query<Wish>,
    visitor: AnonymousSession,
    context: PageContext,
) -> Response {
    if session.is_some() {
        return Redirect::to(wish.path().as_str()).into_response();
    }
    let view = offer(&app, &wish.path());
    shown(&app, &visitor, context, StatusCode::OK, &view)
}

/// The page with a form that is bound to this visitor.
fn shown(
    app: &App,
    visitor: &AnonymousSession,
    context: PageContext,
    status: StatusCode,
    view: &SignInPage,
) -> Response {
    let context = PageContext {
        csrf: visitor.token.csrf().as_str().to_owned(),
        ..context
    };
    (status, [visitor.cookie(app)], page(&context, view)).into_response()
}

fn offer(app: &App, return_to: &ReturnTo) -> SignInPage {
    SignInPage {
        provider: app.oidc.as_ref().map(Oidc::display_name),
        local: matches!(app.config.sign_in, SignIn::Local),
        return_to: Some(return_to.as_str().to_owned()),
        name: String::new(),
        trouble: None,
    }
}

async fn start(
    State(app): State<App>,
    Query(wish): Query<Wish>,
    visitor: AnonymousSession,
    context: PageContext,
) -> Result<Response, Problem> {
    let oidc = app.oidc.as_ref().ok_or_else(Problem::not_found)?;
    let return_to = wish.path();
    match oidc.start(&app.database, &visitor.token, &return_to).await {
        Ok(url) => Ok(([visitor.cookie(&app)], Redirect::to(url.as_str())).into_response()),
        Err(error) => {
            let (status, trouble) = words(error)?;
            let view = SignInPage {
                trouble: Some(trouble),
                ..offer(&app, &return_to)
            };
            Ok(shown(&app, &visitor, context, status, &view))
        }
    }
}

async fn callback(
    State(app): State<App>,
    headers: HeaderMap,
    Query(answer): Query<AuthorizationResponse>,
    visitor: AnonymousSession,
    context: PageContext,
) -> Result<Response, Problem> {
    let oidc = app.oidc.as_ref().ok_or_else(Problem::not_found)?;
    match oidc.complete(&app.database, &visitor.token, answer).await {
        Ok((claims, return_to)) => complete::complete_sign_in(&app, &headers, &claims, &return_to).await,
        Err(error) => {
            let (status, trouble) = words(error)?;
            let view = SignInPage {
                trouble: Some(trouble),
                ..offer(&app, &ReturnTo::start())
            };
            Ok(shown(&app, &visitor, context, status, &view))
        }
    }
}

/// What people are told of a sign-in that came to nothing. The log has what the provider said.
fn words(error: OidcError) -> Result<(StatusCode, String), Problem> {
    match error {
        OidcError::Database(error) => return Err(error.into()),
        OidcError::Untrusted(_) | OidcError::Exchange(_) | OidcError::Unreachable(_) => {
            warn!(error = %error, "A sign-in failed");
        }
        OidcError::Stale | OidcError::Refused(_) => info!(error = %error, "A sign-in ended"),
    }
    Ok(match error {
        OidcError::Unreachable(_) => (
            StatusCode::BAD_GATEWAY,
            "The sign-in provider cannot be reached right now. Try again in a moment.".to_owned(),
        ),
        OidcError::Refused(word) if word == "access_denied" => (
            StatusCode::FORBIDDEN,
            "You did not let the provider sign you in. Nothing was changed; try again whenever you like.".to_owned(),
        ),
        OidcError::Refused(_) | OidcError::Exchange(_) => (
            StatusCode::BAD_GATEWAY,
            "The sign-in provider refused. Try again; if it stays like this, tell whoever runs this site.".to_owned(),
        ),
        OidcError::Stale => (
            StatusCode::BAD_REQUEST,
            "This sign-in took too long, was finished already, or was begun in another browser. Begin it again here.".to_owned(),
        ),
        OidcError::Untrusted(_) | OidcError::Database(_) => (
            StatusCode::BAD_REQUEST,
            "What the sign-in provider sent could not be verified, so you were not signed in. Begin again.".to_owned(),
        ),
    })
}

#[derive(Deserialize)]
struct ByName {
    name: String,
    #[serde(flatten)]
    wish: Wish,
}

async fn by_name(
    State(app): State<App>,
    headers: HeaderMap,
    visitor: AnonymousSession,
    context: PageContext,
    Form(form): Form<ByName>,
) -> Result<Response, Problem> {
    if !matches!(app.config.sign_in, SignIn::Local) {
        return Err(Problem::not_found());
    }
    let return_to = form.wish.path();
    if let Some(claims) = local::claims(&form.name) {
        return complete::complete_sign_in(&app, &headers, &claims, &return_to).await;
    }
    let view = SignInPage {
        name: form.name,
        trouble: Some("Write a name to be called by.".to_owned()),
        ..offer(&app, &return_to)
    };
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(shown(&app, &visitor, context, status, &view))
}
