//! Reads migrations from directories and from YAML files with ConfigMaps, and checks each file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crds::MigrationFinding;
use k8s_openapi::api::core::v1::ConfigMap;
use serde::Deserialize as _;
use serde_yaml::Value;
use service_kit::error_chain;

use super::LocatedFinding;
use crate::migration_sources::files_of;
use crate::migrations::{
    LintFile, MigrationSet, MigrationSetError, invalid_migration, lint, read_directory,
};

/// Largest YAML file, in bytes. A ConfigMap has at most 1 MiB.
const MAX_YAML_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error("failed to read {path}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is neither a directory nor a regular file of at most {MAX_YAML_BYTES} bytes")]
    NotAFile { path: PathBuf },
    #[error(
        "{path} is not valid YAML: pass a directory with SQL files, or a YAML file with ConfigMaps"
    )]
    NotYaml {
        path: PathBuf,
        source: serde_yaml::Error,
    },
    #[error(
        "{path} contains no ConfigMap: pass a directory with SQL files, or a YAML file with ConfigMaps"
    )]
    NoConfigMap { path: PathBuf },
    #[error("the migrations cannot be used")]
    Unusable(#[from] MigrationSetError),
    #[error("failed to write the findings")]
    Output(#[source] io::Error),
}

/// The files of a directory or of a ConfigMap.
struct Source {
    path: PathBuf,
    /// The text of the YAML file; `None` for a directory.
    yaml: Option<Arc<str>>,
    files: Vec<(String, Vec<u8>)>,
}

/// What the paths contain, in their order.
pub(super) struct Sources(Vec<Source>);

impl Sources {
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, InputError> {
        let mut sources = Vec::new();
        for path in paths {
            let metadata = fs::metadata(path).map_err(unreadable(path))?;
            if metadata.is_dir() {
                sources.push(Source {
                    path: path.clone(),
                    yaml: None,
                    files: read_directory(path)?,
                });
            } else if metadata.is_file() && metadata.len() <= MAX_YAML_BYTES {
                let text = fs::read_to_string(path).map_err(unreadable(path))?;
                sources.extend(config_maps(path, &text.into())?);
            } else {
                return Err(InputError::NotAFile { path: path.clone() });
            }
        }
        Ok(Self(sources))
    }

    /// The findings in the order of the files, and the number of files that were checked: those with a
    /// higher version than `after`.
    pub(super) fn check(
        self,
        after: Option<i64>,
    ) -> Result<(Vec<LocatedFinding>, usize), InputError> {
        let mut findings = Vec::new();
        let mut checked: Vec<(i64, LintFile)> = Vec::new();
        let mut source_of: BTreeMap<&str, &Source> = BTreeMap::new();
        for source in &self.0 {
            for (name, bytes) in &source.files {
                source_of.insert(name, source);
                let single = vec![vec![(name.clone(), bytes.clone())]];
                match MigrationSet::from_sources(single) {
                    Ok(set) => checked.extend(
                        set.migrations()
                            .iter()
                            .filter(|migration| {
                                after.is_none_or(|after| migration.version() > after)
                            })
                            .map(|migration| (migration.version(), migration.into())),
                    ),
                    // Not a SQL file.
                    Err(MigrationSetError::Empty) => {}
                    Err(error) => findings.push(invalid(error)?),
                }
            }
        }
        // Errors of single files hide those of the whole set.
        if findings.is_empty() {
            let files = self.0.iter().map(|source| source.files.clone());
            if let Err(error) = MigrationSet::from_sources(files.collect()) {
                findings.push(invalid(error)?);
            }
        }
        let count = checked.len();
        checked.sort_by_key(|(version, _)| *version);
        findings.extend(lint(checked.into_iter().map(|(_, file)| file).collect()));
        let locate = |finding: MigrationFinding| {
            let source = source_of.get(finding.file.as_str());
            let line = usize::try_from(finding.line).unwrap_or(1);
            let (path, line) = source.map_or_else(
                || (PathBuf::from(&finding.file), line),
                |source| source.locate(&finding.file, line),
            );
            LocatedFinding {
                finding,
                path,
                line,
            }
        };
        Ok((findings.into_iter().map(locate).collect(), count))
    }
}

impl Source {
    /// The path and the line to show for a line of a file.
    fn locate(&self, file: &str, line: usize) -> (PathBuf, usize) {
        match &self.yaml {
            None => (self.path.join(file), line),
            Some(yaml) => (self.path.clone(), line_in_yaml(yaml, file, line)),
        }
    }
}

/// The error of a file as a finding.
fn invalid(error: MigrationSetError) -> Result<MigrationFinding, MigrationSetError> {
    match error.location() {
        Some((file, line)) => Ok(invalid_migration(file, line, &error_chain(&error))),
        None => Err(error),
    }
}

fn config_maps(path: &Path, text: &Arc<str>) -> Result<Vec<Source>, InputError> {
    let not_yaml = |source| InputError::NotYaml {
        path: path.to_owned(),
        source,
    };
    let mut sources = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document).map_err(not_yaml)?;
        if value["kind"] != "ConfigMap" {
            continue;
        }
        let config_map: ConfigMap = serde_yaml::from_value(value).map_err(not_yaml)?;
        sources.push(Source {
            path: path.to_owned(),
            yaml: Some(text.clone()),
            files: files_of(config_map),
        });
    }
    if sources.is_empty() {
        return Err(InputError::NoConfigMap {
            path: path.to_owned(),
        });
    }
    Ok(sources)
}

/// The line of a YAML file that has this line of the file: below the key of a literal block, and else
/// that of the key.
fn line_in_yaml(yaml: &str, file: &str, line: usize) -> usize {
    let keys = [
        format!("{file}:"),
        format!("\"{file}\":"),
        format!("'{file}':"),
    ];
    let value_of_key = |text: &str| {
        let text = text.trim();
        let value = keys.iter().find_map(|key| text.strip_prefix(&**key))?;
        Some(value.trim_start().to_owned())
    };
    let mut lines = yaml.lines().enumerate();
    let found = lines.find_map(|(index, text)| Some((index + 1, value_of_key(text)?)));
    match found {
        Some((key, value)) if value.starts_with('|') => key + line,
        Some((key, _)) => key,
        None => 1,
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> InputError {
    let path = path.to_owned();
    move |source| InputError::Unreadable { path, source }
}
