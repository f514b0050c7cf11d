//! Every way a request can end, a case a line, against a real socket: what the caller sees, and how often the request was sent. The
//! server ends the first request as the case says and answers the second well, so a call that is sent again succeeds.

use std::{collections::BTreeSet, fmt::Debug, time::Duration};

use futures::{FutureExt, future::join_all};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimePrinter};
use neon_client::{Error, ErrorKind, ErrorKind as Kind};

use crate::{
    calls::{create, created, get, got, project, reset, was_reset},
    support::{Reply, Server},
};

/// What the API says, where it says something.
const WORDS: &str = "the words of the API";
/// Longer than any case waits before it sends again; a request without an answer takes half of it, or all.
const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// The longest that the client pauses because an answer says so.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(2);

/// How a call ends, and with how many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done(u32),
    Fails(ErrorKind, u32),
}

use End::{Done, Fails};

/// A first reply, how a call ends that may be repeated, and one that may not.
type Case = (&'static str, Reply, End, End);

const AGAIN: End = Done(2);
const UNKNOWN: End = Fails(Kind::Ambiguous, 1);

const fn at_once(kind: Kind) -> End {
    Fails(kind, 1)
}

fn refused(status: u16) -> Reply {
    Reply::error(status, "", WORDS)
}

fn retry_after(value: &str) -> Reply {
    Reply::with_headers(429, format!("retry-after: {value}\r\n"))
}

fn date(from_now: SignedDuration) -> String {
    let printer = DateTimePrinter::new();
    let at = Timestamp::now() + from_now;
    printer.timestamp_to_rfc9110_string(&at).unwrap()
}

fn limited(retry_after: Option<Duration>) -> End {
    at_once(Kind::RateLimited { retry_after })
}

/// What only somebody else can mend: the caller hears of it at once, whatever the call.
fn refusals() -> Vec<Case> {
    let coded = |status, code| Reply::error(status, code, WORDS);
    let worded = |status, words: &str| Reply::error(status, "", words);
    let same = |name, reply, kind| (name, reply, at_once(kind), at_once(kind));
    #[rustfmt::skip]
    let cases = vec![
        same("400", refused(400), Kind::Invalid),
        same("401", refused(401), Kind::Auth),
        same("402", refused(402), Kind::LimitExceeded),
        same("403", refused(403), Kind::Auth),
        same("403, a quota", coded(403, "COMPUTE_TIME_QUOTA"), Kind::LimitExceeded),
        same("404", refused(404), Kind::NotFound),
        same("404 in HTML", Reply::html(404), Kind::NotFound),
        same("406", refused(406), Kind::Invalid),
        same("409", coded(409, "CONFLICT"), Kind::Conflict),
        same("412", refused(412), Kind::PreconditionFailed),
        same("422", refused(422), Kind::Invalid),
        same("422, projects", coded(422, "PROJECTS_LIMIT_EXCEEDED"), Kind::LimitExceeded),
        same("422, branches", coded(422, "BRANCHES_LIMIT_EXCEEDED"), Kind::LimitExceeded),
        same("422, said in words", worded(422, "roles limit reached"), Kind::LimitExceeded),
        same("422, a limit of a page", worded(422, "limit must be at most 400"), Kind::Invalid),
        same("429 for a minute", retry_after("60"), Kind::RateLimited { retry_after: Some(Duration::from_mins(1)) }),
        same("a redirect", Reply::with_headers(307, "location: /elsewhere\r\n"), Kind::NotJson),
    ];
    cases
}

/// What surely did nothing: it is sent again, whatever the call.
fn undone() -> Vec<Case> {
    let again = |name, reply| (name, reply, AGAIN, AGAIN);
    let soon = date(SignedDuration::from_secs(2));
    let past = date(SignedDuration::from_secs(-60));
    let far = date(SignedDuration::from_hours(24));
    #[rustfmt::skip]
    let cases = vec![
        again("423", refused(423)),
        again("429", refused(429)),
        again("429 for a second", retry_after("1")),
        again("429 until a date", retry_after(&soon)),
        again("429 until a date that is past", retry_after(&past)),
        again("429 until nobody knows", retry_after("soon")),
        again("503", refused(503)),
        again("503 in HTML", Reply::html(503)),
        again("503 for a second", Reply::with_headers(503, "retry-after: 1\r\n")),
        ("429 until tomorrow", retry_after(&far), limited(Some(RETRY_AFTER_MAX)), limited(Some(RETRY_AFTER_MAX))),
    ];
    cases
}

/// What may have done its work: it is sent again only where twice is as good as once.
fn unknown() -> Vec<Case> {
    let half = |status| Reply::Half {
        status,
        body: project().to_string(),
    };
    let unless_repeated = |name, reply| (name, reply, AGAIN, UNKNOWN);
    let unreadable = |name, reply| (name, reply, at_once(Kind::NotJson), UNKNOWN);
    #[rustfmt::skip]
    let cases = vec![
        unless_repeated("408", refused(408)),
        unless_repeated("500", refused(500)),
        unless_repeated("502 in HTML", Reply::html(502)),
        unless_repeated("504 in HTML", Reply::html(504)),
        unless_repeated("524 in HTML", Reply::html(524)),
        unless_repeated("500 that is too long", Reply::TooLong { status: 500 }),
        unless_repeated("cut after the request", Reply::Close),
        unless_repeated("cut in the head of the answer", Reply::HalfHead),
        unless_repeated("cut in the body of a success", half(201)),
        unless_repeated("cut in the body of a refusal", half(404)),
        unless_repeated("no answer in time", Reply::Silence),
        unreadable("a success that is HTML", Reply::html(200)),
        unreadable("a success of another shape", Reply::json(201, &r#"{"project": 7, "role": 7}"#)),
        unreadable("a success that is empty", Reply::with_headers(200, "")),
        unreadable("a success that is too long", Reply::TooLong { status: 200 }),
        unreadable("a success without an end", Reply::Endless { status: 200 }),
    ];
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn each_end_of_a_request_is_one_kind_of_error_and_sent_again_only_where_that_is_safe() {
    let cases = [refusals(), undone(), unknown()].concat();
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
        "case, call, expected and seen: {wrong:#?}"
    );
    assert_eq!(ends.len(), cases.len() * 3);
}

/// One call against a server of its own, which gives this reply and then a good one.
async fn run(call: &str, first: &Reply) -> End {
    let then = match call {
        "get" => got(),
        "create" => created(),
        _ => was_reset(),
    };
    let server = Server::replying([first.clone(), then]).await;
    let neon = server.builder().call_deadline(CALL_DEADLINE);
    let neon = neon.build().unwrap();
    let result = match call {
        "get" => get(&neon).map(|got| got.map(drop)).await,
        "create" => create(&neon).map(|created| created.map(drop)).await,
        _ => reset(&neon).map(|reset| reset.map(drop)).await,
    };
    told(&server, first, result)
}

/// The end as the server and the caller saw it; they must agree.
fn told<T: Debug>(server: &Server, first: &Reply, result: Result<T, Error>) -> End {
    let received = server.received();
    let requests = u32::try_from(received.len()).unwrap();
    let ids: BTreeSet<_> = received
        .iter()
        .map(|request| request.header("x-request-id").unwrap())
        .collect();
    assert_eq!(ids.len(), received.len(), "each has an id of its own");
    assert!(
        received
            .iter()
            .all(|request| request.body == received[0].body),
        "what is sent again is the same"
    );
    let Err(error) = result else {
        return Done(requests);
    };
    assert_eq!(error.requests(), requests, "{error}");
    let last = received.last().unwrap().header("x-request-id");
    assert_eq!(last, Some(&*error.request_id().unwrap().to_string()));
    if matches!(first, Reply::Answer { body, .. } if body.contains(WORDS)) {
        assert!(error.to_string().contains(WORDS), "{error}");
    }
    Fails(error.kind(), requests)
}
