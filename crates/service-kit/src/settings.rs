//! Settings from flags, environment variables and one YAML file.
//!
//! A program declares its settings once, as a struct with `#[derive(clap::Parser)]`: flag, help,
//! default and parser come from there. [`load`] adds the other sources: `--lease-duration` is also
//! the variable `<PREFIX>LEASE_DURATION` and the key `lease-duration` of the file that `--config`
//! names. A flag wins over a variable, a variable over the file, and the file over the default.
//!
//! Every value is checked, and all invalid settings are reported together, each with where it came
//! from. A setting declared with `hide = true` is a secret: it is never accepted as a flag or from
//! the settings file, only from a variable or from a file of its own (`--<name>-file`), and no
//! error shows its value.

mod file;
mod schema;
mod sources;
pub mod values;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

pub use schema::{chart_schema, file_schema};
pub use values::{List, LogFilter, LogFormat, Ratio};

/// Where [`load`] looks for values.
pub struct Sources<'a> {
    /// The command line; the first argument is the program's name.
    pub args: Vec<OsString>,
    /// The environment.
    pub env: &'a BTreeMap<String, String>,
    /// What the name of every variable starts with, such as `TENANT_CONTROLLER_`.
    pub env_prefix: &'a str,
    /// Values for settings that no source has, by name, such as the host name or the Pod's
    /// namespace.
    pub fallbacks: BTreeMap<&'a str, String>,
    /// Returns the names of the optional settings that the values of other settings make required. Its
    /// argument looks up the value of a setting by name.
    pub required: RequiredSettings,
}

/// See [`Sources::required`].
pub type RequiredSettings = fn(&dyn Fn(&str) -> Option<String>) -> Vec<&'static str>;

/// The settings, and where each value came from.
#[derive(Debug)]
pub struct Loaded<P> {
    pub settings: P,
    given: BTreeMap<String, Given>,
}

/// A value that a source has.
#[derive(Clone)]
struct Given {
    text: String,
    origin: Origin,
    secret: bool,
}

impl fmt::Debug for Given {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.shown(), self.origin)
    }
}

impl Given {
    fn shown(&self) -> String {
        if self.secret && !self.text.is_empty() {
            HIDDEN.to_owned()
        } else {
            self.text.clone()
        }
    }

    fn invalid(&self, setting: &str, advice: String) -> InvalidSetting {
        InvalidSetting {
            setting: setting.to_owned(),
            value: self.shown(),
            origin: self.origin.clone(),
            advice,
        }
    }
}

/// Replaces a secret in errors and debug output.
const HIDDEN: &str = "(hidden)";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    CommandLine,
    Variable(String),
    File(PathBuf),
    /// The default, or a value that the machine provides.
    Default,
    /// No source has a value.
    Unset,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => formatter.write_str("from the command line"),
            Self::Variable(name) => write!(formatter, "from the environment variable {name}"),
            Self::File(path) => write!(formatter, "from the file {}", path.display()),
            Self::Default => formatter.write_str("the default"),
            Self::Unset => formatter.write_str("not set"),
        }
    }
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The command line has a syntax error, or asks for the help text or the version. clap prints
    /// all three and knows the exit code.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    #[error("failed to read {}: {problem}", path.display())]
    File { path: PathBuf, problem: String },
    /// Every invalid setting, one a line.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<InvalidSetting>),
}

/// Exit code of a program whose settings are invalid, the same as clap's.
const EXIT_INVALID: u8 = 2;

impl LoadError {
    /// Prints the error, or the help text or version that the command line asks for. Returns the
    /// exit code.
    pub fn print(&self, program: &str) -> ExitCode {
        if let Self::CommandLine(error) = self {
            // Nothing can be done about a closed stdout.
            let _ = error.print();
            return u8::try_from(error.exit_code())
                .unwrap_or(EXIT_INVALID)
                .into();
        }
        for line in self.to_string().lines() {
            eprintln!("{program}: {line}");
        }
        EXIT_INVALID.into()
    }
}

/// A setting with a value that cannot be used, or without the value that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetting {
    pub setting: String,
    /// The value, or `(hidden)` for a secret.
    pub value: String,
    pub origin: Origin,
    /// What to write instead.
    pub advice: String,
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            value,
            origin,
            advice,
        } = self;
        match origin {
            Origin::Unset => write!(formatter, "{setting} is not set: {advice}"),
            origin => write!(formatter, "{setting} is `{value}` ({origin}): {advice}"),
        }
    }
}

/// Reads and checks the settings of a program.
///
/// # Errors
///
/// [`LoadError::Invalid`] has every setting with an invalid value, every required setting without
/// one, and every unknown key of the file or variable with the program's prefix.
pub fn load<P: clap::Parser>(sources: &Sources<'_>) -> Result<Loaded<P>, LoadError> {
    let (matches, given) = sources::resolve(P::command(), sources)?;
    let settings = P::from_arg_matches(&matches)?;
    Ok(Loaded { settings, given })
}

impl<P> Loaded<P> {
    /// The error for a setting whose value does not fit together with other settings.
    pub fn invalid(&self, setting: &str, advice: impl Into<String>) -> InvalidSetting {
        match self.given.get(setting) {
            Some(given) => given.invalid(setting, advice.into()),
            None => InvalidSetting {
                setting: setting.to_owned(),
                value: String::new(),
                origin: Origin::Unset,
                advice: advice.into(),
            },
        }
    }

    /// The settings, unless these checks found something invalid.
    pub fn checked(self, invalid: Vec<InvalidSetting>) -> Result<P, LoadError> {
        if invalid.is_empty() {
            Ok(self.settings)
        } else {
            Err(LoadError::Invalid(invalid))
        }
    }
}

#[cfg(test)]
mod tests;
