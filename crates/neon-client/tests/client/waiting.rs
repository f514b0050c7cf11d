//! Waiting for operations: until all are over, or one ends as it should not, or the time is up.

use std::time::Duration;

use neon_client::{
    ErrorKind, WaitError,
    ids::OperationId,
    model::{Operation, OperationStatus},
};
use serde_json::json;

use crate::{
    calls::AT,
    support::{Reply, Server},
};

const IDS: [&str; 2] = [
    "d8ac46eb-a757-42b1-9907-f78322ee394e",
    "d8ac46eb-a757-42b1-9907-f78322ee394f",
];

fn now(id: &str, status: &str) -> Reply {
    let operation = json!({"id": id, "project_id": "calm-sea-1", "action": "start_compute", "status": status, "created_at": AT, "updated_at": AT});
    Reply::json(200, &json!({"operation": operation}))
}

async fn wait(server: &Server, deadline: Duration) -> Result<Vec<Operation>, WaitError> {
    let ids = IDS.map(|id| id.parse::<OperationId>().unwrap());
    let operations = server.neon().operations(&"calm-sea-1".parse().unwrap());
    let wait = operations
        .wait(ids)
        .look_every(Duration::from_millis(1))
        .deadline(deadline);
    wait.done().await
}

/// Longer than any of these tests.
const LONG: Duration = Duration::from_mins(1);

#[tokio::test]
async fn operations_are_looked_at_one_after_the_other_until_each_is_over() {
    let replies = [
        now(IDS[0], "scheduling"),
        now(IDS[0], "running"),
        // The platform tries it again by itself.
        now(IDS[0], "failed"),
        now(IDS[0], "a_word_of_tomorrow"),
        now(IDS[0], "finished"),
        now(IDS[1], "skipped"),
    ];
    let looks = replies.len();
    let server = Server::replying(replies).await;
    let over = wait(&server, LONG).await.unwrap();
    let statuses: Vec<_> = over.into_iter().map(|operation| operation.status).collect();
    assert_eq!(
        statuses,
        [OperationStatus::Finished, OperationStatus::Skipped]
    );
    assert_eq!(server.count(), looks);
}

#[tokio::test]
async fn an_operation_that_ends_badly_ends_the_wait_and_is_named() {
    for status in ["error", "cancelled"] {
        let server = Server::replying([now(IDS[0], "running"), now(IDS[0], status)]).await;
        let error = wait(&server, LONG).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the operation start_compute ended as {status}")
        );
        assert!(matches!(error, WaitError::Ended(one) if one.id.to_string() == IDS[0]));
    }
}

#[tokio::test]
async fn an_operation_that_is_not_over_in_time_is_named() {
    let server = Server::replying([now(IDS[0], "running")]).await;
    let error = wait(&server, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, WaitError::TimedOut(_)), "{error}");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_look_that_fails_ends_the_wait_with_its_error() {
    let server = Server::replying([Reply::error(404, "", "no such operation")]).await;
    match wait(&server, LONG).await.unwrap_err() {
        WaitError::Call(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        other => panic!("{other}"),
    }
}
