//! A Neon emulator that validates every exchange against the OpenAPI document named by
//! `NEON_EMULATOR_DOCUMENT`.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use neon_emulator::Emulator;
use neon_emulator::openapi::{DOCUMENT_VARIABLE, Document};

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
