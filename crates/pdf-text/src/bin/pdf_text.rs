//! `pdf-text FILE`: the text of a PDF, or its pages as lines of JSON. For people who want to see what the app sees.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use pdf_text::{ExtractError, Extractor, ExtractorConfig, Limits};

/// Text of PDF files, read in a confined child process.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The PDF.
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// Pages as lines of JSON, with the place of every word.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// The confined child; started by this program itself.
    #[command(hide = true)]
    Extract,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Extract) = arguments.command {
        return pdf_text::child::main();
    }
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let path = arguments.file.as_deref().context("no file was given")?;
    let file = tokio::fs::File::open(path)
        .await
        .with_context(|| format!("cannot open {}", path.display()))?;
    let extractor = Extractor::new(ExtractorConfig::of_this_program(Limits::default())?);
    let extraction = match extractor.extract(file, |_| ()).await {
        Ok(extraction) => extraction,
        Err(ExtractError::Refused(refusal)) => {
            writeln!(std::io::stderr(), "{refusal} {}", refusal.what_to_do())?;
            return Ok(ExitCode::from(2));
        }
        Err(error) => return Err(error.into()),
    };
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for page in &extraction.pages {
        if arguments.json {
            serde_json::to_writer(&mut output, page)?;
            writeln!(output)?;
        } else {
            writeln!(output, "{}\n\u{c}", page.text)?;
        }
    }
    output.flush()?;
    if let Some(warning) = extraction.warning() {
        writeln!(std::io::stderr(), "{warning}")?;
    }
    Ok(ExitCode::SUCCESS)
}
