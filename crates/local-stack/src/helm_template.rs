//! Derives from a chart's rendered Deployment how to start its program as a process on this
//! machine: arguments, environment, files and `ServiceAccount`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, EnvVar, PodSpec, Secret, SecretKeySelector};
use kube::{Api, Client};

/// How to start the single container of a Deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSpec {
    /// With references such as `$(NAME)` expanded.
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub service_account: String,
    /// Mount path and name of each mounted `ConfigMap`.
    config_maps: Vec<(String, String)>,
}

impl ContainerSpec {
    /// Reads the Deployment from the cluster. Writes the files of its `ConfigMap`s into `folder`
    /// and rewrites the paths in arguments and environment accordingly.
    pub async fn read(client: &Client, namespace: &str, name: &str, folder: &Path) -> Result<Self> {
        let deployment = Api::<Deployment>::namespaced(client.clone(), namespace)
            .get(name)
            .await;
        let deployment = deployment
            .with_context(|| format!("failed to read the Deployment {namespace}/{name}"))?;
        let secrets = Secrets::read(client, namespace, &deployment).await?;
        let mut container = Self::from_deployment(&deployment, &secrets)?;
        for (mount_path, config_map) in container.config_maps.clone() {
            let found = Api::<ConfigMap>::namespaced(client.clone(), namespace)
                .get(&config_map)
                .await
                .with_context(|| {
                    format!("failed to read the ConfigMap {namespace}/{config_map}")
                })?;
            let files = folder.join(format!("configmap-{config_map}"));
            fs::create_dir_all(&files)?;
            for (file, text) in found.data.unwrap_or_default() {
                fs::write(files.join(file), text)?;
            }
            container.replace_path(&mount_path, &files.display().to_string());
        }
        Ok(container)
    }

    /// Fails if the Deployment needs something that a process cannot have, such as a second
    /// container.
    fn from_deployment(deployment: &Deployment, secrets: &Secrets) -> Result<Self> {
        let namespace = deployment
            .metadata
            .namespace
            .clone()
            .context("the Deployment has no namespace")?;
        let name = deployment
            .metadata
            .name
            .clone()
            .context("the Deployment has no name")?;
        let pod = deployment
            .spec
            .template
            .spec
            .as_ref()
            .context("the Deployment has no Pod template")?;
        let [container] = pod.containers.as_slice() else {
            bail!(
                "the Deployment must have 1 container (got {})",
                pod.containers.len()
            )
        };
        let fields = BTreeMap::from([
            ("metadata.namespace", namespace.as_str()),
            ("metadata.name", name.as_str()),
        ]);
        let environment = container
            .env
            .iter()
            .flatten()
            .filter_map(|variable| value(variable, &fields, secrets).transpose())
            .collect::<Result<Vec<_>>>()?;
        let arguments = container
            .args
            .iter()
            .flatten()
            .map(|argument| expand(argument, &environment))
            .collect();
        let config_maps = container
            .volume_mounts
            .iter()
            .flatten()
            .filter_map(|mount| Some((mount.mount_path.clone(), config_map(pod, &mount.name)?)));
        let service_account = pod
            .service_account_name
            .clone()
            .unwrap_or_else(|| "default".into());
        Ok(Self {
            arguments,
            environment,
            service_account,
            config_maps: config_maps.collect(),
        })
    }

    fn replace_path(&mut self, from: &str, to: &str) {
        let (from, to) = (format!("{}/", from.trim_end_matches('/')), format!("{to}/"));
        let values = self.environment.iter_mut().map(|(_, value)| value);
        for text in self.arguments.iter_mut().chain(values) {
            *text = text.replace(&from, &to);
        }
    }
}

/// The `ConfigMap` of a volume. A process needs no replacement for other volumes, such as an empty
/// directory.
fn config_map(pod: &PodSpec, volume: &str) -> Option<String> {
    let volume = pod
        .volumes
        .iter()
        .flatten()
        .find(|found| found.name == volume)?;
    volume.config_map.as_ref().map(|source| source.name.clone())
}

/// The values of the Secrets that the environment refers to, by name and key. For a Pod the kubelet
/// reads them, so the program's `ServiceAccount` may not be allowed to.
#[derive(Default)]
struct Secrets(BTreeMap<String, BTreeMap<String, String>>);

impl Secrets {
    async fn read(client: &Client, namespace: &str, deployment: &Deployment) -> Result<Self> {
        let api = Api::<Secret>::namespaced(client.clone(), namespace);
        let mut secrets = Self::default();
        let pod = deployment.spec.template.spec.as_ref();
        for container in pod.iter().flat_map(|pod| &pod.containers) {
            for source in container.env.iter().flatten().filter_map(secret_key) {
                let Some(found) = api.get_opt(&source.name).await? else {
                    continue;
                };
                let data = found.data.unwrap_or_default().into_iter();
                let data = data.map(|(key, value)| Ok((key, String::from_utf8(value.0)?)));
                secrets
                    .0
                    .insert(source.name.clone(), data.collect::<Result<_>>()?);
            }
        }
        Ok(secrets)
    }

    fn get(&self, source: &SecretKeySelector) -> Option<String> {
        self.0.get(&source.name)?.get(&source.key).cloned()
    }
}

fn secret_key(variable: &EnvVar) -> Option<&SecretKeySelector> {
    variable.value_from.as_ref()?.secret_key_ref.as_ref()
}

/// The name and value of a variable; `None` if its Secret is optional and does not exist.
fn value(
    variable: &EnvVar,
    fields: &BTreeMap<&str, &str>,
    secrets: &Secrets,
) -> Result<Option<(String, String)>> {
    let name = variable.name.clone();
    if let Some(source) = secret_key(variable) {
        let value = secrets.get(source);
        if value.is_none() && source.optional != Some(true) {
            bail!(
                "{name} refers to the key {} of the Secret {}, which does not exist",
                source.key,
                source.name
            );
        }
        return Ok(value.map(|value| (name, value)));
    }
    let Some(source) = &variable.value_from else {
        return Ok(Some((name, variable.value.clone().unwrap_or_default())));
    };
    let path = source
        .field_ref
        .as_ref()
        .map(|field| field.field_path.as_str())
        .with_context(|| format!("{name} must be a value, a field or a Secret key"))?;
    let value = fields
        .get(path)
        .with_context(|| format!("{name} refers to the field {path}, which is not supported"))?;
    Ok(Some((name, (*value).to_owned())))
}

/// Expands `$(NAME)` like Kubernetes, which leaves references to unknown variables unchanged.
fn expand(argument: &str, environment: &[(String, String)]) -> String {
    environment
        .iter()
        .fold(argument.to_owned(), |text, (name, value)| {
            text.replace(&format!("$({name})"), value)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_interpreted_as_kubernetes_would() -> Result<()> {
        let deployment: Deployment = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "tenant-controller", "namespace": "tenant-system"},
            "spec": {"selector": {}, "template": {"spec": {"serviceAccountName": "robot", "containers": [{
                "name": "controller",
                "args": ["--namespace=$(POD_NAMESPACE)", "--config=/etc/controller/config.yaml", "--log-format=json", "--title=$(NOWHERE)"],
                "env": [
                    {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                    {"name": "RUST_LOG", "value": "info"},
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
                    {"name": "ABSENT", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "other", "optional": true}}},
                ],
                "volumeMounts": [{"name": "config", "mountPath": "/etc/controller"}, {"name": "tmp", "mountPath": "/tmp"}],
            }], "volumes": [{"name": "config", "configMap": {"name": "settings"}}, {"name": "tmp", "emptyDir": {}}]}}},
        }))?;
        let keys = BTreeMap::from([("token".to_owned(), "t-1".to_owned())]);
        let secrets = Secrets(BTreeMap::from([("keys".to_owned(), keys)]));
        let mut container = ContainerSpec::from_deployment(&deployment, &secrets)?;
        assert_eq!(
            container.config_maps,
            [("/etc/controller".to_owned(), "settings".to_owned())]
        );
        container.replace_path("/etc/controller", "/run/files");
        assert_eq!(
            container.arguments,
            [
                "--namespace=tenant-system",
                "--config=/run/files/config.yaml",
                "--log-format=json",
                "--title=$(NOWHERE)"
            ]
        );
        assert_eq!(
            container.environment,
            [
                ("POD_NAMESPACE".into(), "tenant-system".into()),
                ("RUST_LOG".into(), "info".into()),
                ("TOKEN".into(), "t-1".into())
            ]
        );
        assert_eq!(container.service_account, "robot");
        assert!(
            ContainerSpec::from_deployment(&deployment, &Secrets::default()).is_err(),
            "a Pod does not start without its Secret"
        );
        Ok(())
    }
}
