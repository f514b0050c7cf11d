//! The child's side: a process for one document, which takes everything from itself that it does not need before it looks at the
//! first byte of it. Whatever a hostile file achieves in here, it has a pipe to read from, a pipe to write to, and a limit on both.

mod confine;

use std::io::{self, BufRead as _, BufWriter, Read as _, Write as _};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::thread;

pub use confine::{Confinement, confine};

use crate::document;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::wire::Line;

/// The line with the limits is never longer.
const HEADER_BYTES_MAX: u64 = 64 * 1024;
/// Stack of the thread that reads: nested objects are read by recursion. What needs more ends the process.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Reads one document from standard input and answers on standard output; for the process that [`Extractor`](crate::Extractor)
/// starts, and for nothing else: it confines the whole process for good.
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(|_| {})); // a panic's message may quote the document
    let Ok(limits) = header() else {
        return ExitCode::FAILURE;
    };
    let reader = thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || confined(&limits));
    match reader.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The limits: one line of JSON before the document. Standard input has one buffer, so nothing of the document is lost here.
fn header() -> io::Result<Limits> {
    let mut line = Vec::new();
    io::stdin()
        .lock()
        .take(HEADER_BYTES_MAX)
        .read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

fn confined(limits: &Limits) -> io::Result<()> {
    let confinement = confine(limits)?;
    let mut output = BufWriter::new(io::stdout().lock());
    let mut emit = |line: &Line| -> io::Result<()> {
        serde_json::to_writer(&mut output, line)?;
        output.write_all(b"\n")?;
        if !matches!(line, Line::Page(_)) {
            output.flush()?;
        }
        Ok(())
    };
    emit(&Line::Confined {
        fully: confinement == Confinement::Full,
    })?;
    let mut file = Vec::new();
    io::stdin()
        .lock()
        .take(limits.input_bytes_max.saturating_add(1))
        .read_to_end(&mut file)?;
    let answered = catch_unwind(AssertUnwindSafe(|| {
        document::answer(file, limits, &mut emit)
    }));
    match answered {
        Ok(answered) => answered,
        Err(_) => emit(&Line::Refused {
            refusal: Refusal::Internal,
        }),
    }
}
