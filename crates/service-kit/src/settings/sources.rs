//! What was said, and where: flags, then environment, then the file, then the default. Nothing is interpreted here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use serde_yaml::{Mapping, Value};

use super::{AnySetting, Secret, Setting, Table};

/// Name of the flag, and end of the variable, that names the file.
pub(super) const CONFIG_FILE: &str = "config";
/// Longest file, in bytes. What is longer is something else.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// What stands in an error instead of a secret.
const HIDDEN: &str = "(not shown)";

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
        match origin {
            Origin::Nowhere => write!(f, "{setting} is not set: {advice}"),
            origin => write!(f, "{setting} is `{value}` ({origin}): {advice}"),
        }
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
    /// It was not said: it is the default.
    Default,
    /// It was not said, and has no default.
    Nowhere,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("from the command line"),
            Self::Variable(name) => write!(f, "from the environment variable {name}"),
            Self::File(path) => write!(f, "from the file {}", path.display()),
            Self::Default => f.write_str("the default"),
            Self::Nowhere => f.write_str("not set"),
        }
    }
}

/// Every value that was given or is a default, by name of the setting; each has passed its setting's own check.
pub struct Said {
    values: BTreeMap<&'static str, (String, Origin)>,
}

impl fmt::Debug for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Some of the values are secrets.
        formatter.debug_set().entries(self.values.keys()).finish()
    }
}

/// Where values may stand.
struct Sources<'a> {
    table: &'a Table,
    flags: &'a ArgMatches,
    env: &'a BTreeMap<String, String>,
    /// The file's settings, and where it is.
    file: Option<(PathBuf, BTreeMap<String, String>)>,
}

impl Said {
    /// Reads the three sources, the first argument being the program's name, and checks every value by itself.
    pub fn read(
        table: &Table,
        args: impl IntoIterator<Item = OsString>,
        env: &BTreeMap<String, String>,
    ) -> Result<Self, LoadError> {
        let flags = table.command().try_get_matches_from(args)?;
        Self::of(table, &flags, env)
    }

    /// As [`Said::read`], with flags that a command made by [`Table::command`] has read.
    pub fn of(
        table: &Table,
        flags: &ArgMatches,
        env: &BTreeMap<String, String>,
    ) -> Result<Self, LoadError> {
        let path = flags
            .get_one::<String>(CONFIG_FILE)
            .or_else(|| env.get(&table.variable(CONFIG_FILE)))
            .map(PathBuf::from);
        let file = path
            .map(|path| read_file(&path).map(|file| (path, file)))
            .transpose()?;
        let sources = Sources {
            table,
            flags,
            env,
            file,
        };
        let mut wrong = sources.unknown();
        let mut values = BTreeMap::new();
        for &setting in table.all {
            let said = match setting.secret() {
                Some(secret) => sources.secret(setting, secret),
                None => Ok(sources.plain(setting.name())),
            };
            let default = || Some((setting.default()?.to_owned(), Origin::Default));
            let (value, origin) = match said.map(|said| said.or_else(default)) {
                Ok(Some(said)) => said,
                Ok(None) => continue,
                Err(unreadable) => {
                    wrong.push(unreadable);
                    continue;
                }
            };
            match setting.check(&value) {
                Ok(()) => {
                    values.insert(setting.name(), (value, origin));
                }
                Err(advice) => wrong.push(Wrong {
                    setting: setting.name().to_owned(),
                    value: shown(setting, value),
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
    pub fn get<T>(&self, setting: &Setting<T>) -> Result<Option<T>, LoadError> {
        let Some((text, _)) = self.values.get(setting.name) else {
            return Ok(None);
        };
        (setting.parse)(text)
            .map(Some)
            .map_err(|advice| self.wrong(setting, advice))
    }

    /// The value of a setting that has a default, or has to be given.
    pub fn need<T>(&self, setting: &Setting<T>) -> Result<T, LoadError> {
        self.get(setting)?
            .ok_or_else(|| LoadError::Settings(vec![not_set(setting)]))
    }

    /// Makes sure that all of these were given, so that everything that is missing is told at once.
    pub fn all_given(&self, settings: &[&dyn AnySetting]) -> Result<(), LoadError> {
        let missing: Vec<Wrong> = settings
            .iter()
            .filter(|setting| !self.values.contains_key(setting.name()))
            .map(|setting| not_set(*setting))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(LoadError::Settings(missing))
        }
    }

    /// The error that this value will not do, beside the others.
    pub fn wrong<T>(&self, setting: &Setting<T>, advice: String) -> LoadError {
        let (value, origin) = self
            .values
            .get(setting.name)
            .cloned()
            .unwrap_or_else(|| (String::new(), Origin::Nowhere));
        LoadError::Settings(vec![Wrong {
            setting: setting.name.to_owned(),
            value: shown(setting, value),
            origin,
            advice,
        }])
    }
}

impl Sources<'_> {
    /// A value by its name.
    fn plain(&self, name: &str) -> Option<(String, Origin)> {
        self.flag(name)
            .or_else(|| self.prefixed(name))
            .or_else(|| self.in_file(name))
    }

    /// A secret from its variables, or from the file of its own.
    fn secret(
        &self,
        setting: &dyn AnySetting,
        secret: Secret,
    ) -> Result<Option<(String, Origin)>, Wrong> {
        let read = |(path, origin): (String, Origin)| match read_secret(Path::new(&path)) {
            Ok(text) => Ok(Some((text, Origin::File(path.into())))),
            Err(problem) => Err(Wrong {
                setting: secret.file.to_owned(),
                value: path,
                origin,
                advice: problem,
            }),
        };
        if let Some(said) = self.flag(secret.file) {
            return read(said);
        }
        // Compose files and CI leave variables empty where there is nothing to say.
        let some = |said: &(String, Origin)| !said.0.is_empty();
        if let Some(said) = self.prefixed(setting.name()).filter(some) {
            return Ok(Some(said));
        }
        if let Some(said) = self.prefixed(secret.file).filter(some) {
            return read(said);
        }
        if let Some(said) = self.variable(secret.customary.to_owned()).filter(some) {
            return Ok(Some(said));
        }
        self.in_file(secret.file).map_or(Ok(None), read)
    }

    fn flag(&self, name: &str) -> Option<(String, Origin)> {
        // What is no flag of this command (the value of a secret) was not given by one.
        let text = self.flags.try_get_one::<String>(name).ok()??;
        Some((text.clone(), Origin::Flag))
    }

    fn prefixed(&self, name: &str) -> Option<(String, Origin)> {
        self.variable(self.table.variable(name))
    }

    fn variable(&self, variable: String) -> Option<(String, Origin)> {
        Some((self.env.get(&variable)?.clone(), Origin::Variable(variable)))
    }

    fn in_file(&self, name: &str) -> Option<(String, Origin)> {
        let (path, file) = self.file.as_ref()?;
        Some((file.get(name)?.clone(), Origin::File(path.clone())))
    }

    /// Variables and keys that bear no setting's name: a typing error that would otherwise go unseen.
    fn unknown(&self) -> Vec<Wrong> {
        let from_env = self.env.iter().filter_map(|(key, value)| {
            let rest = key.strip_prefix(self.table.env_prefix)?;
            let name = rest.replace('_', "-").to_lowercase();
            let known =
                name == CONFIG_FILE || self.is_setting(&name) || self.secret_of(&name).is_some();
            (!known && !is_service_link(rest)).then(|| Wrong {
                setting: name,
                value: value.clone(),
                origin: Origin::Variable(key.clone()),
                advice: NO_SUCH_SETTING.to_owned(),
            })
        });
        let from_file = self.file.iter().flat_map(|(path, file)| {
            file.iter()
                .filter(|(name, _)| !self.is_setting(name))
                .map(|(name, value)| self.not_in_file(path, name, value))
        });
        from_env.chain(from_file).collect()
    }

    /// What is wrong with a key of the file that is no setting there.
    fn not_in_file(&self, path: &Path, name: &str, value: &str) -> Wrong {
        let secret = self.secret_of(name);
        Wrong {
            setting: name.to_owned(),
            value: secret.map_or(value, |_| HIDDEN).to_owned(),
            origin: Origin::File(path.to_owned()),
            advice: secret.map_or_else(
                || NO_SUCH_SETTING.to_owned(),
                |secret| {
                    format!(
                        "a secret does not stand in this file; write `{}: FILE`, or set {}",
                        secret.file,
                        self.table.variable(name)
                    )
                },
            ),
        }
    }

    /// Whether flags and the file may name it.
    fn is_setting(&self, name: &str) -> bool {
        self.table.all.iter().any(|setting| {
            name == setting
                .secret()
                .map_or(setting.name(), |secret| secret.file)
        })
    }

    /// How this secret is given, if the name is that of one.
    fn secret_of(&self, name: &str) -> Option<Secret> {
        let setting = self
            .table
            .all
            .iter()
            .find(|setting| setting.name() == name)?;
        setting.secret()
    }
}

/// What is said of a setting that has to be given and was not.
fn not_set(setting: &dyn AnySetting) -> Wrong {
    let advice = match setting.secret() {
        Some(secret) => format!("write --{} FILE, or set {}", secret.file, secret.customary),
        None => format!("write --{} {}", setting.name(), setting.value()),
    };
    Wrong {
        setting: setting.name().to_owned(),
        value: String::new(),
        origin: Origin::Nowhere,
        advice,
    }
}

/// What is said of a name that no setting has.
const NO_SUCH_SETTING: &str = "there is no such setting; take it out, or see --help for the names";

/// A value as an error may show it.
fn shown(setting: &dyn AnySetting, value: String) -> String {
    if setting.secret().is_some() && !value.is_empty() {
        HIDDEN.to_owned()
    } else {
        value
    }
}

/// Whether the variable is one that Kubernetes sets for a Service whose name starts like the program's.
fn is_service_link(rest: &str) -> bool {
    let has = |part: &str| {
        rest == part
            || rest.starts_with(&format!("{part}_"))
            || rest.contains(&format!("_{part}_"))
            || rest.ends_with(&format!("_{part}"))
    };
    has("SERVICE_HOST") || has("SERVICE_PORT") || has("PORT")
}

/// The secret that is all of a file, without the line end that editors add.
fn read_secret(path: &Path) -> Result<String, String> {
    let text = read_text(path)
        .map_err(|problem| format!("{problem}; write the path of a file that holds the secret"))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        Err("the file is empty; write the path of a file that holds the secret".to_owned())
    } else {
        Ok(secret.to_owned())
    }
}

/// The text of a file that is not too long.
fn read_text(path: &Path) -> Result<String, String> {
    let unread = |error: std::io::Error| format!("the file cannot be read: {error}");
    if std::fs::metadata(path).map_err(unread)?.len() > FILE_BYTES_MAX {
        return Err(format!("the file is longer than {FILE_BYTES_MAX} bytes"));
    }
    std::fs::read_to_string(path).map_err(unread)
}

/// The file: a flat mapping of names to plain values or lists of such.
fn read_file(path: &Path) -> Result<BTreeMap<String, String>, LoadError> {
    let failed = |problem: String| LoadError::File {
        path: path.to_owned(),
        problem,
    };
    let text = read_text(path).map_err(failed)?;
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
