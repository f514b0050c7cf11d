//! Signing in, through the OpenID provider or by name.

mod complete;
mod rejection;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use service_kit::error_chain;
use tracing::{info, warn};

use super::pages::sign_in::{SignInPage, SignUpView, page};
use crate::config::{AuthMode, SignUp};
use crate::domain::RateLimitClass;
use crate::identity::oidc::{AuthorizationResponse, Oidc, OidcError};
use crate::identity::return_to::ReturnTo;
use crate::identity::users::Claims;
use crate::identity::{Session, local};
use crate::web::shared::extract::{AnonymousSession, Form, Query};
use crate::web::shared::pages::PageContext;
use crate::web::shared::route::{Access, Route};
use crate::web::shared::{App, Problem};
use complete::SignInError;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/sign-in", Access::Public, show),
        Route::get("/sign-in/start", Access::Public, start)
            .rate_limit_class(RateLimitClass::SignIns),
        Route::get("/sign-in/callback", Access::Public, callback)
            .rate_limit_class(RateLimitClass::SignIns),
        Route::post("/sign-in/local", Access::Public, sign_in_by_name)
            .rate_limit_class(RateLimitClass::SignIns),
    ]
}

#[derive(Deserialize)]
struct SignInParams {
    return_to: Option<String>,
    /// Whether the provider shows its choice of accounts, after one of them was refused.
    #[serde(default)]
    choose_account: bool,
}

impl SignInParams {
    fn return_to(&self) -> ReturnTo {
        self.return_to
            .as_deref()
            .map_or_else(ReturnTo::start, ReturnTo::new)
    }
}

async fn show(
    State(app): State<App>,
    session: Option<Session>,
    Query(params): Query<SignInParams>,
    anonymous: AnonymousSession,
    context: PageContext,
) -> Response {
    let return_to = params.return_to();
    if session.is_some() {
        return Redirect::to(return_to.as_str()).into_response();
    }
    let view = sign_in_view(&app, &return_to);
    render(&app, &anonymous, context, StatusCode::OK, &view)
}

/// Renders the page with a form that is bound to the browser.
fn render(
    app: &App,
    anonymous: &AnonymousSession,
    context: PageContext,
    status: StatusCode,
    view: &SignInPage,
) -> Response {
    let context = PageContext {
        csrf: anonymous.token.csrf().as_str().to_owned(),
        ..context
    };
    (status, [anonymous.cookie(app)], page(&context, view)).into_response()
}

fn sign_in_view(app: &App, return_to: &ReturnTo) -> SignInPage {
    let sign_in = &app.config.sign_in;
    SignInPage {
        provider: app.oidc.as_ref().map(Oidc::display_name),
        local: sign_in.auth_mode == AuthMode::Local,
        sign_up: match sign_in.sign_up() {
            SignUp::Open => SignUpView::Open,
            SignUp::Invited if return_to.invitation().is_some() => SignUpView::Joining,
            SignUp::Invited => SignUpView::Invited,
            SignUp::Closed => SignUpView::Closed,
        },
        choose_account: false,
        return_to: Some(return_to.as_str().to_owned()),
        name: String::new(),
        error: None,
    }
}

async fn start(
    State(app): State<App>,
    Query(params): Query<SignInParams>,
    anonymous: AnonymousSession,
    context: PageContext,
) -> Result<Response, Problem> {
    let oidc = app.oidc.as_ref().ok_or_else(Problem::not_found)?;
    let return_to = params.return_to();
    match oidc
        .start(
            &app.database,
            &anonymous.token,
            &return_to,
            params.choose_account,
        )
        .await
    {
        Ok(url) => Ok(([anonymous.cookie(&app)], Redirect::to(url.as_str())).into_response()),
        Err(error) => {
            let (status, message) = explain(error)?;
            let view = SignInPage {
                error: Some(message),
                ..sign_in_view(&app, &return_to)
            };
            Ok(render(&app, &anonymous, context, status, &view))
        }
    }
}

async fn callback(
    State(app): State<App>,
    headers: HeaderMap,
    Query(response): Query<AuthorizationResponse>,
    anonymous: AnonymousSession,
    context: PageContext,
) -> Result<Response, Problem> {
    let oidc = app.oidc.as_ref().ok_or_else(Problem::not_found)?;
    match oidc
        .complete(&app.database, &anonymous.token, response)
        .await
    {
        Ok((claims, return_to)) => {
            complete(&app, &headers, &claims, &return_to, &anonymous, context).await
        }
        Err(error) => {
            let (status, message) = explain(error)?;
            let view = SignInPage {
                error: Some(message),
                ..sign_in_view(&app, &ReturnTo::start())
            };
            Ok(render(&app, &anonymous, context, status, &view))
        }
    }
}

/// Completes the sign-in, or shows the sign-in page with the reason why the settings refuse it.
async fn complete(
    app: &App,
    headers: &HeaderMap,
    claims: &Claims,
    return_to: &ReturnTo,
    anonymous: &AnonymousSession,
    context: PageContext,
) -> Result<Response, Problem> {
    match complete::complete_sign_in(app, headers, claims, return_to).await {
        Ok(response) => Ok(response),
        Err(SignInError::Problem(problem)) => Err(problem),
        Err(SignInError::Refused(reason)) => {
            info!(error = %reason, "sign-in refused");
            let view = SignInPage {
                error: Some(rejection::message(&reason, claims)),
                choose_account: true,
                ..sign_in_view(app, return_to)
            };
            Ok(render(
                app,
                anonymous,
                context,
                StatusCode::FORBIDDEN,
                &view,
            ))
        }
    }
}

/// Logs why a sign-in failed, and returns a message for the user without the provider's own
/// message.
fn explain(error: OidcError) -> Result<(StatusCode, String), Problem> {
    match error {
        OidcError::Database(error) => return Err(error.into()),
        OidcError::InvalidToken(_) | OidcError::Exchange(_) | OidcError::Unreachable(_) => {
            warn!(error = %error_chain(&error), "sign-in failed");
        }
        OidcError::Expired | OidcError::Denied(_) => {
            info!(error = %error_chain(&error), "sign-in not completed");
        }
    }
    Ok(match error {
        OidcError::Unreachable(_) => (
            StatusCode::BAD_GATEWAY,
            "We couldn\u{2019}t reach the sign-in provider. Try again in a moment.".to_owned(),
        ),
        OidcError::Denied(code) if code == "access_denied" => (
            StatusCode::FORBIDDEN,
            "You cancelled the sign-in at the provider. Nothing was changed; you can try again \
             at any time."
                .to_owned(),
        ),
        OidcError::Denied(_) | OidcError::Exchange(_) => (
            StatusCode::BAD_GATEWAY,
            "The sign-in provider rejected the sign-in. Try again. If the problem persists, \
             contact your administrator."
                .to_owned(),
        ),
        OidcError::Expired => (
            StatusCode::BAD_REQUEST,
            "This sign-in has expired, was already completed, or was started in another browser. \
             Sign in again here."
                .to_owned(),
        ),
        OidcError::InvalidToken(_) | OidcError::Database(_) => (
            StatusCode::BAD_REQUEST,
            "We couldn\u{2019}t verify the response of the sign-in provider, so you weren\u{2019}t signed \
             in. Try again."
                .to_owned(),
        ),
    })
}

#[derive(Deserialize)]
struct LocalSignInForm {
    name: String,
    #[serde(flatten)]
    params: SignInParams,
}

async fn sign_in_by_name(
    State(app): State<App>,
    headers: HeaderMap,
    anonymous: AnonymousSession,
    context: PageContext,
    Form(form): Form<LocalSignInForm>,
) -> Result<Response, Problem> {
    if app.config.sign_in.auth_mode != AuthMode::Local {
        return Err(Problem::not_found());
    }
    let return_to = form.params.return_to();
    if let Some(claims) = local::claims(&form.name) {
        return complete(&app, &headers, &claims, &return_to, &anonymous, context).await;
    }
    let view = SignInPage {
        name: form.name,
        error: Some("Enter your name.".to_owned()),
        ..sign_in_view(&app, &return_to)
    };
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(render(&app, &anonymous, context, status, &view))
}
