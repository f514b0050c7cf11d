//! What was said, and where: flags, then environment, then the file, then the default. Nothing is interpreted here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use super::help;
use super::settings::{ALL, Setting};

/// What every variable of the controller starts with.
pub(super) const ENV_PREFIX: &str = "TENANT_CONTROLLER_";
/// Name of the flag, and end of the variable, that names the file.
pub(super) const CONFIG_FILE: &str = "config";
/// Longest file, in bytes. What is longer is something else.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The settings cannot be used. `Display` is written for whoever set them.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The command line cannot be read, or asks for help or the version: clap prints these and knows the exit code.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    /// The file cannot be read.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to write instead.
        problem: String,
    },
    /// Settings are wrong: all of them, one a line.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Settings(Vec<Wrong>),
}

/// A setting that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Name of the setting.
    pub setting: String,
    /// Its value.
    pub value: String,
    /// Where the value stands.
    pub origin: Origin,
    /// What to write instead.
    pub advice: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            value,
            origin,
            advice,
        } = self;
        write!(f, "{setting} is `{value}` ({origin}): {advice}")
    }
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On the command line.
    Flag,
    /// In this environment variable.
    Variable(String),
    /// In this file.
    File(PathBuf),
    /// Nowhere: it is the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("from the command line"),
            Self::Variable(name) => write!(f, "from the environment variable {name}"),
            Self::File(path) => write!(f, "from the file {}", path.display()),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// Every value that was given or is a default, by name of the setting; each has passed its setting's own check.
pub(super) struct Said {
    values: BTreeMap<&'static str, (String, Origin)>,
}

impl Said {
    /// Reads the three sources and checks every value by itself.
    pub(super) fn read(
        args: impl IntoIterator<Item = OsString>,
        env: &BTreeMap<String, String>,
    ) -> Result<Self, LoadError> {
        let flags = help::command().try_get_matches_from(args)?;
        let path = flags
            .get_one::<String>(CONFIG_FILE)
            .or_else(|| env.get(&variable(CONFIG_FILE)))
            .map(PathBuf::from);
        let file = path.as_deref().map_or(Ok(BTreeMap::new()), read_file)?;

        let mut wrong = unknown(env, path.as_deref().map(|path| (path, &file)));
        let mut values = BTreeMap::new();
        for &setting in ALL {
            let name = setting.name();
            let from_env = || {
                Some((
                    env.get(&variable(name))?.clone(),
                    Origin::Variable(variable(name)),
                ))
            };
            let from_file = || Some((file.get(name)?.clone(), Origin::File(path.clone()?)));
            let from_default = || Some((setting.default()?.to_owned(), Origin::Default));
            let said = flags
                .get_one::<String>(name)
                .map(|text| (text.clone(), Origin::Flag))
                .or_else(from_env)
                .or_else(from_file)
                .or_else(from_default);
            let Some((value, origin)) = said else {
                continue;
            };
            match setting.check(&value) {
                Ok(()) => {
                    values.insert(name, (value, origin));
                }
                Err(advice) => wrong.push(Wrong {
                    setting: name.to_owned(),
                    value,
                    origin,
                    advice,
                }),
            }
        }
        if wrong.is_empty() {
            Ok(Self { values })
        } else {
            Err(LoadError::Settings(wrong))
        }
    }

    /// The value, if one was given or is the default.
    pub(super) fn get<T>(&self, setting: &Setting<T>) -> Result<Option<T>, LoadError> {
        let Some((text, _)) = self.values.get(setting.name) else {
            return Ok(None);
        };
        (setting.parse)(text)
            .map(Some)
            .map_err(|advice| self.wrong(setting, advice))
    }

    /// The value of a setting that has a default, or has to be given.
    pub(super) fn need<T>(&self, setting: &Setting<T>) -> Result<T, LoadError> {
        self.get(setting)?.ok_or_else(|| {
            self.wrong(
                setting,
                format!("write --{} {}", setting.name, setting.value),
            )
        })
    }

    /// The error that this value will not do, beside the others.
    pub(super) fn wrong<T>(&self, setting: &Setting<T>, advice: String) -> LoadError {
        let (value, origin) = self
            .values
            .get(setting.name)
            .cloned()
            .unwrap_or_else(|| (String::new(), Origin::Default));
        LoadError::Settings(vec![Wrong {
            setting: setting.name.to_owned(),
            value,
            origin,
            advice,
        }])
    }
}

/// The variable of a setting.
pub(super) fn variable(name: &str) -> String {
    format!("{ENV_PREFIX}{}", name.replace('-', "_").to_uppercase())
}

/// Variables and keys that bear no setting's name: a typing error that would otherwise go unseen.
fn unknown(
    env: &BTreeMap<String, String>,
    file: Option<(&Path, &BTreeMap<String, String>)>,
) -> Vec<Wrong> {
    let known = |name: &str| name == CONFIG_FILE || ALL.iter().any(|s| s.name() == name);
    let from_env = env.iter().filter_map(|(key, value)| {
        let rest = key.strip_prefix(ENV_PREFIX)?;
        let name = rest.replace('_', "-").to_lowercase();
        (!known(&name) && !is_service_link(rest))
            .then(|| (name, value, Origin::Variable(key.clone())))
    });
    let from_file = file.into_iter().flat_map(|(path, file)| {
        file.iter()
            .filter(|(name, _)| !ALL.iter().any(|s| s.name() == name.as_str()))
            .map(move |(name, value)| (name.clone(), value, Origin::File(path.to_owned())))
    });
    from_env
        .chain(from_file)
        .map(|(setting, value, origin)| Wrong {
            advice: "there is no such setting; take it out, or see --help for the names".to_owned(),
            setting,
            value: value.clone(),
            origin,
        })
        .collect()
}

/// Whether the variable is one that Kubernetes sets for a Service whose name starts like the controller's.
fn is_service_link(rest: &str) -> bool {
    let has = |part: &str| {
        rest == part
            || rest.starts_with(&format!("{part}_"))
            || rest.contains(&format!("_{part}_"))
            || rest.ends_with(&format!("_{part}"))
    };
    has("SERVICE_HOST") || has("SERVICE_PORT") || has("PORT")
}

/// The file: a flat mapping of names to plain values or lists of such.
fn read_file(path: &Path) -> Result<BTreeMap<String, String>, LoadError> {
    let failed = |problem: String| LoadError::File {
        path: path.to_owned(),
        problem,
    };
    let unread = |e: std::io::Error| failed(format!("the file cannot be read: {e}"));
    if std::fs::metadata(path).map_err(unread)?.len() > FILE_BYTES_MAX {
        return Err(failed(format!(
            "the file is longer than {FILE_BYTES_MAX} bytes; write a mapping of settings"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(unread)?;
    let value: Value = serde_yaml::from_str(&text).map_err(|e| failed(e.to_string()))?;
    let mapping = match value {
        Value::Null => Mapping::new(),
        Value::Mapping(mapping) => mapping,
        _ => {
            return Err(failed(
                "write settings as `name: value`, one a line".to_owned(),
            ));
        }
    };
    mapping
        .into_iter()
        .map(|(key, value)| match (key, plain(&value)) {
            (Value::String(key), Some(text)) => Ok((key, text)),
            (Value::String(key), None) => Err(failed(format!(
                "{key} is neither a plain value nor a list of such; write `{key}: value`"
            ))),
            _ => Err(failed(
                "write settings as `name: value`, one a line".to_owned(),
            )),
        })
        .collect()
}

/// A plain value as the text that a flag would have; lists get commas between.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => Some(n.to_string()),
        Value::String(s) => Some(s.clone()),
        Value::Sequence(items) => {
            let items: Option<Vec<_>> = items
                .iter()
                .map(|item| {
                    if item.is_sequence() {
                        None
                    } else {
                        plain(item)
                    }
                })
                .collect();
            Some(items?.join(","))
        }
        Value::Mapping(_) | Value::Tagged(_) => None,
    }
}
