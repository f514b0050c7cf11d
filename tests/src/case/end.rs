//! The end of a test: everything is taken away and seen to go; or it is told what was there when it failed.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};

use super::{Case, held};
use crate::{checks, limits, wait};

/// How much of the controllers' logs a report shows: lines about the test's namespace, and the last of all.
const LOG_LINES_OF_CASE: usize = 60;
const LOG_LINES: usize = 15;

impl Case {
    /// Checks that no password is shown, takes everything away, and sees it go.
    pub async fn finish(&self) -> Result<()> {
        let emulators = held(&self.emulators).clone();
        for emulator in emulators {
            emulator.kept_to_the_document()?;
            self.cluster.note(&emulator).await?;
        }
        let secrets = checks::secrets(&self.cluster).await?;
        let shown = checks::holding(
            &secrets,
            [(
                "the case's objects".to_owned(),
                self.objects().await.as_str(),
            )],
        );
        ensure!(
            shown.is_empty(),
            "passwords are shown:\n{}",
            shown.join("\n")
        );
        self.tenants()
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await?;
        for tenant in self.tenants().list(&ListParams::default()).await? {
            self.gone_within(&tenant.name_any(), limits::SETTLE)
                .await
                .context("at the end of the test")?;
        }
        for class in taken(&self.classes) {
            let deleted = self
                .all_classes()
                .delete(&class, &DeleteParams::default())
                .await;
            if !matches!(&deleted, Err(kube::Error::Api(status)) if status.is_not_found()) {
                deleted?;
            }
            wait::until(
                &self.all_classes(),
                &class,
                limits::CONVERGE,
                "gone",
                |class| class.is_none(),
            )
            .await?;
        }
        let emulators = std::mem::take(&mut *held(&self.emulators));
        for emulator in emulators.into_iter().filter_map(Arc::into_inner) {
            emulator.stop().await;
        }
        self.clear().await;
        Ok(())
    }

    /// Takes away what can be taken away at once, after a failure.
    pub async fn abandon(&self) {
        for class in taken(&self.classes) {
            let _ = self
                .all_classes()
                .delete(&class, &DeleteParams::default())
                .await;
        }
        self.clear().await;
    }

    async fn clear(&self) {
        for name in taken(&self.config_maps) {
            let _ = self
                .config_maps_api()
                .delete(&name, &DeleteParams::default())
                .await;
        }
        let namespaces: Api<Namespace> = Api::all(self.cluster.client());
        let _ = namespaces
            .delete(&self.namespace, &DeleteParams::background())
            .await;
    }

    /// Everything of the case that people can read, as YAML.
    async fn objects(&self) -> String {
        let mut text = String::new();
        for arguments in [
            &["get", "tenants.dbpertenant.dev", "--output=yaml"][..],
            &["get", "events.events.k8s.io", "--output=yaml"],
            &["get", "tenantclasses.dbpertenant.dev", "--output=yaml"],
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

    /// What somebody needs who wants to know why the test failed.
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
            let said = self
                .kubectl(arguments)
                .await
                .unwrap_or_else(|error| format!("{error:#}"));
            parts.push(format!("--- kubectl {}\n{said}", arguments[..2].join(" ")));
        }
        let classes = held(&self.classes).clone();
        for class in classes {
            let said = self
                .kubectl(&["get", "tenantclass", &class, "--output=yaml"])
                .await;
            parts.push(format!(
                "--- TenantClass {class}\n{}",
                said.unwrap_or_else(|error| format!("{error:#}"))
            ));
        }
        for log in self.cluster.logs().unwrap_or_default() {
            let bytes = std::fs::read(&log).unwrap_or_default();
            let all = String::from_utf8_lossy(&bytes);
            let about: Vec<&str> = all
                .lines()
                .filter(|line| line.contains(&self.namespace))
                .collect();
            let last: Vec<&str> = all
                .lines()
                .filter(|line| !line.contains("\"DEBUG\""))
                .collect();
            parts.push(format!(
                "--- {} about the namespace\n{}",
                log.display(),
                tail(&about, LOG_LINES_OF_CASE)
            ));
            parts.push(format!(
                "--- {} at its end\n{}",
                log.display(),
                tail(&last, LOG_LINES)
            ));
        }
        parts.join("\n")
    }
}

fn tail(lines: &[&str], max: usize) -> String {
    lines[lines.len().saturating_sub(max)..].join("\n")
}

fn taken(names: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut *held(names))
}
