//! The parent's side: starts the confined child for one document, feeds it the file, collects the pages, and turns every way
//! in which the child can end into a word for people.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader,
};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::limits::Limits;
use crate::page::{Extraction, Page};
use crate::refusal::Refusal;
use crate::wire::{LINE_BYTES_MAX, Line, Opinion};

/// How much of the file is handed over at once.
const COPY_BUFFER_BYTES: usize = 64 * 1024;

/// How the child is started.
#[derive(Debug, Clone)]
pub struct ExtractorConfig {
    /// The program: one that calls [`child::main`](crate::child::main()) when given `args`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What one document may cost.
    pub limits: Limits,
}

impl ExtractorConfig {
    /// This program, run again with the argument `extract`.
    pub fn of_this_program(limits: Limits) -> io::Result<Self> {
        Ok(Self {
            program: std::env::current_exe()?,
            args: vec!["extract".into()],
            limits,
        })
    }
}

/// Reads documents, each in a child process of its own.
#[derive(Debug, Clone)]
pub struct Extractor {
    config: ExtractorConfig,
}

/// How far a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Pages looked at.
    pub read: u32,
    /// Pages of the document.
    pub pages: u32,
}

/// Why there is no extraction.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The file is the reason: trying again gives the same.
    #[error("the document was refused")]
    Refused(#[source] Refusal),
    /// The file could not be had to its end: try again.
    #[error("the document could not be handed over")]
    Input(#[source] io::Error),
    /// The child could not be started: try again.
    #[error("the program that reads documents could not be started")]
    Program(#[source] io::Error),
}

impl From<Refusal> for ExtractError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Extractor {
    /// An extractor; nothing is started before the first document.
    pub fn new(config: ExtractorConfig) -> Self {
        Self { config }
    }

    /// Reads the document that `input` yields. Dropping the future kills the child.
    pub async fn extract<R>(
        &self,
        input: R,
        mut on_progress: impl FnMut(Progress) + Send,
    ) -> Result<Extraction, ExtractError>
    where
        R: AsyncRead + Unpin + Send,
    {
        let limits = &self.config.limits;
        let (mut child, stdin, stdout) = self.spawn().map_err(ExtractError::Program)?;
        let mut answer = Answer::default();
        // Reading goes on beside writing: a child that refuses early answers before it has taken all.
        let outcome = {
            let reading = answer.read(stdout, limits.output_bytes_max, &mut on_progress);
            tokio::pin!(reading);
            let feeding = timeout(limits.input_time_max, feed(input, stdin, limits));
            tokio::pin!(feeding);
            tokio::select! {
                read = &mut reading => Outcome::Read(read),
                fed = &mut feeding => match fed {
                    Err(_) => Outcome::Input(io::ErrorKind::TimedOut.into()),
                    Ok(Err(error)) => Outcome::Input(error),
                    Ok(Ok(())) => match timeout(limits.wall_time_max, &mut reading).await {
                        Err(_) => Outcome::TimedOut,
                        Ok(read) => Outcome::Read(read),
                    },
                },
            }
        };
        if !matches!(outcome, Outcome::Read(Ok(()))) {
            let _ = child.start_kill(); // it may be gone already, which is as good
        }
        let status = match timeout(limits.wall_time_max, child.wait()).await {
            Ok(status) => status.map_err(ExtractError::Program)?,
            Err(_) => return Err(Refusal::TooSlow.into()), // it is killed when `child` is dropped
        };
        match outcome {
            Outcome::Input(error) => Err(ExtractError::Input(error)),
            Outcome::TimedOut => Err(Refusal::TooSlow.into()),
            Outcome::Read(Err(refusal)) => Err(refusal.into()),
            Outcome::Read(Ok(())) => answer.into_result(status),
        }
    }

    fn spawn(&self) -> io::Result<(Child, ChildStdin, ChildStdout)> {
        let mut child = Command::new(&self.config.program)
            .args(&self.config.args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()) // a document must not write into our logs
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("a pipe to the child is missing");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        Ok((child, stdin, stdout))
    }
}

enum Outcome {
    /// The child closed its output, or said what it must not.
    Read(Result<(), Refusal>),
    /// The file did not come to its end.
    Input(io::Error),
    /// The child took too long.
    TimedOut,
}

/// Hands over the limits and the file. A child that does not want more is no error: its answer says why.
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
    // One byte more than allowed shows the child that there is more, and then it is enough.
    let mut left = limits.input_bytes_max.saturating_add(1);
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

/// What the child has said so far.
#[derive(Default)]
struct Answer {
    extraction: Extraction,
    end: Option<Result<(), Refusal>>,
    /// What the first reader said, when the second is asked.
    first_opinion: Option<Refusal>,
}

impl Answer {
    /// Collects lines until the child closes its output.
    async fn read(
        &mut self,
        stdout: ChildStdout,
        output_bytes_max: u64,
        on_progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<(), Refusal> {
        let mut reader = BufReader::new(stdout);
        let mut left = output_bytes_max;
        let mut line = Vec::new();
        loop {
            line.clear();
            let limit = left.min(LINE_BYTES_MAX);
            let count = (&mut reader)
                .take(limit)
                .read_until(b'\n', &mut line)
                .await
                .map_err(|_| Refusal::Internal)?;
            if count == 0 {
                // Either the end, or nothing more may come.
                return if limit == 0 {
                    Err(Refusal::Internal)
                } else {
                    Ok(())
                };
            }
            if line.last() != Some(&b'\n') {
                // Cut off: by a limit of ours, or by the child's death, which its exit status explains.
                return if count as u64 == limit {
                    Err(Refusal::Internal)
                } else {
                    Ok(())
                };
            }
            left -= count as u64;
            let line = serde_json::from_slice(&line).map_err(|error| {
                warn!(%error, "The reader of documents answered what is not an answer");
                Refusal::Internal
            })?;
            self.take(line, on_progress)?;
        }
    }

    fn take(
        &mut self,
        line: Line,
        on_progress: &mut (impl FnMut(Progress) + Send),
    ) -> Result<(), Refusal> {
        if self.end.is_some() {
            return Err(Refusal::Internal); // something after the last line
        }
        match line {
            Line::Confined { fully: true } => {}
            Line::Confined { fully: false } => {
                debug!(
                    "The kernel does not keep the reader of documents from files; its system calls are filtered"
                );
            }
            Line::Progress { read, pages } => on_progress(Progress { read, pages }),
            Line::Second { refusal } => self.first_opinion = Some(refusal),
            Line::Page(page) => {
                if !is_sound(&page) {
                    return Err(Refusal::Internal);
                }
                self.extraction.pages.push(page);
            }
            Line::Done {
                pages,
                unreadable,
                opinion,
            } => {
                if opinion == Opinion::Second {
                    debug!("The text is from the second reader");
                }
                self.extraction.page_count = pages;
                self.extraction.unreadable = unreadable;
                self.end = Some(Ok(()));
            }
            Line::Refused { refusal } => self.end = Some(Err(refusal)),
        }
        Ok(())
    }

    fn into_result(self, status: ExitStatus) -> Result<Extraction, ExtractError> {
        match self.end {
            Some(Ok(())) => Ok(self.extraction),
            Some(Err(refusal)) => Err(refusal.into()),
            None => Err(self
                .first_opinion
                .unwrap_or_else(|| refusal_of(status))
                .into()),
        }
    }
}

/// Whether the child's page is what a page has to be, so that nothing after this has to look again.
pub(crate) fn is_sound(page: &Page) -> bool {
    let mut end = 0;
    page.words.iter().all(|word| {
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
}

/// What the end of a child means that did not say why.
fn refusal_of(status: ExitStatus) -> Refusal {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;
        match status.signal() {
            Some(signal::CPU_TIME) => return Refusal::TooSlow,
            // No memory, no stack, or the machine's own guard against both.
            Some(signal::ABORT | signal::KILL | signal::SEGMENT) => return Refusal::TooComplex,
            Some(signal::SYSTEM_CALL) => {
                warn!(
                    "The reader of documents was stopped because it asked the kernel for what it must not have"
                );
            }
            Some(signal) => warn!(signal, "The reader of documents was ended by a signal"),
            None => warn!(
                code = status.code(),
                "The reader of documents ended without an answer"
            ),
        }
    }
    Refusal::Internal
}

/// The signals that the kernel ends a child with.
#[cfg(unix)]
mod signal {
    pub(super) const ABORT: i32 = 6;
    pub(super) const KILL: i32 = 9;
    pub(super) const SEGMENT: i32 = 11;
    pub(super) const CPU_TIME: i32 = 24;
    pub(super) const SYSTEM_CALL: i32 = if cfg!(target_os = "linux") { 31 } else { 12 };
}
