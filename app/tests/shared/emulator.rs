//! An emulator whose every exchange is held against the API's document, the one that `NEON_EMULATOR_DOCUMENT` names.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use neon_emulator::Emulator;
use neon_emulator::openapi::{DOCUMENT_VARIABLE, Document};

/// Fails its test at the end, if an answer or a request that it accepted did not fit the document.
pub(crate) struct Emulated(Emulator);

impl Emulated {
    /// An emulator over this PostgreSQL server, with its state in a database of this name.
    pub(crate) async fn start(postgres: &str, database: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = Emulator::builder().postgres(postgres);
        let started = builder.control_database(database).document(document());
        Self(started.start().await.expect("the emulator starts"))
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
                "the API's document is not kept to"
            );
        }
    }
}

/// Read once for all tests of a program.
fn document() -> Option<Arc<Document>> {
    static DOCUMENT: OnceLock<Option<Arc<Document>>> = OnceLock::new();
    let read = || {
        let path = std::env::var_os(DOCUMENT_VARIABLE)?;
        Some(Document::read(path.as_ref()).expect("the API's document"))
    };
    DOCUMENT.get_or_init(read).clone()
}
