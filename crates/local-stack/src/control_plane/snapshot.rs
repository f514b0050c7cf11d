//! Saves and restores the cluster's state. A snapshot is a copy of the data directory of a stopped
//! etcd, because not every installation of etcd has `etcdctl` and `etcdutl`. As after
//! `etcdutl snapshot restore`, the objects have the versions and UIDs of the snapshot.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{ControlPlane, commands};

impl ControlPlane {
    /// Saves the cluster's state in a new folder. The servers are stopped during the copy.
    pub async fn save_snapshot(&self, snapshot: &Path) -> Result<()> {
        self.stop_servers().await;
        let saved = copy_folder(&commands::etcd_data(self.folder()), snapshot);
        self.start_servers().await?;
        saved
    }

    /// Replaces the cluster's state with that of a snapshot, and starts the servers again.
    pub async fn restore_snapshot(&self, snapshot: &Path) -> Result<()> {
        self.stop_servers().await;
        let data = commands::etcd_data(self.folder());
        fs::remove_dir_all(&data)
            .with_context(|| format!("failed to remove {}", data.display()))?;
        copy_folder(snapshot, &data)?;
        self.start_servers().await
    }

    async fn start_servers(&self) -> Result<()> {
        self.start_etcd()?;
        self.start_apiserver().await?;
        self.start_controller_manager().await
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
