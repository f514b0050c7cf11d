//! `pdf-text FILE` prints the text of a PDF, or its pages as lines of JSON, exactly as the app
//! extracts them.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use pdf_text::{ExtractError, Extractor, ExtractorConfig, Limits};

/// Extracts the text of PDF files in a sandboxed child process.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Path of the PDF file.
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// Print one line of JSON per page, with the position of every word.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Runs as the sandboxed child. Used by this program itself.
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
    let path = arguments.file.as_deref().context("missing argument FILE")?;
    let file = tokio::fs::File::open(path)
        .await
        .with_context(|| format!("failed to open {}", path.display()))?;
    let extractor = Extractor::new(ExtractorConfig::current_exe(Limits::default())?);
    let extraction = match extractor.extract(file, |_| ()).await {
        Ok(extraction) => extraction,
        Err(ExtractError::Document(error)) => {
            writeln!(std::io::stderr(), "{error} {}", error.hint())?;
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
    for warning in extraction.report.warnings() {
        writeln!(std::io::stderr(), "{warning}")?;
    }
    Ok(ExitCode::SUCCESS)
}
