//! Reads the whole corpus beside poppler's `pdftotext` and writes what came of it to `docs/pdf-corpus.md`:
//! `cargo run --release -p pdf-text --example corpus`.

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
use pdf_text::{ExtractError, Extractor, ExtractorConfig, Limits, Refusal};

/// How often the child's memory is looked at.
const MEMORY_POLL: Duration = Duration::from_millis(1);
/// Clock ticks a second in `/proc`: Linux tells user space 100, whatever its own clock does.
const TICKS_PER_SECOND: f64 = 100.0;
/// Where it goes, from the top of the sources.
const REPORT: &str = "docs/pdf-corpus.md";

/// What one file came to.
struct Outcome {
    name: String,
    bytes: u64,
    pages: u32,
    words: usize,
    refusal: Option<Refusal>,
    cpu_seconds: f64,
    memory_bytes: u64,
    poppler_cpu_seconds: f64,
    poppler_reads: bool,
    word_f1: f64,
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
    let place = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(REPORT);
    fs::write(&place, report).with_context(|| format!("cannot write {}", place.display()))
}

/// The program of this crate, built as this one is.
fn extractor() -> Result<Extractor> {
    let this = env::current_exe()?;
    let program: PathBuf = this
        .ancestors()
        .nth(2)
        .context("an example lies two folders deep")?
        .join("pdf-text");
    if !program.is_file() {
        bail!(
            "{} is not built: cargo build --release -p pdf-text",
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
        Err(ExtractError::Refused(refusal)) => Err(refusal),
        Err(error) => return Err(error.into()),
    };
    let memory_bytes = memory.stop();
    let between = children_cpu_seconds()?;
    let theirs = poppler::text(path)?;
    let after = children_cpu_seconds()?;
    let ours: Vec<&str> = extraction
        .iter()
        .flat_map(|extraction| &extraction.pages)
        .map(|page| page.text.as_str())
        .collect();
    let ours = ours.join("\n");
    Ok(Outcome {
        name: path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        bytes: fs::metadata(path)?.len(),
        pages: extraction
            .as_ref()
            .map_or(0, |extraction| extraction.page_count),
        words: ours.split_whitespace().count(),
        refusal: extraction.err(),
        cpu_seconds: between - before,
        memory_bytes,
        poppler_cpu_seconds: after - between,
        poppler_reads: theirs.is_some(),
        word_f1: poppler::word_f1(&ours, theirs.as_deref().unwrap_or_default()),
    })
}

/// CPU time of all children that were waited for.
fn children_cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // After the name in brackets: the state is the first field, the children's times are the 14th and 15th.
    let fields = stat.rsplit_once(')').context("a name in brackets")?.1;
    let ticks: f64 = fields
        .split_whitespace()
        .skip(13)
        .take(2)
        .map(|ticks| ticks.parse::<f64>().unwrap_or(0.0))
        .sum();
    Ok(ticks / TICKS_PER_SECOND)
}

/// Watches what the children of this process use at most.
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

/// The most that any child of this process has held so far.
fn children_memory_bytes() -> u64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| {
            let folder = process.path();
            // After the name in brackets: the state, and the parent.
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
        "# PDFs of other people\n\n\
         Written by `cargo run --release -p pdf-text --example corpus`: {files} files from Debian's packages and from the test\n\
         files of Python packages, each read as the app reads it (a confined child per file: its start, the text, the place of every\n\
         word and the answer as JSON are counted), beside `{poppler}`, which writes text alone. CPU time is that of the children, memory\n\
         the most that a child held. How far words agree is F1 over words with a letter or digit, headers and page numbers, which\n\
         the app takes out, counted against it.\n"
    )?;
    writeln!(
        report,
        "| part | files | read | no text | password | no pages | broken | other | pages | pages a CPU second | poppler | memory, largest | words agree, median |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
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
            .filter(|outcome| outcome.refusal.as_ref().map_or("read", Refusal::code) == code)
            .count()
    };
    let known = ["read", "no_text", "encrypted", "empty", "broken"].map(count);
    let [read, no_text, encrypted, empty, broken] = known;
    // Speed is compared over the files that both read.
    let both = || {
        outcomes
            .iter()
            .filter(|outcome| outcome.refusal.is_none() && outcome.poppler_reads)
    };
    let pages: f64 = both().map(|outcome| f64::from(outcome.pages)).sum();
    let ours: f64 = both().map(|outcome| outcome.cpu_seconds).sum();
    let theirs: f64 = both().map(|outcome| outcome.poppler_cpu_seconds).sum();
    let memory = outcomes
        .iter()
        .map(|outcome| outcome.memory_bytes)
        .max()
        .unwrap_or(0);
    let agreement = poppler::median(both().map(|outcome| outcome.word_f1).collect());
    writeln!(
        report,
        "| {name} | {} | {read} | {no_text} | {encrypted} | {empty} | {broken} | {} | {pages:.0} | {:.0} | {:.0} | {} MiB | {agreement:.4} |",
        outcomes.len(),
        outcomes.len() - known.iter().sum::<usize>(),
        pages / ours,
        pages / theirs,
        memory >> 20,
    )?;
    Ok(())
}

/// Where the two do not agree on whether there is text, and where their words differ most.
fn unusual(report: &mut String, outcomes: &[&Outcome]) -> Result<()> {
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for outcome in outcomes {
        let kind = match (&outcome.refusal, outcome.poppler_reads) {
            (None, false) => "read here, refused by poppler",
            (Some(Refusal::NoText), true) if outcome.word_f1 < 1.0 => {
                "no text found here, some by poppler"
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
        "\nThe Japanese and Chinese manuals are among them because poppler puts spaces where lines end, which the app does not; scans of\n\
         typewritten pages because poppler leaves their letters apart; Arabic because poppler adds marks of direction; forms because\n\
         poppler draws fields that nobody filled in. The others hold a few words in fonts that name no characters."
    )?;
    Ok(())
}

fn manuals(report: &mut String, parts: &[(Part, Vec<Outcome>)]) -> Result<()> {
    writeln!(
        report,
        "\n## The manuals\n\n| file | MB | pages | words | CPU s | poppler | memory | words agree |\n|---|--:|--:|--:|--:|--:|--:|--:|"
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
