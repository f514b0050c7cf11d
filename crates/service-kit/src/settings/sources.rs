//! Finds the value of every setting and checks it: flags, then variables, then the settings file,
//! then the fallbacks, then the defaults.
//!
//! clap parses the command line twice. The first parse only collects texts, so that one invalid
//! flag does not hide the others. The second one runs after every text has passed the parser of
//! its own argument, with the values of the other sources as defaults.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};

use clap::builder::{Resettable, ValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Given, InvalidSetting, LoadError, Origin, Sources, file};

/// The flag and, in capitals, the end of the variable that name the settings file.
const CONFIG: &str = "config";
const UNKNOWN: &str = "no setting has this name; remove it, or see --help for the names";
const HELP: &str = "\
Every setting can be given as a flag, as an environment variable, or as `name: value` in the file that --config names; \
the first of these wins. Durations are numbers with a unit, such as 500ms, 15s, 2m or 1h.";

/// What clap makes of the command line, with the values of all sources, and where they came from.
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
fn collecting(command: Command) -> Command {
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
fn with_values(command: Command, given: &BTreeMap<String, Given>) -> Command {
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

struct Lookup<'a> {
    sources: &'a Sources<'a>,
    flags: &'a ArgMatches,
    file: Option<SettingsFile>,
}

/// A text and the source that has it.
type Found = (String, Origin);

impl Lookup<'_> {
    /// The checked value of a setting; `None` if it is optional and no source has one.
    fn resolve(&self, arg: &Arg) -> Result<Option<Given>, InvalidSetting> {
        let found = if is_secret(arg) {
            self.secret(arg)?
        } else {
            let name = name(arg);
            self.flag(arg)
                .or_else(|| self.prefixed(name))
                .or_else(|| self.in_file(name))
        };
        let found = found.or_else(|| {
            let fallback = self.sources.fallbacks.get(name(arg)).cloned();
            fallback
                .or_else(|| default(arg))
                .map(|text| (text, Origin::Default))
        });
        let Some((text, origin)) = found else {
            return if arg.is_required_set() {
                Err(self.unset(arg))
            } else {
                Ok(None)
            };
        };
        let given = Given {
            text,
            origin,
            secret: is_secret(arg),
        };
        match check(arg, &given.text) {
            Ok(()) => Ok(Some(given)),
            Err(advice) => Err(given.invalid(name(arg), advice)),
        }
    }

    /// A secret, from a variable or from a file of its own. Empty variables count as unset: Compose
    /// files and CI systems leave them empty when there is no value.
    fn secret(&self, arg: &Arg) -> Result<Option<Found>, InvalidSetting> {
        let file_setting = secret_file(arg);
        if self.flag(arg).is_some() {
            let given = Given {
                text: super::HIDDEN.to_owned(),
                origin: Origin::CommandLine,
                secret: true,
            };
            return Err(given.invalid(
                name(arg),
                format!(
                    "other users of the machine can read command lines; write --{file_setting} FILE, or set {}",
                    self.customary(arg)
                ),
            ));
        }
        let read = |(path, origin): Found| match file::read_secret(Path::new(&path)) {
            Ok(text) => Ok(Some((text, Origin::File(path.into())))),
            Err(problem) => Err(InvalidSetting {
                setting: file_setting.clone(),
                value: path,
                origin,
                advice: format!("{problem}; write the path of a file that holds the secret"),
            }),
        };
        let not_empty = |found: &Found| !found.0.is_empty();
        if let Some(path) = self.text_flag(&file_setting) {
            return read((path, Origin::CommandLine));
        }
        if let Some(found) = self.prefixed(name(arg)).filter(not_empty) {
            return Ok(Some(found));
        }
        if let Some(found) = self.prefixed(&file_setting).filter(not_empty) {
            return read(found);
        }
        if let Some(found) = self.variable(self.customary(arg)).filter(not_empty) {
            return Ok(Some(found));
        }
        self.in_file(&file_setting).map_or(Ok(None), read)
    }

    /// The variable in which other programs expect this secret, or else our own.
    fn customary(&self, arg: &Arg) -> String {
        arg.get_env().map_or_else(
            || variable(self.sources.env_prefix, name(arg)),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    fn flag(&self, arg: &Arg) -> Option<Found> {
        let id = arg.get_id().as_str();
        if self.flags.value_source(id) != Some(ValueSource::CommandLine) {
            return None;
        }
        let text = if arg.get_action().takes_values() {
            let texts = self.flags.get_many::<String>(id)?;
            texts.cloned().collect::<Vec<_>>().join(",")
        } else {
            "true".to_owned()
        };
        Some((text, Origin::CommandLine))
    }

    fn text_flag(&self, id: &str) -> Option<String> {
        self.flags.try_get_one::<String>(id).ok().flatten().cloned()
    }

    fn prefixed(&self, name: &str) -> Option<Found> {
        self.variable(variable(self.sources.env_prefix, name))
    }

    fn variable(&self, variable: String) -> Option<Found> {
        let text = self.sources.env.get(&variable)?.clone();
        Some((text, Origin::Variable(variable)))
    }

    fn in_file(&self, name: &str) -> Option<Found> {
        let (path, values) = self.file.as_ref()?;
        Some((values.get(name)?.clone(), Origin::File(path.clone())))
    }

    fn unset(&self, arg: &Arg) -> InvalidSetting {
        let advice = if is_secret(arg) {
            format!(
                "write --{} FILE, or set {}",
                secret_file(arg),
                self.customary(arg)
            )
        } else {
            let value = arg.get_value_names().and_then(|names| names.first());
            format!(
                "write --{} {}",
                name(arg),
                value.map_or("VALUE", |value| value.as_str())
            )
        };
        InvalidSetting {
            setting: name(arg).to_owned(),
            value: String::new(),
            origin: Origin::Unset,
            advice,
        }
    }

    /// Variables with the program's prefix and keys of the file that no setting has: most often
    /// a typing error, which would otherwise go unnoticed.
    fn unknown(&self, command: &Command) -> Vec<InvalidSetting> {
        let leaves: Vec<&Command> = if command.has_subcommands() {
            command.get_subcommands().collect()
        } else {
            vec![command]
        };
        let args: Vec<&Arg> = leaves
            .iter()
            .flat_map(|command| settings(command))
            .collect();
        let find = |key: &str| args.iter().find(|arg| name(arg) == key);
        let names_secret_file = |key: &str| {
            args.iter()
                .any(|arg| is_secret(arg) && secret_file(arg) == key)
        };

        let variables = self.sources.env.iter().filter_map(|(variable, value)| {
            let rest = variable.strip_prefix(self.sources.env_prefix)?;
            let key = rest.replace('_', "-").to_lowercase();
            let known = key == CONFIG || find(&key).is_some() || names_secret_file(&key);
            (!known && !is_service_link(rest)).then(|| InvalidSetting {
                setting: key,
                value: value.clone(),
                origin: Origin::Variable(variable.clone()),
                advice: UNKNOWN.to_owned(),
            })
        });
        let (path, values) = match &self.file {
            Some((path, values)) => (path.clone(), values.clone()),
            None => (PathBuf::new(), BTreeMap::new()),
        };
        let keys = values.into_iter().filter_map(|(key, text)| {
            let secret = find(&key).is_some_and(|arg| is_secret(arg));
            if names_secret_file(&key) || find(&key).is_some() && !secret {
                return None;
            }
            let advice = if secret {
                format!(
                    "the settings file must not hold a secret; write `{key}{SECRET_FILE}: FILE`, or set {}",
                    variable(self.sources.env_prefix, &key)
                )
            } else {
                UNKNOWN.to_owned()
            };
            let given = Given {
                text,
                origin: Origin::File(path.clone()),
                secret,
            };
            Some(given.invalid(&key, advice))
        });
        variables.chain(keys).collect()
    }
}

fn default(arg: &Arg) -> Option<String> {
    let values: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy().into_owned())
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// Runs the argument's own parser on the text; the error says what to write instead.
fn check(arg: &Arg, text: &str) -> Result<(), String> {
    if !arg.get_action().takes_values() {
        return match text.parse::<bool>() {
            Ok(_) => Ok(()),
            Err(_) => Err("write `true` or `false`".to_owned()),
        };
    }
    let command = Command::new("check")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(
            arg.clone()
                .required(false)
                .env(Resettable::Reset)
                .default_value(Resettable::Reset),
        );
    let Err(error) = command.try_get_matches_from([format!("--{}={text}", name(arg))]) else {
        return Ok(());
    };
    let valid = error
        .context()
        .find_map(|(kind, value)| match (kind, value) {
            (ContextKind::ValidValue, ContextValue::Strings(values)) => Some(values),
            _ => None,
        });
    Err(match (valid, error.source()) {
        (Some(values), _) if !values.is_empty() => {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("write {}", values.join(" or "))
        }
        (_, Some(source)) => source.to_string(),
        (_, None) => error.to_string(),
    })
}

/// Whether Kubernetes sets this variable for a Service whose name starts like the program's.
fn is_service_link(rest: &str) -> bool {
    ["SERVICE_HOST", "SERVICE_PORT", "PORT"].iter().any(|part| {
        rest == *part
            || rest.starts_with(&format!("{part}_"))
            || rest.contains(&format!("_{part}_"))
            || rest.ends_with(&format!("_{part}"))
    })
}
