//! The child process: it reads one document and gives up all privileges that it does not need
//! before it reads the first byte. Whatever a malicious file achieves in it, the process has only
//! one pipe to read from and one to write to, both with limits.

use std::io::{self, BufRead as _, BufWriter, Read as _, Write as _};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::thread;

pub use crate::confine::{Confinement, confine};

use crate::document;
use crate::document_error::DocumentError;
use crate::limits::Limits;
use crate::wire::Message;

/// Maximum length of the line with the limits.
const MAX_HEADER_BYTES: u64 = 64 * 1024;
/// Stack size of the thread that reads the document, because nested objects are read recursively. A
/// stack overflow ends the process.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Reads one document from standard input and writes the result to standard output. Only for the
/// process that [`Extractor`](crate::Extractor) starts, because it sandboxes the whole process
/// irreversibly.
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(|_| {})); // a panic message may quote the document
    let Ok(limits) = read_limits() else {
        return ExitCode::FAILURE;
    };
    let reader = thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || run_confined(&limits));
    match reader.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Reads the limits: one line of JSON before the document. Standard input is buffered once for the
/// process, so no byte of the document is lost here.
fn read_limits() -> io::Result<Limits> {
    let mut line = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_HEADER_BYTES)
        .read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

fn run_confined(limits: &Limits) -> io::Result<()> {
    let confinement = confine(limits)?;
    let mut output = BufWriter::new(io::stdout().lock());
    let mut emit = |message: &Message| -> io::Result<()> {
        serde_json::to_writer(&mut output, message)?;
        output.write_all(b"\n")?;
        if !matches!(message, Message::Page(_)) {
            output.flush()?;
        }
        Ok(())
    };
    emit(&Message::Confined { level: confinement })?;
    let mut file = Vec::new();
    io::stdin()
        .lock()
        .take(limits.max_input_bytes.saturating_add(1))
        .read_to_end(&mut file)?;
    let result = catch_unwind(AssertUnwindSafe(|| {
        document::process(file, limits, &mut emit)
    }));
    match result {
        Ok(result) => result,
        Err(_) => emit(&Message::Failed(DocumentError::Internal)),
    }
}
