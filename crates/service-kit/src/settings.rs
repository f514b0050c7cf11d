//! Settings: a program declares them once, in a table, and flags, variables, keys of a YAML file and the help text all come from there.
//!
//! A flag wins over a variable, that over the file, that over the default. Every value is checked by itself before the program looks at any,
//! and everything that is wrong is told at once, with what to write instead. Secrets never stand on a command line or in the file:
//! they come from a variable, or from a file of their own that `--<name>-file` names.

mod help;
pub mod parse;
mod sources;

pub use parse::{LogFilter, LogFormat, Ratio};
pub use sources::{LoadError, Origin, Said, Wrong};

/// The settings of a program.
#[derive(Clone, Copy)]
pub struct Table {
    /// The program's name.
    pub program: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What the help says before the settings.
    pub about: &'static str,
    /// What it says after them, beside how they are given.
    pub after: &'static str,
    /// What every variable starts with, such as `MY_PROGRAM_`.
    pub env_prefix: &'static str,
    /// Every setting, in the order of the help.
    pub all: &'static [&'static dyn AnySetting],
}

impl std::fmt::Debug for Table {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "settings of {}", self.program)
    }
}

impl Table {
    /// The variable of a setting.
    pub fn variable(&self, name: &str) -> String {
        format!(
            "{}{}",
            self.env_prefix,
            name.replace('-', "_").to_uppercase()
        )
    }
}

/// One setting.
pub struct Setting<T> {
    /// The name: the flag without `--`, the key in the file, and in capitals the end of the variable.
    pub name: &'static str,
    /// Under which heading of the help it stands.
    pub group: &'static str,
    /// The kind of value.
    pub value: &'static str,
    /// The value where nothing is said.
    pub default: Option<&'static str>,
    /// What it is for.
    pub help: &'static str,
    /// Text to value; the error says what to write instead.
    pub parse: fn(&str) -> Result<T, String>,
    /// How it is given, if it is a secret.
    pub secret: Option<Secret>,
}

/// How a secret is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The variable that other programs have it in.
    pub customary: &'static str,
    /// Name of the setting that names the file with it.
    pub file: &'static str,
}

impl<T> std::fmt::Debug for Setting<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

/// A setting whatever its type: what help and checks need.
pub trait AnySetting: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Its heading.
    fn group(&self) -> &'static str;
    /// The kind of value.
    fn value(&self) -> &'static str;
    /// The value where nothing is said.
    fn default(&self) -> Option<&'static str>;
    /// What it is for.
    fn help(&self) -> &'static str;
    /// How it is given, if it is a secret.
    fn secret(&self) -> Option<Secret>;
    /// Whether the text will do; else what to write.
    fn check(&self, text: &str) -> Result<(), String>;
}

impl<T> AnySetting for Setting<T> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn group(&self) -> &'static str {
        self.group
    }
    fn value(&self) -> &'static str {
        self.value
    }
    fn default(&self) -> Option<&'static str> {
        self.default
    }
    fn help(&self) -> &'static str {
        self.help
    }
    fn secret(&self) -> Option<Secret> {
        self.secret
    }
    fn check(&self, text: &str) -> Result<(), String> {
        (self.parse)(text).map(drop)
    }
}

/// Declares the settings of the groups, and `ALL` of them in the same order. A secret bears `secret "VARIABLE"` at its end.
#[macro_export]
macro_rules! settings {
    ($($group:literal { $($id:ident: $ty:ty = $name:literal, $value:literal, $default:expr, $help:literal, $parse:expr $(, secret $variable:literal)?;)+ })+) => {
        $($(pub(super) static $id: $crate::settings::Setting<$ty> = $crate::settings::Setting {
            name: $name, group: $group, value: $value, default: $default, help: $help, parse: $parse,
            secret: $crate::settings!(@secret $name $($variable)?),
        };)+)+

        /// Every setting, in the order of the help text.
        pub(super) static ALL: &[&dyn $crate::settings::AnySetting] = &[$($(&$id,)+)+];
    };
    (@secret $name:literal $variable:literal) => {
        Some($crate::settings::Secret { customary: $variable, file: concat!($name, "-file") })
    };
    (@secret $name:literal) => { None };
}

#[cfg(test)]
mod tests;
