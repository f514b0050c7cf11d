//! The command line: every setting as a flag, with its variable and default in the help.

use clap::{Arg, Command};

use super::sources::CONFIG_FILE;
use super::{AnySetting, Table};

/// How settings are given.
const AFTER: &str = "\
Every setting may be given as a flag, as an environment variable, or as `name: value` in the file that --config names; \
the first of these wins. Durations are numbers with a unit: 500ms, 15s, 2m, 1h.";

impl Table {
    /// The parser of the command line. It keeps values as text; they are checked together with those of the other sources.
    pub fn command(&self) -> Command {
        let file = Arg::new(CONFIG_FILE)
            .long(CONFIG_FILE)
            .value_name("FILE")
            .help(format!(
                "YAML file with settings, each under its name without -- [env: {}]",
                self.variable(CONFIG_FILE)
            ));
        Command::new(self.program)
            .version(self.version)
            .about(self.about)
            .after_help(format!("{AFTER} {}", self.after))
            .arg(file)
            .args(self.all.iter().map(|setting| self.arg(*setting)))
    }

    fn arg(&self, setting: &dyn AnySetting) -> Arg {
        let variable = self.variable(setting.name());
        if let Some(secret) = setting.secret() {
            let help = format!(
                "File with this secret: {} [env: {}; the secret itself: {variable}, {}]",
                setting.help(),
                self.variable(secret.file),
                secret.customary
            );
            return Arg::new(secret.file)
                .long(secret.file)
                .value_name("FILE")
                .help_heading(setting.group())
                .help(help);
        }
        let default = match setting.default() {
            None | Some("") => String::new(),
            Some(text) => format!(" [default: {text}]"),
        };
        Arg::new(setting.name())
            .long(setting.name())
            .value_name(setting.value())
            .help_heading(setting.group())
            .help(format!("{}{default} [env: {variable}]", setting.help()))
    }
}
