//! Waiting for operations: success, failure and timeout.

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

fn operation_with(id: &str, status: &str) -> Reply {
    let operation = json!({"id": id, "project_id": "calm-sea-1", "action": "start_compute", "status": status, "created_at": AT, "updated_at": AT});
    Reply::json(200, &json!({"operation": operation}))
}

async fn wait(server: &Server, timeout: Duration) -> Result<Vec<Operation>, WaitError> {
    let ids = IDS.map(|id| id.parse::<OperationId>().unwrap());
    let operations = server.neon().operations(&"calm-sea-1".parse().unwrap());
    let wait = operations
        .wait(ids)
        .poll_interval(Duration::from_millis(1))
        .timeout(timeout);
    wait.done().await
}

/// Longer than any of these tests takes.
const LONG: Duration = Duration::from_mins(1);

#[tokio::test]
async fn operations_are_polled_one_after_the_other_until_each_has_finished() {
    let replies = [
        operation_with(IDS[0], "scheduling"),
        operation_with(IDS[0], "running"),
        // Neon retries it.
        operation_with(IDS[0], "failed"),
        operation_with(IDS[0], "unknown_status"),
        operation_with(IDS[0], "finished"),
        operation_with(IDS[1], "skipped"),
    ];
    let polls = replies.len();
    let server = Server::replying(replies).await;
    let over = wait(&server, LONG).await.unwrap();
    let statuses: Vec<_> = over.into_iter().map(|operation| operation.status).collect();
    assert_eq!(
        statuses,
        [OperationStatus::Finished, OperationStatus::Skipped]
    );
    assert_eq!(server.count(), polls);
}

#[tokio::test]
async fn a_failed_operation_ends_the_wait_with_an_error() {
    for status in ["error", "cancelled"] {
        let server = Server::replying([
            operation_with(IDS[0], "running"),
            operation_with(IDS[0], status),
        ])
        .await;
        let error = wait(&server, LONG).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("operation start_compute ended with status {status}")
        );
        assert!(matches!(error, WaitError::Failed(one) if one.id.to_string() == IDS[0]));
    }
}

#[tokio::test]
async fn an_operation_that_does_not_finish_in_time_is_an_error() {
    let server = Server::replying([operation_with(IDS[0], "running")]).await;
    let error = wait(&server, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, WaitError::TimedOut(_)), "{error}");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_failed_poll_ends_the_wait_with_its_error() {
    let server = Server::replying([Reply::error(404, "", "no such operation")]).await;
    match wait(&server, LONG).await.unwrap_err() {
        WaitError::Call(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
        other => panic!("{other}"),
    }
}
