//! Encoding of arbitrary Unicode names in paths, queries and bodies.

use std::time::Duration;

use neon_client::{
    ids::{BranchId, DatabaseName, ProjectId, RoleName},
    model::CreateDatabase,
};
use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use tokio::runtime::Runtime;
use url::{Url, form_urlencoded};

use crate::support::{Reply, Server};

/// Cases per property. Each case is a call over a socket.
const CASES: u32 = 64;

fn project_id() -> ProjectId {
    "calm-sea-1".parse().unwrap()
}

fn branch() -> BranchId {
    "br-a-1".parse().unwrap()
}

#[tokio::test]
async fn names_are_encoded_in_paths_and_queries() {
    let server = Server::replying(vec![Reply::error(404, "", ""); 2]).await;
    let role = "a/b?c#d e%".parse().unwrap();
    let _ = server
        .neon()
        .roles(&project_id(), &"br-a-1".parse().unwrap())
        .reveal_password(&role)
        .send()
        .await;
    let uri = server
        .neon()
        .projects()
        .connection_uri(&project_id(), &"a&b=c".parse().unwrap(), &role)
        .pooled(true);
    let _ = uri.branch(&"br-a-1".parse().unwrap()).send().await;
    let targets: Vec<_> = server
        .received()
        .into_iter()
        .map(|request| request.target)
        .collect();
    assert!(
        targets[0].ends_with("/roles/a%2Fb%3Fc%23d%20e%25/reveal_password"),
        "{}",
        targets[0]
    );
    assert!(
        targets[1].ends_with(
            "?database_name=a%26b%3Dc&role_name=a%2Fb%3Fc%23d+e%25&pooled=true&branch_id=br-a-1"
        ),
        "{}",
        targets[1]
    );
}

/// Names that PostgreSQL accepts: any Unicode without control characters, at most 63 bytes.
fn name() -> impl Strategy<Value = String> {
    "[^\\p{Cc}]{1,15}".prop_filter("it would change the path", |name| {
        !matches!(name.as_str(), "." | "..")
    })
}

/// A server that rejects every request, with a runtime to call it.
struct Recorder {
    runtime: Runtime,
    server: Server,
}

impl Recorder {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let replies = vec![Reply::error(404, "", ""); CASES as usize * 2];
        let server = runtime.block_on(Server::replying(replies));
        Self { runtime, server }
    }

    /// Makes a call and returns the path segments below the base path and the query of its request.
    fn record<T>(
        &self,
        call: impl AsyncFnOnce(neon_client::Neon) -> T,
    ) -> (Vec<String>, Vec<(String, String)>) {
        let neon = self
            .server
            .builder()
            .call_timeout(Duration::from_secs(5))
            .build()
            .unwrap();
        self.runtime.block_on(call(neon));
        let target = self.server.received().pop().unwrap().target;
        let url: Url = format!("http://server{target}").parse().unwrap();
        assert_eq!(url.fragment(), None, "{target}");
        let text = |segment: &str| {
            percent_decode_str(segment)
                .decode_utf8()
                .unwrap()
                .into_owned()
        };
        let path = url.path_segments().unwrap().skip(2).map(text).collect();
        let query = form_urlencoded::parse(url.query().unwrap_or_default().as_bytes());
        (path, query.into_owned().collect())
    }
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

#[test]
fn every_name_in_a_path_round_trips() {
    let recorder = Recorder::new();
    proptest!(ProptestConfig::with_cases(CASES), |(name in name())| {
        let role: RoleName = name.parse().unwrap();
        let (path, query) = recorder.record(async |neon| {
            neon.roles(&project_id(), &branch()).reveal_password(&role).send().await.unwrap_err()
        });
        let expected = ["projects", "calm-sea-1", "branches", "br-a-1", "roles", &name, "reveal_password"];
        prop_assert_eq!(path, texts(expected));
        prop_assert!(query.is_empty());
        let database: DatabaseName = name.parse().unwrap();
        let (path, _) = recorder.record(async |neon| {
            neon.databases(&project_id(), &branch()).delete(&database).send().await.unwrap_err()
        });
        let expected = ["projects", "calm-sea-1", "branches", "br-a-1", "databases", &name];
        prop_assert_eq!(path, texts(expected));
    });
}

#[test]
fn every_value_in_a_query_round_trips() {
    let recorder = Recorder::new();
    proptest!(ProptestConfig::with_cases(CASES), |(search in any::<String>(), name in name(), owner in name())| {
        let (path, query) = recorder.record(async |neon| {
            neon.projects().list().limit(7).search(search.clone()).all().await.unwrap_err()
        });
        prop_assert_eq!(path, texts(["projects"]));
        let expected = [("limit", "7"), ("search", &search)];
        prop_assert_eq!(query, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let (database, role) = (name.parse().unwrap(), owner.parse().unwrap());
        let (_, query) = recorder.record(async |neon| {
            let uri = neon.projects().connection_uri(&project_id(), &database, &role);
            uri.pooled(false).send().await.unwrap_err()
        });
        let expected = [("database_name", name), ("role_name", owner), ("pooled", "false".to_owned())];
        prop_assert_eq!(query, expected.map(|(name, value)| (name.to_owned(), value)));
    });
}

#[test]
fn every_name_in_a_body_round_trips() {
    let recorder = Recorder::new();
    proptest!(ProptestConfig::with_cases(CASES), |(name in name(), owner in name())| {
        let new = CreateDatabase::new(name.parse().unwrap(), owner.parse().unwrap());
        recorder.record(async |neon| {
            neon.databases(&project_id(), &branch()).create(new.clone()).send().await.unwrap_err()
        });
        let body = recorder.server.received().pop().unwrap().body;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        prop_assert_eq!(body, serde_json::json!({"database": {"name": name, "owner_name": owner}}));
    });
}
