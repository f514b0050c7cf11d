//! axum's extractors with [`Problem`] as their rejection.

use axum::extract::rejection::{FormRejection, JsonRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::web::shared::{App, Problem};

/// Path parameters, as a struct or a tuple. A malformed id is a 404.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

#[derive(Clone, Copy, Debug)]
pub struct Form<T>(pub T);

#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        axum::extract::Path::from_request_parts(parts, app)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|_| Problem::not_found())
    }
}

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        axum::extract::Query::from_request_parts(parts, app)
            .await
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|_| Problem::malformed_request())
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        axum::Form::from_request(request, app)
            .await
            .map(|axum::Form(value)| Self(value))
            .map_err(|rejection: FormRejection| body_problem(rejection.status()))
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        axum::Json::from_request(request, app)
            .await
            .map(|axum::Json(value)| Self(value))
            .map_err(|rejection: JsonRejection| body_problem(rejection.status()))
    }
}

fn body_problem(status: StatusCode) -> Problem {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        Problem::too_large()
    } else {
        Problem::malformed_request()
    }
}
