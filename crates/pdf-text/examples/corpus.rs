//! Reads the whole corpus with this crate and with poppler's `pdftotext`, and writes the comparison
//! to `docs/pdf-corpus.md`: `cargo run --release -p pdf-text --example corpus`.

#[path = "../tests/corpus/files.rs"]
mod files;
#[path = "../tests/corpus/poppler.rs"]
mod poppler;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use anyhow::{Context as _, Result, bail};
use files::Part;
use pdf_text::{DocumentError, ExtractError, Extractor, ExtractorConfig, Limits};

/// Interval of sampling the child's memory.
const MEMORY_POLL: Duration = Duration::from_millis(1);
/// Clock ticks per second in `/proc`. Linux always reports 100 to user space.
const TICKS_PER_SECOND: f64 = 100.0;
/// Path of the report, relative to the repository.
const REPORT: &str = "docs/pdf-corpus.md";

struct Outcome {
    name: String,
    bytes: u64,
    pages: u32,
    words: usize,
    error: Option<DocumentError>,
    cpu_seconds: f64,
    memory_bytes: u64,
    poppler_cpu_seconds: f64,
    poppler_reads: bool,
    word_f1: f64,
    unknown_glyphs: u32,
    /// Pages whose text may be missing.
    unread_pages: u32,
    rows: poppler::Rows,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let extractor = extractor()?;
    let mut parts = Vec::new();
    for part in Part::ALL {
        let mut outcomes = Vec::new();
        for file in part.files()? {
            outcomes.push(read(&extractor, &file).await?);
        }
        parts.push((part, outcomes));
    }
    let report = report(&parts)?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(REPORT);
    fs::write(&path, report).with_context(|| format!("failed to write {}", path.display()))
}

/// Returns an extractor that uses this crate's program from the same build.
fn extractor() -> Result<Extractor> {
    let this = env::current_exe()?;
    let program: PathBuf = this
        .ancestors()
        .nth(2)
        .context("an example is built two folders below the target folder")?
        .join("pdf-text");
    if !program.is_file() {
        bail!(
            "{} does not exist: run cargo build --release -p pdf-text",
            program.display()
        );
    }
    Ok(Extractor::new(ExtractorConfig {
        program,
        args: vec!["extract".into()],
        limits: Limits::default(),
    }))
}

async fn read(extractor: &Extractor, path: &Path) -> Result<Outcome> {
    let before = children_cpu_seconds()?;
    let memory = Memory::watch();
    let file = tokio::fs::File::open(path).await?;
    let extraction = match extractor.extract(file, |_| ()).await {
        Ok(extraction) => Ok(extraction),
        Err(ExtractError::Document(error)) => Err(error),
        Err(error) => return Err(error.into()),
    };
    let memory_bytes = memory.stop();
    let between = children_cpu_seconds()?;
    let theirs = poppler::text(path)?;
    let after = children_cpu_seconds()?;
    let own_text: Vec<&str> = extraction
        .iter()
        .flat_map(|extraction| &extraction.pages)
        .map(|page| page.text.as_str())
        .collect();
    let own_text = own_text.join("\n");
    Ok(Outcome {
        name: path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        bytes: fs::metadata(path)?.len(),
        pages: extraction
            .as_ref()
            .map_or(0, |extraction| extraction.report.page_count),
        words: own_text.split_whitespace().count(),
        unknown_glyphs: extraction.as_ref().map_or(0, |extraction| {
            extraction
                .pages
                .iter()
                .map(|page| page.unknown_glyphs)
                .sum()
        }),
        unread_pages: extraction
            .as_ref()
            .map_or(0, |extraction| extraction.report.unread_count()),
        rows: match &extraction {
            Ok(_) => poppler::rows(path, &own_text)?,
            Err(_) => poppler::Rows::default(),
        },
        error: extraction.err(),
        cpu_seconds: between - before,
        memory_bytes,
        poppler_cpu_seconds: after - between,
        poppler_reads: theirs.is_some(),
        word_f1: poppler::word_f1(&own_text, theirs.as_deref().unwrap_or_default()),
    })
}

/// Returns the CPU time of all finished children.
fn children_cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The fields after the name in parentheses: the first is the state; the 14th and 15th are the
    // times of the children.
    let fields = stat.rsplit_once(')').context("a name in parentheses")?.1;
    let ticks: f64 = fields
        .split_whitespace()
        .skip(13)
        .take(2)
        .map(|ticks| ticks.parse::<f64>().unwrap_or(0.0))
        .sum();
    Ok(ticks / TICKS_PER_SECOND)
}

/// Samples the peak memory of the children of this process.
struct Memory {
    done: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl Memory {
    fn watch() -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let bytes = Arc::new(AtomicU64::new(0));
        let thread = thread::spawn({
            let (done, bytes) = (Arc::clone(&done), Arc::clone(&bytes));
            move || {
                while !done.load(Ordering::Relaxed) {
                    bytes.fetch_max(children_memory_bytes(), Ordering::Relaxed);
                    thread::sleep(MEMORY_POLL);
                }
            }
        });
        Self {
            done,
            bytes,
            thread,
        }
    }

    fn stop(self) -> u64 {
        self.done.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Returns the peak memory of any running child of this process.
fn children_memory_bytes() -> u64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| {
            let folder = process.path();
            // The fields after the name in parentheses: the state and the parent.
            let stat = fs::read_to_string(folder.join("stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
            if parent.parse() != Ok(std::process::id()) {
                return None;
            }
            let status = fs::read_to_string(folder.join("status")).ok()?;
            let peak = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:"))?;
            let kib: u64 = peak.split_whitespace().next()?.parse().ok()?;
            Some(kib * 1024)
        })
        .max()
        .unwrap_or(0)
}

fn report(parts: &[(Part, Vec<Outcome>)]) -> Result<String> {
    let mut report = String::new();
    let files: usize = parts.iter().map(|(_, outcomes)| outcomes.len()).sum();
    let poppler = Command::new("pdftotext").arg("-v").output()?;
    let poppler = String::from_utf8_lossy(&poppler.stderr)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    writeln!(
        report,
        "# The PDF corpus\n\n\
         Generated by `cargo run --release -p pdf-text --example corpus` from {files} files of Debian packages and of the test suites\n\
         of Python packages. Each file is extracted as in the app, in a sandboxed child process; the figures include starting the\n\
         process, the position of every word and the output as JSON. `{poppler}`, for comparison, writes text only. CPU time is that\n\
         of the child processes, memory the peak of a child. Agreement is the F1 score over words with a letter or digit. Headers\n\
         and page numbers, which the app removes, count against it. Unread pages are those that the app names as images, unreadable,\n\
         damaged or missing, unknown glyphs those without a character. Rows are lines with four or more cells in `pdftotext -layout`;\n\
         a row is whole if its first and last cell are on one line.\n"
    )?;
    writeln!(
        report,
        "| part | files | read | no text | password | no pages | broken | other | pages | pages per CPU second | poppler | peak memory | word agreement, median | unread pages | unknown glyphs | rows | whole rows |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    for (part, outcomes) in parts {
        summary(
            &mut report,
            part.name(),
            &outcomes.iter().collect::<Vec<_>>(),
        )?;
    }
    let all: Vec<&Outcome> = parts.iter().flat_map(|(_, outcomes)| outcomes).collect();
    summary(&mut report, "**all**", &all)?;
    unusual(&mut report, &all)?;
    manuals(&mut report, parts)?;
    Ok(report)
}

fn summary(report: &mut String, name: &str, outcomes: &[&Outcome]) -> Result<()> {
    let count = |code: &str| {
        outcomes
            .iter()
            .filter(|outcome| outcome.error.as_ref().map_or("read", DocumentError::code) == code)
            .count()
    };
    let known = ["read", "no_text", "encrypted", "empty", "broken"].map(count);
    let [read, no_text, encrypted, empty, broken] = known;
    // Speed is compared on the files that both can read.
    let both = || {
        outcomes
            .iter()
            .filter(|outcome| outcome.error.is_none() && outcome.poppler_reads)
    };
    let pages: f64 = both().map(|outcome| f64::from(outcome.pages)).sum();
    let own_text: f64 = both().map(|outcome| outcome.cpu_seconds).sum();
    let theirs: f64 = both().map(|outcome| outcome.poppler_cpu_seconds).sum();
    let memory = outcomes
        .iter()
        .map(|outcome| outcome.memory_bytes)
        .max()
        .unwrap_or(0);
    let unread: u32 = outcomes.iter().map(|outcome| outcome.unread_pages).sum();
    let unknown: u32 = outcomes.iter().map(|outcome| outcome.unknown_glyphs).sum();
    let rows: usize = outcomes.iter().map(|outcome| outcome.rows.count).sum();
    let whole: usize = outcomes.iter().map(|outcome| outcome.rows.whole).sum();
    let agreement = poppler::median(both().map(|outcome| outcome.word_f1).collect());
    writeln!(
        report,
        "| {name} | {} | {read} | {no_text} | {encrypted} | {empty} | {broken} | {} | {pages:.0} | {:.0} | {:.0} | {} MiB | {agreement:.4} | {unread} | {unknown} | {rows} | {:.1} % |",
        outcomes.len(),
        outcomes.len() - known.iter().sum::<usize>(),
        pages / own_text,
        pages / theirs,
        memory >> 20,
        percent(whole, rows),
    )?;
    Ok(())
}

fn percent(part: usize, of: usize) -> f64 {
    let float = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    100.0 * float(part) / float(of.max(1))
}

/// Files on which both disagree whether there is text, and files whose words differ most.
fn unusual(report: &mut String, outcomes: &[&Outcome]) -> Result<()> {
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for outcome in outcomes {
        let kind = match (&outcome.error, outcome.poppler_reads) {
            (None, false) => "read by pdf-text, rejected by poppler",
            (Some(DocumentError::NoText), true) if outcome.word_f1 < 1.0 => {
                "no text found by pdf-text, some by poppler"
            }
            (None, true) if outcome.word_f1 < 0.9 => "words agree by less than 0.9",
            _ => continue,
        };
        kinds.entry(kind).or_default().push(&outcome.name);
    }
    writeln!(report, "\n## Where the two differ\n")?;
    for (kind, names) in kinds {
        writeln!(report, "- {kind}: {}", names.join(", "))?;
    }
    writeln!(
        report,
        "\nThe Japanese and Chinese manuals differ because poppler puts spaces at line ends and pdf-text does not; scans of typewritten\n\
         pages because poppler separates their letters; Arabic because poppler adds direction marks; forms because poppler draws\n\
         empty fields. The others contain a few words in fonts without a character map."
    )?;
    Ok(())
}

fn manuals(report: &mut String, parts: &[(Part, Vec<Outcome>)]) -> Result<()> {
    writeln!(
        report,
        "\n## The manuals\n\n| file | MB | pages | words | CPU s | poppler CPU s | memory | word agreement |\n|---|--:|--:|--:|--:|--:|--:|--:|"
    )?;
    let outcomes = parts
        .iter()
        .filter(|(part, _)| *part == Part::Manuals)
        .flat_map(|(_, outcomes)| outcomes);
    for outcome in outcomes {
        let megabytes = f64::from(u32::try_from(outcome.bytes).unwrap_or(u32::MAX)) / 1e6;
        writeln!(
            report,
            "| {} | {megabytes:.1} | {} | {} | {:.2} | {:.2} | {} MiB | {:.4} |",
            outcome.name,
            outcome.pages,
            outcome.words,
            outcome.cpu_seconds,
            outcome.poppler_cpu_seconds,
            outcome.memory_bytes >> 20,
            outcome.word_f1,
        )?;
    }
    Ok(())
}
