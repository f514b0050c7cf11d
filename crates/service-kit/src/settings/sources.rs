//! Finds the value of every setting and checks it: flags, then variables, then the settings file,
//! then the fallbacks, then the defaults.
//!
//! clap parses the command line twice. The first parse only collects texts, so that one invalid
//! flag does not hide the others. The second one runs after every text has passed the parser of
//! its own argument, with the values of the other sources as defaults.

mod command;
mod lookup;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Given, LoadError, Sources, file};
use command::{collecting, decorate, with_values};
use lookup::Lookup;

/// The flag and, in capitals, the end of the variable that name the settings file.
const CONFIG: &str = "config";

/// The command line as clap parses it, completed with the values of all other sources, and the
/// origin of each value.
pub(super) fn resolve(
    command: Command,
    sources: &Sources<'_>,
) -> Result<(ArgMatches, BTreeMap<String, Given>), LoadError> {
    let command = decorate(command, sources.env_prefix);
    let flags = collecting(command.clone()).try_get_matches_from(&sources.args)?;
    let (flags, leaf) = match flags.subcommand() {
        Some((name, flags)) => (flags.clone(), command.find_subcommand(name)),
        None => (flags, Some(&command)),
    };
    let leaf = leaf.unwrap_or(&command);

    let lookup = Lookup {
        sources,
        flags: &flags,
        file: settings_file(&flags, sources)?,
    };
    let mut invalid = lookup.unknown(&command);
    let mut given = BTreeMap::new();
    for arg in settings(leaf) {
        match lookup.resolve(arg) {
            Ok(Some(value)) => {
                given.insert(name(arg).to_owned(), value);
            }
            Ok(None) => {}
            Err(error) => invalid.push(error),
        }
    }
    let required = (sources.required)(&|name| given.get(name).map(|given| given.text.clone()));
    let missing = settings(leaf)
        .filter(|arg| required.contains(&name(arg)) && !given.contains_key(name(arg)))
        .map(|arg| lookup.unset(arg));
    invalid.extend(missing);
    if !invalid.is_empty() {
        return Err(LoadError::Invalid(invalid));
    }
    let matches = with_values(command, &given).try_get_matches_from(&sources.args)?;
    Ok((matches, given))
}

/// Whether the argument is a setting, and not the help flag or a flag that [`decorate`] added.
pub(super) fn is_setting(arg: &Arg) -> bool {
    arg.get_long()
        .is_some_and(|long| long != CONFIG && !long.ends_with(SECRET_FILE))
        && !matches!(
            arg.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        )
}

/// How the flag that names the file of a secret ends.
pub(super) const SECRET_FILE: &str = "-file";

fn settings(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| is_setting(arg))
}

pub(super) fn name(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_default()
}

pub(super) fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_set()
}

fn secret_file(arg: &Arg) -> String {
    format!("{}{SECRET_FILE}", name(arg))
}

fn variable(prefix: &str, name: &str) -> String {
    format!("{prefix}{}", name.replace('-', "_").to_uppercase())
}

fn settings_file(
    flags: &ArgMatches,
    sources: &Sources<'_>,
) -> Result<Option<SettingsFile>, LoadError> {
    let path = flags
        .try_get_one::<String>(CONFIG)
        .ok()
        .flatten()
        .or_else(|| sources.env.get(&variable(sources.env_prefix, CONFIG)));
    path.map(|path| {
        let path = PathBuf::from(path);
        file::read_settings(&path).map(|values| (path, values))
    })
    .transpose()
}

/// The path of the settings file, and its values by name.
type SettingsFile = (PathBuf, BTreeMap<String, String>);
