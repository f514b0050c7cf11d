//! Axum extractors whose rejections are API errors.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use neon_client::ids::OrgId;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize as _, Deserializer};

use super::error::ApiError;
use crate::faults::Injection;

/// Maximum size of a request body, in bytes. The largest bodies are seed requests with thousands of
/// names.
pub(super) const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Path parameters, validated by their types.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub(super) struct Path<T>(pub(super) T);

#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub(super) struct Query<T>(pub(super) T);

/// The faults that apply to this call.
pub(super) struct Injected(pub(super) Arc<Injection>);

impl<S: Send + Sync> FromRequestParts<S> for Injected {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Extension::from_request_parts(parts, state)
            .await
            .map(|Extension(injection)| Self(injection))?)
    }
}

/// The organization whose key the call carries; `None` for the key of the user.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Option<OrgId>);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Extension::from_request_parts(parts, state)
            .await
            .map(|Extension(caller)| caller)?)
    }
}

/// A JSON body, regardless of its content type.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        parse(&read(request).await?).map(Self)
    }
}

/// An optional JSON body.
pub(super) struct OptionalBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let bytes = read(request).await?;
        if bytes.is_empty() {
            Ok(Self(T::default()))
        } else {
            parse(&bytes).map(Self)
        }
    }
}

async fn read(request: Request) -> Result<bytes::Bytes, ApiError> {
    axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES)
        .await
        .map_err(|error| ApiError::bad_request(format!("failed to read the body: {error}")))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::bad_request(format!("invalid body: {error}")))
}

/// Deserializes a boolean query parameter in any spelling that Neon accepts; some clients send
/// `True`.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    crate::openapi::flag(&text)
        .ok_or_else(|| D::Error::custom(format_args!("{text:?} is not a boolean")))
}
