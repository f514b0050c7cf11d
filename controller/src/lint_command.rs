//! The command `tenant-controller lint`: checks migrations before they are released, for example in
//! CI. It needs no cluster.
//!
//! Exit codes: 0 without findings, 1 with findings at or above the severity set with `--fail-on`, 2 if
//! the migrations cannot be read.
#![expect(
    clippy::doc_markdown,
    reason = "the doc comments of arguments are help texts for the terminal"
)]

mod input;
mod output;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use crds::{FindingSeverity, MigrationFinding};
use service_kit::error_chain;

use self::input::{InputError, Sources};

/// The first argument of the program.
pub const NAME: &str = "lint";
const EXIT_FINDINGS: u8 = 1;
const EXIT_BAD_INPUT: u8 = 2;

/// Finds statements in migrations that lose data, break or block queries of the running application, or
/// fail. To silence a finding, write `-- squawk-ignore RULE` on the line above it
#[derive(Debug, clap::Parser)]
#[command(
    name = "tenant-controller lint",
    after_help = "Exit codes: 0 without findings, 1 with findings, 2 if the migrations cannot be read.\n\
                  Rules: docs/operations/migration-lint.md"
)]
struct Arguments {
    /// Directories with SQL files, or YAML files with ConfigMaps, in the order of their versions
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Check only migrations with a higher version, because released files cannot be changed
    #[arg(long, value_name = "VERSION")]
    after: Option<i64>,
    /// Lowest severity for the exit code 1
    #[arg(long, value_name = "SEVERITY", value_enum, default_value_t = FailOn::Warning)]
    fail_on: FailOn,
    /// How findings are printed: as text, as annotations of GitHub Actions, or in SARIF 2.1.0
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Note,
    Never,
}

impl FailOn {
    fn concerns(self, severity: FindingSeverity) -> bool {
        match self {
            Self::Error => severity <= FindingSeverity::Error,
            Self::Warning => severity <= FindingSeverity::Warning,
            Self::Note => true,
            Self::Never => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Github,
    Sarif,
}

/// A finding, and where its file is.
struct LocatedFinding {
    finding: MigrationFinding,
    /// The SQL file, or the file with its ConfigMap.
    path: PathBuf,
    /// The line in that file, starting at 1.
    line: usize,
}

/// Runs the command with the arguments after its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = std::iter::once(NAME.into()).chain(arguments);
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_BAD_INPUT));
        }
    };
    match check(&arguments) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {}", error_chain(&error));
            ExitCode::from(EXIT_BAD_INPUT)
        }
    }
}

fn check(arguments: &Arguments) -> Result<ExitCode, InputError> {
    let sources = Sources::read(&arguments.paths)?;
    let (findings, files) = sources.check(arguments.after)?;
    let text = match arguments.format {
        Format::Text => output::text(&findings, files),
        Format::Github => output::github(&findings),
        Format::Sarif => output::sarif(&findings),
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(InputError::Output)?;
    let fails = |found: &LocatedFinding| arguments.fail_on.concerns(found.finding.severity);
    Ok(if findings.iter().any(fails) {
        ExitCode::from(EXIT_FINDINGS)
    } else {
        ExitCode::SUCCESS
    })
}
