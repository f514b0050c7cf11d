//! Looks for the value of one setting in all sources, and checks it.

use std::error::Error as _;
use std::path::Path;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::{CONFIG, SECRET_FILE, SettingsFile, is_secret, name, secret_file, settings, variable};
use crate::settings::{Given, HIDDEN, InvalidSetting, Origin, Sources, file};

const UNKNOWN: &str = "unknown setting; remove it, or see --help for the valid names";

pub(super) struct Lookup<'a> {
    pub(super) sources: &'a Sources<'a>,
    pub(super) flags: &'a ArgMatches,
    pub(super) file: Option<SettingsFile>,
}

/// A text and the source that has it.
type Found = (String, Origin);

impl Lookup<'_> {
    /// The checked value of a setting; `None` if it is optional and no source has one.
    pub(super) fn resolve(&self, arg: &Arg) -> Result<Option<Given>, InvalidSetting> {
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
                text: HIDDEN.to_owned(),
                origin: Origin::CommandLine,
                secret: true,
            };
            return Err(given.invalid(
                name(arg),
                format!(
                    "a secret must not be passed as a flag, because other users of the machine can read command lines; \
                     pass --{file_setting} FILE, or set {}",
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
                advice: format!("{problem}; set it to the path of a file that contains the secret"),
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

    pub(super) fn unset(&self, arg: &Arg) -> InvalidSetting {
        let advice = if is_secret(arg) {
            format!(
                "pass --{} FILE, or set {}",
                secret_file(arg),
                self.customary(arg)
            )
        } else {
            let value = arg.get_value_names().and_then(|names| names.first());
            format!(
                "pass --{} {}",
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
    pub(super) fn unknown(&self, command: &Command) -> Vec<InvalidSetting> {
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
        let (path, values) = self.file.clone().unwrap_or_default();
        let keys = values.into_iter().filter_map(|(key, text)| {
            let secret = find(&key).is_some_and(|arg| is_secret(arg));
            if names_secret_file(&key) || find(&key).is_some() && !secret {
                return None;
            }
            let advice = if secret {
                format!(
                    "the settings file must not contain secrets; use `{key}{SECRET_FILE}: FILE`, or set {}",
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

/// Runs the argument's own parser on the text. The error describes the valid values.
fn check(arg: &Arg, text: &str) -> Result<(), String> {
    if !arg.get_action().takes_values() {
        return match text.parse::<bool>() {
            Ok(_) => Ok(()),
            Err(_) => Err("must be `true` or `false`".to_owned()),
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
            format!("must be {}", values.join(" or "))
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
