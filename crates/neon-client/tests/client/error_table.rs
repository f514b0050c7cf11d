//! Every outcome of a request, one case per line, against a real socket: the error that the caller
//! gets and the number of requests. The server handles the first request as the case says and
//! responds successfully to the second, so a retried call succeeds.

use std::{collections::BTreeSet, fmt::Debug, time::Duration};

use futures::{FutureExt, future::join_all};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimePrinter};
use neon_client::{Error, ErrorKind, ErrorKind as Kind};

use crate::{
    calls::{
        create, created_response, get, password_reset_response, project, project_response,
        reset_password,
    },
    support::{Reply, Server},
};

const MESSAGE: &str = "the message of the API";
/// Longer than the pause of any case that is retried. An attempt without a response uses half of it
/// or all of it.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The client's limit for `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(2);

/// Outcome of a call and its number of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallEnd {
    Succeeds(u32),
    Fails(ErrorKind, u32),
}

use CallEnd::{Fails, Succeeds};

/// Name, first reply, outcome of an idempotent call, outcome of a call that is not idempotent.
type Case = (&'static str, Reply, CallEnd, CallEnd);

const RETRIED: CallEnd = Succeeds(2);
const AMBIGUOUS: CallEnd = Fails(Kind::Ambiguous, 1);

const fn not_retried(kind: Kind) -> CallEnd {
    Fails(kind, 1)
}

fn error_status(status: u16) -> Reply {
    Reply::error(status, "", MESSAGE)
}

fn retry_after(value: &str) -> Reply {
    Reply::with_headers(429, format!("retry-after: {value}\r\n"))
}

fn date(from_now: SignedDuration) -> String {
    let printer = DateTimePrinter::new();
    let at = Timestamp::now() + from_now;
    printer.timestamp_to_rfc9110_string(&at).unwrap()
}

fn rate_limited(retry_after: Option<Duration>) -> CallEnd {
    not_retried(Kind::RateLimited { retry_after })
}

/// Errors that are not retried, whatever the call.
fn permanent_errors() -> Vec<Case> {
    let with_code = |status, code| Reply::error(status, code, MESSAGE);
    let with_message = |status, message: &str| Reply::error(status, "", message);
    let same = |name, reply, kind| (name, reply, not_retried(kind), not_retried(kind));
    #[rustfmt::skip]
    let cases = vec![
        same("400", error_status(400), Kind::Invalid),
        same("401", error_status(401), Kind::Auth),
        same("402", error_status(402), Kind::LimitExceeded),
        same("403", error_status(403), Kind::Auth),
        same("403, quota", with_code(403, "COMPUTE_TIME_QUOTA"), Kind::LimitExceeded),
        same("404", error_status(404), Kind::NotFound),
        same("404 in HTML", Reply::html(404), Kind::NotFound),
        same("406", error_status(406), Kind::Invalid),
        same("409", with_code(409, "CONFLICT"), Kind::Conflict),
        same("412", error_status(412), Kind::PreconditionFailed),
        same("422", error_status(422), Kind::Invalid),
        same("422, projects", with_code(422, "PROJECTS_LIMIT_EXCEEDED"), Kind::LimitExceeded),
        same("422, branches", with_code(422, "BRANCHES_LIMIT_EXCEEDED"), Kind::LimitExceeded),
        same("422, limit in the message", with_message(422, "roles limit reached"), Kind::LimitExceeded),
        same("422, limit of a page", with_message(422, "limit must be at most 400"), Kind::Invalid),
        same("429 for one minute", retry_after("60"), Kind::RateLimited { retry_after: Some(Duration::from_mins(1)) }),
        same("a redirect", Reply::with_headers(307, "location: /elsewhere\r\n"), Kind::InvalidResponse),
    ];
    cases
}

/// Requests that certainly had no effect. They are retried, whatever the call.
fn without_effect() -> Vec<Case> {
    let retried = |name, reply| (name, reply, RETRIED, RETRIED);
    let soon = date(SignedDuration::from_secs(2));
    let past = date(SignedDuration::from_secs(-60));
    let far = date(SignedDuration::from_hours(24));
    #[rustfmt::skip]
    let cases = vec![
        retried("423", error_status(423)),
        retried("429", error_status(429)),
        retried("429 for one second", retry_after("1")),
        retried("429 until a date", retry_after(&soon)),
        retried("429 until a date in the past", retry_after(&past)),
        retried("429 with an invalid Retry-After", retry_after("soon")),
        retried("503", error_status(503)),
        ("429 until tomorrow", retry_after(&far), rate_limited(Some(MAX_RETRY_AFTER)), rate_limited(Some(MAX_RETRY_AFTER))),
    ];
    cases
}

/// Requests that may have had an effect. They are retried only if the call is idempotent.
fn possible_effect() -> Vec<Case> {
    let half = |status| Reply::HalfBody {
        status,
        body: project().to_string(),
    };
    let retried_if_idempotent = |name, reply| (name, reply, RETRIED, AMBIGUOUS);
    let invalid_response =
        |name, reply| (name, reply, not_retried(Kind::InvalidResponse), AMBIGUOUS);
    #[rustfmt::skip]
    let cases = vec![
        retried_if_idempotent("408", error_status(408)),
        retried_if_idempotent("500", error_status(500)),
        retried_if_idempotent("502 in HTML", Reply::html(502)),
        retried_if_idempotent("503 in HTML", Reply::html(503)),
        retried_if_idempotent("503 without a body", Reply::with_headers(503, "retry-after: 1\r\n")),
        retried_if_idempotent("504 in HTML", Reply::html(504)),
        retried_if_idempotent("524 in HTML", Reply::html(524)),
        retried_if_idempotent("500 with a body that is too long", Reply::TooLong { status: 500 }),
        retried_if_idempotent("connection closed after the request", Reply::Close),
        retried_if_idempotent("connection closed within the response head", Reply::HalfHead),
        retried_if_idempotent("connection closed within the body of a success", half(201)),
        retried_if_idempotent("connection closed within the body of an error", half(404)),
        retried_if_idempotent("no response in time", Reply::NoResponse),
        invalid_response("success with HTML", Reply::html(200)),
        invalid_response("success with an unexpected structure", Reply::json(201, &r#"{"project": 7, "role": 7}"#)),
        invalid_response("success with an empty body", Reply::with_headers(200, "")),
        invalid_response("success with a body that is too long", Reply::TooLong { status: 200 }),
        invalid_response("success with an endless body", Reply::Endless { status: 200 }),
    ];
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn each_outcome_maps_to_an_error_kind_and_is_retried_only_where_that_is_safe() {
    let cases = [permanent_errors(), without_effect(), possible_effect()].concat();
    let ends = cases.iter().map(async |(name, reply, repeatable, not)| {
        let (got, made, reset) =
            tokio::join!(run("get", reply), run("create", reply), run("reset", reply));
        [
            (*name, "get", *repeatable, got),
            (*name, "create", *not, made),
            (*name, "reset", *not, reset),
        ]
    });
    let ends = join_all(ends).await.concat();
    let wrong: Vec<_> = ends.iter().filter(|end| end.2 != end.3).collect();
    assert!(
        wrong.is_empty(),
        "case, call, expected and actual: {wrong:#?}"
    );
    assert_eq!(ends.len(), cases.len() * 3);
}

/// Runs a call against a server that sends `first` and then a success.
async fn run(call: &str, first: &Reply) -> CallEnd {
    let then = match call {
        "get" => project_response(),
        "create" => created_response(),
        _ => password_reset_response(),
    };
    let server = Server::replying([first.clone(), then]).await;
    let neon = server.builder().call_timeout(CALL_TIMEOUT);
    let neon = neon.build().unwrap();
    let result = match call {
        "get" => get(&neon).map(|got| got.map(drop)).await,
        "create" => create(&neon).map(|created| created.map(drop)).await,
        _ => reset_password(&neon).map(|reset| reset.map(drop)).await,
    };
    observed(&server, first, result)
}

/// Returns the outcome after checking that the server and the caller agree on it.
fn observed<T: Debug>(server: &Server, first: &Reply, result: Result<T, Error>) -> CallEnd {
    let received = server.received();
    let requests = u32::try_from(received.len()).unwrap();
    let ids: BTreeSet<_> = received
        .iter()
        .map(|request| request.header("x-request-id").unwrap())
        .collect();
    assert_eq!(ids.len(), received.len(), "each request has its own id");
    assert!(
        received
            .iter()
            .all(|request| request.body == received[0].body),
        "retries send the same body"
    );
    let Err(error) = result else {
        return Succeeds(requests);
    };
    assert_eq!(error.requests(), requests, "{error}");
    let last = received.last().unwrap().header("x-request-id");
    assert_eq!(last, Some(&*error.request_id().unwrap().to_string()));
    if matches!(first, Reply::Response { body, .. } if body.contains(MESSAGE)) {
        assert!(error.to_string().contains(MESSAGE), "{error}");
    }
    Fails(error.kind(), requests)
}
