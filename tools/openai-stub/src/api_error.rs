//! Error responses with the messages and the format of OpenAI's API.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: u16,
    message: String,
    kind: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
    retry_after: Option<String>,
}

impl ApiError {
    fn new(
        status: u16,
        kind: &'static str,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            message: message.into(),
            kind,
            param: None,
            code,
            retry_after: None,
        }
    }

    /// 400: the request is invalid.
    pub(crate) fn invalid(param: Option<&str>, message: impl Into<String>) -> Self {
        Self {
            param: param.map(str::to_owned),
            ..Self::new(400, "invalid_request_error", None, message)
        }
    }

    /// 400: the input exceeds the model's maximum length.
    pub(crate) fn too_long(tokens: usize, limit: usize) -> Self {
        Self::new(
            400,
            "invalid_request_error",
            Some("context_length_exceeded"),
            format!(
                "This model's maximum context length is {limit} tokens, however you requested {tokens} tokens. Please reduce your input."
            ),
        )
    }

    pub(crate) fn unknown_model(name: &str) -> Self {
        Self::new(
            404,
            "invalid_request_error",
            Some("model_not_found"),
            format!("The model `{name}` does not exist or you do not have access to it."),
        )
    }

    pub(crate) fn unknadmin_url(path: &str) -> Self {
        Self::new(
            404,
            "invalid_request_error",
            Some("unknadmin_url"),
            format!("Unknown request URL: {path}."),
        )
    }

    pub(crate) fn no_key() -> Self {
        Self::new(
            401,
            "invalid_request_error",
            None,
            "You didn't provide an API key.",
        )
    }

    pub(crate) fn wrong_key() -> Self {
        Self::new(
            401,
            "invalid_request_error",
            Some("invalid_api_key"),
            "Incorrect API key provided.",
        )
    }

    pub(crate) fn rate_limited(retry_after: Option<&str>) -> Self {
        Self {
            retry_after: retry_after.map(str::to_owned),
            ..Self::new(
                429,
                "tokens",
                Some("rate_limit_exceeded"),
                "Rate limit reached. Please try again later.",
            )
        }
    }

    pub(crate) fn insufficient_quota() -> Self {
        Self::new(
            429,
            "insufficient_quota",
            Some("insufficient_quota"),
            "You exceeded your current quota, please check your plan and billing details.",
        )
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::new(
            status,
            "server_error",
            None,
            "The server had an error while processing your request.",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"error": {
            "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
        }});
        let mut response = json_response(self.status, &body);
        if let Some(value) = self.retry_after.and_then(|text| text.parse().ok()) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}

pub(crate) fn json(status: u16, body: &Value) -> Response {
    json_response(status, body)
}

fn json_response(status: u16, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

/// Returns the fields of a body, which must be an object with only known fields.
pub(crate) fn fields<'body>(
    body: &'body Value,
    known: &[&str],
) -> Result<&'body serde_json::Map<String, Value>, ApiError> {
    let fields = body.as_object().ok_or_else(|| {
        ApiError::invalid(None, "We could not parse the JSON body of your request.")
    })?;
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        Some(unknown) => Err(ApiError::invalid(
            None,
            format!("Unrecognized request argument supplied: {unknown}"),
        )),
        None => Ok(fields),
    }
}
