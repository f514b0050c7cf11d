//! The end of a test: deletes its objects and checks that they disappear, or reports them after a
//! failure.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use parking_lot::Mutex;

use super::Scenario;
use super::tenants::allowed_deletion;
use crate::{checks, timeouts, wait};

/// How many log lines about the test's namespace a report contains, for each controller.
const NAMESPACE_LOG_LINES: usize = 60;
/// How many of the last log lines a report contains, for each controller.
const LAST_LOG_LINES: usize = 15;

impl Scenario {
    /// Checks that no object contains a password, deletes all objects, and waits until they are
    /// gone.
    pub async fn finish(&self) -> Result<()> {
        let emulators = self.emulators.lock().clone();
        for emulator in emulators {
            emulator.check_conformance()?;
            self.cluster.record_emulator(&emulator).await?;
        }
        let secrets = checks::all_secrets(&self.cluster).await?;
        let leaked = checks::find_secrets(
            &secrets,
            [(
                "the scenario's objects".to_owned(),
                self.objects().await.as_str(),
            )],
        );
        ensure!(leaked.is_empty(), "leaked secrets:\n{}", leaked.join("\n"));
        let tenants = self.tenants();
        allowed_deletion(async || {
            tenants
                .delete_collection(&DeleteParams::default(), &ListParams::default())
                .await
                .map(drop)
        })
        .await?;
        for tenant in self.tenants().list(&ListParams::default()).await? {
            self.wait_until_deleted_within(&tenant.name_any(), timeouts::CREATION_VERIFIED)
                .await
                .context("at the end of the test")?;
        }
        for class in take(&self.class_names) {
            let deleted = self
                .classes()
                .delete(&class, &DeleteParams::default())
                .await;
            if !matches!(&deleted, Err(kube::Error::Api(status)) if status.is_not_found()) {
                deleted?;
            }
            wait::until(
                &self.classes(),
                &class,
                timeouts::CONVERGE,
                "deleted",
                |class| class.is_none(),
            )
            .await?;
        }
        let emulators = std::mem::take(&mut *self.emulators.lock());
        for emulator in emulators.into_iter().filter_map(Arc::into_inner) {
            emulator.stop().await;
        }
        self.delete_namespace_and_config_maps().await;
        Ok(())
    }

    /// Deletes what can be deleted without waiting, after a failure.
    pub async fn clean_up(&self) {
        for class in take(&self.class_names) {
            let _ = self
                .classes()
                .delete(&class, &DeleteParams::default())
                .await;
        }
        self.delete_namespace_and_config_maps().await;
    }

    async fn delete_namespace_and_config_maps(&self) {
        for name in take(&self.config_map_names) {
            let _ = self
                .config_maps()
                .delete(&name, &DeleteParams::default())
                .await;
        }
        let namespaces: Api<Namespace> = Api::all(self.cluster.client());
        let _ = namespaces
            .delete(&self.namespace, &DeleteParams::background())
            .await;
    }

    /// All Tenants, events and classes that the test may have changed, as YAML.
    async fn objects(&self) -> String {
        let mut text = String::new();
        for arguments in [
            &["get", "tenants.dbpertenant.dev", "--output=yaml"][..],
            &["get", "events.events.k8s.io", "--output=yaml"],
            &["get", "tenantclasses.dbpertenant.dev", "--output=yaml"],
            &["get", "schemarollouts.dbpertenant.dev", "--output=yaml"],
        ] {
            text.push_str(
                &self
                    .kubectl(arguments)
                    .await
                    .unwrap_or_else(|error| format!("{error:#}\n")),
            );
        }
        text
    }

    /// Objects, events and logs, to find the cause of a failure.
    pub async fn report(&self) -> String {
        let mut parts = vec![format!("--- namespace {}", self.namespace)];
        for arguments in [
            &["get", "tenants.dbpertenant.dev", "--output=yaml"][..],
            &[
                "get",
                "events.events.k8s.io",
                "--output=custom-columns=AT:.metadata.creationTimestamp,TYPE:.type,REASON:.reason,ABOUT:.regarding.name,NOTE:.note",
            ],
            &[
                "get",
                "secrets",
                "--output=custom-columns=NAME:.metadata.name,TYPE:.type,OWNER:.metadata.ownerReferences[*].name",
            ],
        ] {
            let output = self
                .kubectl(arguments)
                .await
                .unwrap_or_else(|error| format!("{error:#}"));
            parts.push(format!(
                "--- kubectl {}\n{output}",
                arguments[..2].join(" ")
            ));
        }
        let classes = self.class_names.lock().clone();
        for class in classes {
            let output = self
                .kubectl(&["get", "tenantclass", &class, "--output=yaml"])
                .await;
            parts.push(format!(
                "--- TenantClass {class}\n{}",
                output.unwrap_or_else(|error| format!("{error:#}"))
            ));
        }
        for log in self.cluster.logs().unwrap_or_default() {
            let bytes = std::fs::read(&log).unwrap_or_default();
            let all = String::from_utf8_lossy(&bytes);
            let about_namespace: Vec<&str> = all
                .lines()
                .filter(|line| line.contains(&self.namespace))
                .collect();
            let without_debug: Vec<&str> = all
                .lines()
                .filter(|line| !line.contains("\"DEBUG\""))
                .collect();
            parts.push(format!(
                "--- {}: lines about the namespace\n{}",
                log.display(),
                tail(&about_namespace, NAMESPACE_LOG_LINES)
            ));
            parts.push(format!(
                "--- {}: last lines\n{}",
                log.display(),
                tail(&without_debug, LAST_LOG_LINES)
            ));
        }
        parts.join("\n")
    }
}

fn tail(lines: &[&str], count: usize) -> String {
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn take(names: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut *names.lock())
}
