//! A Neon emulator that validates every exchange against the OpenAPI document named by
//! `NEON_EMULATOR_DOCUMENT`.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use neon_emulator::Emulator;
use neon_emulator::openapi::{DOCUMENT_VARIABLE, Document};

use serde_json::json;

use crate::postgres::{database_name, postgres};

/// Fails the test on drop if a response or an accepted request violated the document.
pub(crate) struct Emulated(Emulator);

impl Emulated {
    /// Starts an emulator with a database of its own.
    pub(crate) async fn start() -> Self {
        let builder = Emulator::builder()
            .postgres(postgres().await.uri())
            .control_database(database_name("emulator"))
            .varying_sqlstates(true)
            .document(document());
        Self(builder.start().await.expect("the emulator starts"))
    }

    /// Sets the size limit of every project, in bytes; 0 removes it. Sessions with another limit are
    /// closed.
    pub(crate) async fn limit_size(&self, bytes: u64) {
        let settings = json!({"quota": {"logical_size_bytes": bytes}});
        for project in self.projects().await.expect("projects") {
            let update = reqwest::Client::new()
                .patch(format!("{}/projects/{}", self.api_url(), project.id))
                .bearer_auth(self.api_key())
                .json(&json!({"project": {"settings": settings}}));
            let response = update.send().await.expect("a response");
            assert!(response.status().is_success(), "{}", response.status());
        }
        // Checks the sessions.
        let moment = Duration::from_secs(1);
        self.advance_clock(moment).await.expect("a clock");
    }
}

impl Deref for Emulated {
    type Target = Emulator;

    fn deref(&self) -> &Emulator {
        &self.0
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(
                self.0.violations(),
                Vec::<String>::new(),
                "an exchange violated the OpenAPI document"
            );
        }
    }
}

/// Read once per test process.
fn document() -> Option<Arc<Document>> {
    static DOCUMENT: OnceLock<Option<Arc<Document>>> = OnceLock::new();
    let read = || {
        let path = std::env::var_os(DOCUMENT_VARIABLE)?;
        Some(Document::read(path.as_ref()).expect("the OpenAPI document"))
    };
    DOCUMENT.get_or_init(read).clone()
}
