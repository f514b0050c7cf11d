//! How a chart would have its program started: the arguments, the environment, the files and the `ServiceAccount` of
//! the Deployment that it rendered, taken for a process of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, EnvVar, PodSpec, Secret, SecretKeySelector};
use kube::{Api, Client};

/// What the Deployment's one container is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Its arguments, with `$(NAME)` filled in.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
    /// Whose rights it has.
    pub service_account: String,
    /// Where it finds which ConfigMap's files: path and name.
    mounts: Vec<(String, String)>,
}

impl Rendered {
    /// Reads the Deployment from the cluster, and lays the files of its `ConfigMap`s into `folder`: arguments and
    /// environment name them there.
    pub async fn read(client: &Client, namespace: &str, name: &str, folder: &Path) -> Result<Self> {
        let deployment = Api::<Deployment>::namespaced(client.clone(), namespace)
            .get(name)
            .await;
        let deployment = deployment.with_context(|| format!("no Deployment {namespace}/{name}"))?;
        let secrets = Secrets::read(client, namespace, &deployment).await?;
        let mut rendered = Self::from_deployment(&deployment, &secrets)?;
        for (mounted_at, config_map) in rendered.mounts.clone() {
            let found = Api::<ConfigMap>::namespaced(client.clone(), namespace)
                .get(&config_map)
                .await;
            let place = folder.join(format!("configmap-{config_map}"));
            fs::create_dir_all(&place)?;
            for (file, text) in found
                .with_context(|| format!("no ConfigMap {namespace}/{config_map}"))?
                .data
                .unwrap_or_default()
            {
                fs::write(place.join(file), text)?;
            }
            rendered.move_files(&mounted_at, &place.display().to_string());
        }
        Ok(rendered)
    }

    /// What stands in the Deployment. What a process cannot have (a second container) is an error.
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
                "the Deployment has {} containers, not 1",
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
            .map(|argument| fill_in(argument, &environment))
            .collect();
        let mounts = container
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
            mounts: mounts.collect(),
        })
    }

    fn move_files(&mut self, from: &str, to: &str) {
        let (from, to) = (format!("{}/", from.trim_end_matches('/')), format!("{to}/"));
        let values = self.environment.iter_mut().map(|(_, value)| value);
        for text in self.arguments.iter_mut().chain(values) {
            *text = text.replace(&from, &to);
        }
    }
}

/// The ConfigMap behind a volume; other volumes (an empty directory, say) are nothing that a process lacks.
fn config_map(pod: &PodSpec, volume: &str) -> Option<String> {
    let volume = pod
        .volumes
        .iter()
        .flatten()
        .find(|found| found.name == volume)?;
    volume.config_map.as_ref().map(|source| source.name.clone())
}

/// The Secrets that variables come from, by name and key. The kubelet reads them for a Pod; the program itself need not be
/// allowed to.
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

/// `None` for a variable that may be absent, and is.
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
                "{name} asks for the key {} of the Secret {}, which is not there",
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
        .with_context(|| format!("{name} is neither a value, nor a field, nor of a Secret"))?;
    let value = fields
        .get(path)
        .with_context(|| format!("{name} asks for {path}, which a process has not"))?;
    Ok(Some((name, (*value).to_owned())))
}

/// As Kubernetes does it: `$(NAME)` is the variable's value, and stays as it is if there is none.
fn fill_in(argument: &str, environment: &[(String, String)]) -> String {
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
    fn a_deployment_is_read_as_kubernetes_would_start_it() -> Result<()> {
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
        let mut rendered = Rendered::from_deployment(&deployment, &secrets)?;
        assert_eq!(
            rendered.mounts,
            [("/etc/controller".to_owned(), "settings".to_owned())]
        );
        rendered.move_files("/etc/controller", "/run/files");
        assert_eq!(
            rendered.arguments,
            [
                "--namespace=tenant-system",
                "--config=/run/files/config.yaml",
                "--log-format=json",
                "--title=$(NOWHERE)"
            ]
        );
        assert_eq!(
            rendered.environment,
            [
                ("POD_NAMESPACE".into(), "tenant-system".into()),
                ("RUST_LOG".into(), "info".into()),
                ("TOKEN".into(), "t-1".into())
            ]
        );
        assert_eq!(rendered.service_account, "robot");
        assert!(
            Rendered::from_deployment(&deployment, &Secrets::default()).is_err(),
            "a Pod without its Secret does not start"
        );
        Ok(())
    }
}
