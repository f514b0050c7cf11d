//! The data folder of a server. It is created once, by the user that runs the server.
//!
//! A new cluster is initialized under a temporary name and renamed when it is complete, so an
//! interrupted `initdb` never leaves a folder that looks complete.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rand::distr::{Alphanumeric, SampleString};

use super::{Data, PostgresError};
use crate::process::RunAs;

/// Maximum time for removing a temporary folder.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(5);
const REMOVE_POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Length of the superuser's password, in characters.
const PASSWORD_LENGTH: usize = 32;
/// The first major version with `extension_control_path`.
const CONTROL_PATH_SINCE: u32 = 18;
/// The first major version with the `builtin` locale provider.
const BUILTIN_LOCALE_SINCE: u32 = 17;

/// An initialized cluster and everything needed to run a server on it.
pub(super) struct Cluster {
    pub(super) bin_dir: PathBuf,
    pub(super) data: PathBuf,
    pub(super) log: PathBuf,
    pub(super) password: String,
    pub(super) run_as: Option<RunAs>,
    /// A folder with extension control files that allow database owners to install what Neon allows
    /// them to install.
    pub(super) extension_control: Option<PathBuf>,
    /// The folder to remove, if the data is temporary. It is removed when this value is dropped,
    /// and by the server's supervisor in case the owner is killed.
    pub(super) temporary: Option<PathBuf>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(folder) = &self.temporary else {
            return;
        };
        let deadline = Instant::now() + REMOVE_TIMEOUT;
        // The supervisor may remove the folder at the same time, so missing entries are not errors.
        while folder.exists() && Instant::now() < deadline {
            if fs::remove_dir_all(folder).is_err() {
                std::thread::sleep(REMOVE_POLL_INTERVAL);
            }
        }
    }
}

impl Cluster {
    /// The process ID of a server that is running on this data folder.
    pub(super) fn served_by(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        let pid: u32 = text.lines().next()?.trim().parse().ok()?;
        // A PID file left by a crash may name an unrelated process.
        let command = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        command.trim().contains("postgres").then_some(pid)
    }
}

/// Creates the folder and the cluster if they do not exist.
pub(super) fn prepare(bin_dir: &Path, data: Data, durable: bool) -> Result<Cluster, PostgresError> {
    let bin_dir = &bin_dir
        .canonicalize()
        .map_err(|source| file("resolve", bin_dir, source))?;
    let (folder, temporary) = match data {
        Data::Folder(folder) => (folder, None),
        Data::Temporary => {
            let temporary = tempfile::Builder::new()
                .prefix("neon-emulator-")
                .tempdir()
                .map_err(|source| {
                    file(
                        "create a temporary folder in",
                        &std::env::temp_dir(),
                        source,
                    )
                })?;
            (temporary.path().to_owned(), Some(temporary))
        }
    };
    let new_folder = temporary.is_some() || !folder.exists();
    fs::create_dir_all(&folder).map_err(|source| file("create", &folder, source))?;
    let folder = folder
        .canonicalize()
        .map_err(|source| file("resolve", &folder, source))?;
    let data = folder.join("cluster");
    let run_as = server_user(&data)?;
    if new_folder {
        change_owner(&folder, run_as)?;
    }
    let version = major_version(bin_dir, run_as)?;
    let password_file = folder.join("superuser-password");
    if !data.join("PG_VERSION").exists() {
        initialize(
            bin_dir,
            &folder,
            &data,
            &password_file,
            run_as,
            version,
            durable,
        )?;
    }
    let password = fs::read_to_string(&password_file)
        .map_err(|source| file("read", &password_file, source))?
        .trim()
        .to_owned();
    let extension_control = trust_vector(bin_dir, &folder, run_as, version)?;
    let log = folder.join("postgres.log");
    Ok(Cluster {
        bin_dir: bin_dir.to_owned(),
        data,
        log,
        password,
        run_as,
        extension_control,
        // From here on, dropping the `Cluster` removes the folder.
        temporary: temporary.map(tempfile::TempDir::keep),
    })
}

fn initialize(
    bin_dir: &Path,
    folder: &Path,
    data: &Path,
    password_file: &Path,
    run_as: Option<RunAs>,
    version: u32,
    durable: bool,
) -> Result<(), PostgresError> {
    let partial = folder.join("cluster.partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(|source| file("remove", &partial, source))?;
    }
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&partial)
        .map_err(|source| file("create", &partial, source))?;
    change_owner(&partial, run_as)?;
    write_private(
        password_file,
        &Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH),
        run_as,
    )?;

    let mut command = Command::new(bin_dir.join("initdb"));
    command
        .arg("-D")
        .arg(&partial)
        .args([
            "-U",
            "postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-instructions",
        ])
        .arg(format!("--pwfile={}", password_file.display()));
    if version >= BUILTIN_LOCALE_SINCE {
        command.args([
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        ]);
    } else {
        command.arg("--locale=C.UTF-8");
    }
    if !durable {
        command.arg("--no-sync");
    }
    run(command.env("TZ", "UTC").current_dir(folder), run_as)?;
    fs::rename(&partial, data).map_err(|source| file("rename", &partial, source))
}

/// The user to run the server as: `None` for the current user. When the current user is root, this
/// is the owner of the data folder, or `nobody` for a new one.
fn server_user(data: &Path) -> Result<Option<RunAs>, PostgresError> {
    let me = fs::metadata("/proc/self")
        .map_err(|source| file("read", Path::new("/proc/self"), source))?;
    if me.uid() != 0 {
        return Ok(None);
    }
    if let Ok(owner) = fs::metadata(data)
        && owner.uid() != 0
    {
        return Ok(Some(RunAs {
            uid: owner.uid(),
            gid: owner.gid(),
        }));
    }
    let path = Path::new("/etc/passwd");
    let users = fs::read_to_string(path).map_err(|source| file("read", path, source))?;
    users
        .lines()
        .find_map(|line| {
            let mut fields = line.strip_prefix("nobody:")?.split(':').skip(1);
            Some(RunAs {
                uid: fields.next()?.parse().ok()?,
                gid: fields.next()?.parse().ok()?,
            })
        })
        .map(Some)
        .ok_or(PostgresError::NoUser)
}

fn major_version(bin_dir: &Path, run_as: Option<RunAs>) -> Result<u32, PostgresError> {
    let program = bin_dir.join("postgres");
    let output = run(
        Command::new(&program).arg("--version").current_dir("/"),
        run_as,
    )?;
    output
        .split_whitespace()
        .find_map(|word| {
            word.split(|c: char| !c.is_ascii_digit())
                .next()
                .and_then(|digits| digits.parse().ok())
        })
        .ok_or(PostgresError::Program { program, output })
}

/// On Neon the owner of a database may install `vector`. If the installed control file does not
/// mark the extension as trusted, this function writes a copy that does and that PostgreSQL finds
/// first.
fn trust_vector(
    bin_dir: &Path,
    folder: &Path,
    run_as: Option<RunAs>,
    version: u32,
) -> Result<Option<PathBuf>, PostgresError> {
    if version < CONTROL_PATH_SINCE {
        return Ok(None);
    }
    let share = share_dir(bin_dir);
    let Ok(text) = fs::read_to_string(share.join("extension/vector.control")) else {
        return Ok(None);
    };
    if text
        .lines()
        .any(|line| line.trim_start().starts_with("trusted"))
    {
        return Ok(None);
    }
    let extension_root = folder.join("extensions");
    let control = extension_root.join("extension");
    fs::create_dir_all(&control).map_err(|source| file("create", &control, source))?;
    let file_path = control.join("vector.control");
    let scripts = share.join("extension");
    let text = format!(
        "{}\ntrusted = true\ndirectory = '{}'\n",
        text.trim_end(),
        scripts.display()
    );
    fs::write(&file_path, text).map_err(|source| file("write", &file_path, source))?;
    for path in [&extension_root, &control, &file_path] {
        change_owner(path, run_as)?;
    }
    Ok(Some(extension_root))
}

fn share_dir(bin_dir: &Path) -> PathBuf {
    let output = Command::new(bin_dir.join("pg_config"))
        .arg("--sharedir")
        .output();
    match output {
        Ok(output) if output.status.success() => {
            PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
        }
        _ => bin_dir.join("../share"),
    }
}

fn run(command: &mut Command, run_as: Option<RunAs>) -> Result<String, PostgresError> {
    if let Some(user) = run_as {
        command.uid(user.uid).gid(user.gid);
    }
    command.env("LC_ALL", "C");
    let program = PathBuf::from(command.get_program());
    let output = command.output().map_err(|source| match run_as {
        Some(user) if source.kind() == std::io::ErrorKind::PermissionDenied => PostgresError::Program {
            program: program.clone(),
            output: format!(
                "user {} cannot execute it; when running as root, keep the programs in a folder that all users can read",
                user.uid
            ),
        },
        _ => file("run", &program, source),
    })?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(PostgresError::Program {
        program,
        output: text,
    })
}

fn write_private(path: &Path, text: &str, run_as: Option<RunAs>) -> Result<(), PostgresError> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut open| {
            open.set_permissions(fs::Permissions::from_mode(0o600))?;
            writeln!(open, "{text}")
        })
        .map_err(|source| file("write", path, source))?;
    change_owner(path, run_as)
}

fn change_owner(path: &Path, user: Option<RunAs>) -> Result<(), PostgresError> {
    match user {
        Some(user) => chown(path, Some(user.uid), Some(user.gid))
            .map_err(|source| file("change the owner of", path, source)),
        None => Ok(()),
    }
}

fn file(action: &'static str, path: &Path, source: std::io::Error) -> PostgresError {
    PostgresError::File {
        action,
        path: path.to_owned(),
        source,
    }
}
