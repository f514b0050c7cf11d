//! The parent process: starts the sandboxed child for one document, sends it the file, passes on its
//! pages one by one, and maps every way in which the child can end to an error for the user.
//!
//! The child may be under the control of a malicious file. The parent therefore checks each page
//! and the report against the limits again, and holds no more than one message and one page of the child.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Once;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::confine::Confinement;
use crate::document_error::DocumentError;
use crate::limits::Limits;
use crate::page::{Extraction, Page};
use crate::report::PageReport;
use crate::wire::{MAX_MESSAGE_BYTES, Message, ReaderKind};

/// Buffer size for sending the file.
const COPY_BUFFER_BYTES: usize = 64 * 1024;
/// Memory that is kept for the next message after a large one.
const MAX_KEPT_BYTES: usize = 256 * 1024;

#[derive(Debug, Clone)]
pub struct ExtractorConfig {
    /// Program that calls [`child::main`](crate::child::main()) when started with `args`.
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub limits: Limits,
}

impl ExtractorConfig {
    /// Uses the current executable with the argument `extract`.
    pub fn current_exe(limits: Limits) -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            args: vec!["extract".into()],
            limits,
        })
    }
}

/// Extracts documents, each in its own child process.
#[derive(Debug, Clone)]
pub struct Extractor {
    config: ExtractorConfig,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub read: u32,
    pub pages: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The document cannot be read. A retry gives the same error.
    #[error("the document cannot be read")]
    Document(#[source] DocumentError),
    /// The input could not be read to its end. A retry may succeed.
    #[error("failed to read the input")]
    Input(#[source] io::Error),
    /// The child process could not be started. A retry may succeed.
    #[error("failed to start the extractor process")]
    Spawn(#[source] io::Error),
    #[error("the receiver of the pages was dropped")]
    Stopped,
}

impl From<DocumentError> for ExtractError {
    fn from(error: DocumentError) -> Self {
        Self::Document(error)
    }
}

impl Extractor {
    /// Creates an extractor. No process is started until the first document.
    pub fn new(config: ExtractorConfig) -> Self {
        Self { config }
    }

    /// Extracts the document that `input` yields, with all pages in memory. Dropping the future kills
    /// the child.
    pub async fn extract<R>(
        &self,
        input: R,
        on_progress: impl FnMut(Progress) + Send,
    ) -> Result<Extraction, ExtractError>
    where
        R: AsyncRead + Unpin + Send,
    {
        let (sender, mut receiver) = mpsc::channel(1);
        let collecting = async {
            let mut pages = Vec::new();
            while let Some(page) = receiver.recv().await {
                pages.push(page);
            }
            pages
        };
        let (report, pages) =
            tokio::join!(self.extract_pages(input, sender, on_progress), collecting);
        Ok(Extraction {
            pages,
            report: report?,
        })
    }

    /// Extracts the document that `input` yields and sends its pages, in order. The child waits until
    /// there is room for a page. If this fails, the pages that were sent are to be discarded.
    /// Dropping the future kills the child.
    pub async fn extract_pages<R>(
        &self,
        input: R,
        pages: mpsc::Sender<Page>,
        mut on_progress: impl FnMut(Progress) + Send,
    ) -> Result<PageReport, ExtractError>
    where
        R: AsyncRead + Unpin + Send,
    {
        let limits = &self.config.limits;
        let (mut child, stdin, stdout) = self.spawn().map_err(ExtractError::Spawn)?;
        let mut output = ChildOutput::new(limits, pages);
        // Read while writing: a child that fails early responds before it has read the whole file.
        let outcome = {
            let reading = output.read(stdout, &mut on_progress);
            tokio::pin!(reading);
            let feeding = timeout(limits.input_timeout, feed(input, stdin, limits));
            tokio::pin!(feeding);
            tokio::select! {
                read = &mut reading => ReadOutcome::Read(read),
                fed = &mut feeding => match fed {
                    Err(_) => ReadOutcome::Input(io::ErrorKind::TimedOut.into()),
                    Ok(Err(error)) => ReadOutcome::Input(error),
                    Ok(Ok(())) => match timeout(limits.wall_timeout, &mut reading).await {
                        Err(_) => ReadOutcome::TimedOut,
                        Ok(read) => ReadOutcome::Read(read),
                    },
                },
            }
        };
        if !matches!(outcome, ReadOutcome::Read(Ok(()))) {
            let _ = child.start_kill(); // the child may have exited already
        }
        let status = match timeout(limits.wall_timeout, child.wait()).await {
            Ok(status) => status.map_err(ExtractError::Spawn)?,
            Err(_) => return Err(DocumentError::TooSlow.into()), // dropping `child` kills it
        };
        match outcome {
            ReadOutcome::Input(error) => Err(ExtractError::Input(error)),
            ReadOutcome::TimedOut => Err(DocumentError::TooSlow.into()),
            ReadOutcome::Read(Err(error)) => Err(error),
            ReadOutcome::Read(Ok(())) => output.into_result(status),
        }
    }

    fn spawn(&self) -> io::Result<(Child, ChildStdin, ChildStdout)> {
        let mut child = Command::new(&self.config.program)
            .args(&self.config.args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()) // a document must not write to the logs
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("missing pipe to the child");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        Ok((child, stdin, stdout))
    }
}

enum ReadOutcome {
    /// The child closed its output or violated the protocol.
    Read(Result<(), ExtractError>),
    Input(io::Error),
    /// The child exceeded its time limit.
    TimedOut,
}

/// Sends the limits and the file. It is not an error if the child stops reading, because its output
/// explains why.
async fn feed<R: AsyncRead + Unpin>(
    mut input: R,
    mut stdin: ChildStdin,
    limits: &Limits,
) -> io::Result<()> {
    let mut header = serde_json::to_vec(limits)?;
    header.push(b'\n');
    if stdin.write_all(&header).await.is_err() {
        return Ok(());
    }
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    // One byte beyond the limit is enough for the child to detect that the file is too large.
    let mut left = limits.max_input_bytes.saturating_add(1);
    while left > 0 {
        let count = input.read(&mut buffer).await?;
        let count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        if stdin.write_all(bytes).await.is_err() {
            break;
        }
        left = left.saturating_sub(count as u64);
    }
    let _ = stdin.shutdown().await; // dropping it closes it as well
    Ok(())
}

/// Output of the child so far.
struct ChildOutput<'limits> {
    limits: &'limits Limits,
    pages: mpsc::Sender<Page>,
    sent: SentPages,
    result: Option<Result<PageReport, DocumentError>>,
    /// Error of the first reader, if the second reader was started.
    first_reader_error: Option<DocumentError>,
}

/// What was sent so far, to compare it with the limits.
#[derive(Default)]
struct SentPages {
    pages: u32,
    words: u64,
    text_bytes: u64,
}

impl<'limits> ChildOutput<'limits> {
    fn new(limits: &'limits Limits, pages: mpsc::Sender<Page>) -> Self {
        Self {
            limits,
            pages,
            sent: SentPages::default(),
            result: None,
            first_reader_error: None,
        }
    }

    /// Handles messages until the child closes its output.
    async fn read(
        &mut self,
        stdout: ChildStdout,
        on_progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<(), ExtractError> {
        let mut reader = BufReader::new(stdout);
        let mut left = self.limits.max_output_bytes;
        let mut line = Vec::new();
        loop {
            line.clear();
            line.shrink_to(MAX_KEPT_BYTES);
            let limit = left.min(MAX_MESSAGE_BYTES);
            let count = (&mut reader)
                .take(limit)
                .read_until(b'\n', &mut line)
                .await
                .map_err(|_| DocumentError::Internal)?;
            if count == 0 {
                // End of the output, or the output limit is reached.
                return if limit == 0 {
                    Err(DocumentError::Internal.into())
                } else {
                    Ok(())
                };
            }
            if line.last() != Some(&b'\n') {
                // Truncated by a limit, or because the child died, which its exit status explains.
                return if count as u64 == limit {
                    Err(DocumentError::Internal.into())
                } else {
                    Ok(())
                };
            }
            left -= count as u64;
            let message = serde_json::from_slice(&line).map_err(|error| {
                warn!(%error, "invalid message from the extractor process");
                DocumentError::Internal
            })?;
            self.handle(message, on_progress).await?;
        }
    }

    async fn handle(
        &mut self,
        message: Message,
        on_progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<(), ExtractError> {
        if self.result.is_some() {
            return Err(DocumentError::Internal.into()); // a message after the last one
        }
        match message {
            Message::Confined { level } => log_confinement(level),
            Message::Progress { read, pages } => on_progress(Progress { read, pages }),
            Message::Fallback { error } => self.first_reader_error = Some(error),
            Message::Page(page) => {
                if !is_valid_page(&page) || !self.sent.count(&page, self.limits) {
                    return Err(DocumentError::Internal.into());
                }
                self.pages
                    .send(page)
                    .await
                    .map_err(|_| ExtractError::Stopped)?;
            }
            Message::Done { report, reader } => {
                if !report.is_valid(self.limits.max_pages) {
                    return Err(DocumentError::Internal.into());
                }
                if reader == ReaderKind::PdfExtract {
                    debug!("text extracted by the second reader");
                }
                self.result = Some(Ok(report));
            }
            Message::Failed(error) => self.result = Some(Err(error)),
        }
        Ok(())
    }

    fn into_result(self, status: ExitStatus) -> Result<PageReport, ExtractError> {
        match self.result {
            Some(Ok(report)) => Ok(report),
            Some(Err(error)) => Err(error.into()),
            None => Err(self
                .first_reader_error
                .unwrap_or_else(|| error_of_exit_status(status))
                .into()),
        }
    }
}

impl SentPages {
    /// Counts a page. Returns false if it exceeds a limit, which the child has to observe.
    fn count(&mut self, page: &Page, limits: &Limits) -> bool {
        self.pages += 1;
        self.words += page.words.len() as u64;
        self.text_bytes += page.text.len() as u64;
        // Cleaning the text may add line breaks.
        let max_text_bytes = limits.max_text_bytes.saturating_mul(2);
        self.pages <= limits.max_pages
            && page.words.len() <= limits.max_page_words as usize
            && self.words <= u64::from(limits.max_words)
            && self.text_bytes <= max_text_bytes
    }
}

/// Logs, once per process, that the kernel does not confine the child completely.
fn log_confinement(level: Confinement) {
    static LOGGED: Once = Once::new();
    let missing = match level {
        Confinement::Full => return,
        Confinement::PartialLandlock => "a part of the Landlock rules",
        Confinement::WithoutLandlock => "Landlock",
        Confinement::LimitsOnly => "filters of system calls",
    };
    LOGGED.call_once(|| {
        warn!(
            missing,
            "the kernel confines the extractor process only partially; use Linux 6.12 or newer with Landlock"
        );
    });
}

/// Whether the child's page is consistent, so that later code does not have to check it again.
pub(crate) fn is_valid_page(page: &Page) -> bool {
    let mut end = 0;
    // Postgres stores no NUL in a text.
    !page.text.contains('\0')
        && page.words.iter().all(|word| {
            let range = word.range();
            let in_order = range.start >= end
                && page
                    .text
                    .get(range.clone())
                    .is_some_and(|text| !text.is_empty());
            end = range.end;
            in_order
                && word.x >= 0.0
                && word.y >= 0.0
                && word.width >= 0.0
                && word.height >= 0.0
                && word.x.is_finite()
                && word.y.is_finite()
                && word.width.is_finite()
                && word.height.is_finite()
        })
        && page.tables.iter().all(|table| {
            let range = table.start as usize..table.end as usize;
            page.text.get(range).is_some() && !table.header.contains('\0')
        })
}

/// Maps the exit status of a child that sent no result to an error.
fn error_of_exit_status(status: ExitStatus) -> DocumentError {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;
        match status.signal() {
            Some(signal::CPU_TIME) => return DocumentError::TooSlow,
            // Out of memory or stack, or killed by the system because of it.
            Some(signal::ABORT | signal::KILL | signal::SEGMENT) => {
                return DocumentError::TooComplex;
            }
            Some(signal::SYSTEM_CALL) => {
                warn!("extractor process killed because of a forbidden system call");
            }
            Some(signal) => warn!(signal, "extractor process killed by a signal"),
            None => warn!(
                code = status.code(),
                "extractor process exited without a result"
            ),
        }
    }
    DocumentError::Internal
}

/// Signals with which the kernel ends a child.
#[cfg(unix)]
mod signal {
    pub(super) const ABORT: i32 = 6;
    pub(super) const KILL: i32 = 9;
    pub(super) const SEGMENT: i32 = 11;
    pub(super) const CPU_TIME: i32 = 24;
    pub(super) const SYSTEM_CALL: i32 = if cfg!(target_os = "linux") { 31 } else { 12 };
}
