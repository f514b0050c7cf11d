//! The command line: every setting as a flag, with its variable and default in the help.

use clap::{Arg, Command};

use super::settings::{ALL, AnySetting};
use super::sources::{CONFIG_FILE, variable};

/// What the help says before the settings.
const ABOUT: &str =
    "Watches Tenants and reconciles each into a Neon project with a schema and a Secret.";

/// What the help says after the settings.
const AFTER: &str = "\
Every setting may be given as a flag, as an environment variable, or as `name: value` in the file that --config names; \
the first of these wins. Durations are numbers with a unit: 500ms, 15s, 2m, 1h. \
The cluster is found as kubectl finds it (KUBECONFIG, ~/.kube/config), else from the Pod's ServiceAccount.";

/// The parser of the command line. It keeps values as text; they are checked together with those of the other sources.
pub(super) fn command() -> Command {
    let file = Arg::new(CONFIG_FILE)
        .long(CONFIG_FILE)
        .value_name("FILE")
        .help(format!(
            "YAML file with settings, each under its name without -- [env: {}]",
            variable(CONFIG_FILE)
        ));
    Command::new("tenant-controller")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(AFTER)
        .arg(file)
        .args(ALL.iter().map(|setting| arg(*setting)))
}

fn arg(setting: &dyn AnySetting) -> Arg {
    let default = match setting.default() {
        None | Some("") => String::new(),
        Some(text) => format!(" [default: {text}]"),
    };
    Arg::new(setting.name())
        .long(setting.name())
        .value_name(setting.value())
        .help_heading(setting.group())
        .help(format!(
            "{}{default} [env: {}]",
            setting.help(),
            variable(setting.name())
        ))
}
