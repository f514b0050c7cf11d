//! Variants of the program's clap command: with help on all sources, to collect texts, and with the
//! values of all sources as defaults.

use std::collections::BTreeMap;

use clap::builder::{Resettable, ValueParser};
use clap::{Arg, ArgAction, Command};

use super::{CONFIG, is_secret, is_setting, name, secret_file, settings, variable};
use crate::settings::{Given, Origin};

const HELP: &str = "\
Every setting can be given as a flag, as an environment variable, or as `name: value` in the file that --config names; \
the first of these wins. Durations are numbers with a unit, such as 500ms, 15s, 2m or 1h.";

/// Adds `--config`, the file flags of secrets, and the variables to the help.
pub(super) fn decorate(command: Command, prefix: &str) -> Command {
    if command.has_subcommands() {
        return command.mut_subcommands(|command| decorate(command, prefix));
    }
    let secrets: Vec<Arg> = settings(&command)
        .filter(|arg| is_secret(arg))
        .map(|arg| {
            let customary = arg
                .get_env()
                .map(|name| name.to_string_lossy().into_owned());
            let variables = [Some(variable(prefix, name(arg))), customary];
            let help = format!(
                "File with this secret: {} [env: {}; the secret itself: {}]",
                arg.get_help().cloned().unwrap_or_default(),
                variable(prefix, &secret_file(arg)),
                variables
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(" or ")
            );
            let file = Arg::new(secret_file(arg))
                .long(secret_file(arg))
                .value_name("FILE")
                .help(help);
            match arg.get_help_heading() {
                Some(heading) => file.help_heading(heading.to_owned()),
                None => file,
            }
        })
        .collect();
    let file = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .help(format!(
            "YAML file with settings, each under its name without -- [env: {}]",
            variable(prefix, CONFIG)
        ));
    let after = match command.get_after_help() {
        Some(after) => format!("{HELP} {after}"),
        None => HELP.to_owned(),
    };
    command
        .after_help(after)
        .mut_args(|arg| {
            if !is_setting(&arg) || is_secret(&arg) {
                return arg;
            }
            let help = arg.get_help().cloned().unwrap_or_default();
            let variable = variable(prefix, name(&arg));
            arg.help(format!("{help} [env: {variable}]"))
        })
        .arg(file)
        .args(secrets)
}

/// The command with every value as plain text and nothing required.
pub(super) fn collecting(command: Command) -> Command {
    if command.has_subcommands() {
        return command.mut_subcommands(collecting);
    }
    command.mut_args(|arg| {
        if !is_setting(&arg) {
            return arg;
        }
        let arg = arg.required(false).env(Resettable::Reset);
        if arg.get_action().takes_values() {
            arg.value_delimiter(Resettable::Reset)
                .value_parser(ValueParser::string())
        } else {
            arg
        }
    })
}

/// The command with these values as defaults. Flags still win over them.
pub(super) fn with_values(command: Command, given: &BTreeMap<String, Given>) -> Command {
    if command.has_subcommands() {
        return command.mut_subcommands(|command| with_values(command, given));
    }
    command.mut_args(|arg| {
        if !is_setting(&arg) {
            return arg;
        }
        let arg = arg.env(Resettable::Reset);
        match given.get(name(&arg)) {
            Some(Given { text, origin, .. })
                if !matches!(origin, Origin::CommandLine | Origin::Default) || is_secret(&arg) =>
            {
                with_default(arg, text)
            }
            Some(Given { text, .. }) if arg.is_required_set() => with_default(arg, text),
            _ => arg,
        }
    })
}

fn with_default(arg: Arg, text: &str) -> Arg {
    let arg = arg.required(false);
    match arg.get_action() {
        ArgAction::Append => {
            arg.default_values(text.split(',').map(str::to_owned).collect::<Vec<_>>())
        }
        _ => arg.default_value(text.to_owned()),
    }
}
