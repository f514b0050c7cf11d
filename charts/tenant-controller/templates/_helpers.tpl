{{- define "tenant-controller.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The release name followed by the chart name, or the release name alone if it contains the chart name. */}}
{{- define "tenant-controller.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "tenant-controller.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Names of cluster-scoped objects include the namespace, so that releases of the same name in two namespaces do not collide. */}}
{{- define "tenant-controller.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "tenant-controller.fullname" .) -}}
{{- end -}}

{{- define "tenant-controller.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tenant-controller.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is required when serviceAccount.create is false: set it to the name of an existing ServiceAccount" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tenant-controller.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tenant-controller.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tenant-controller.labels" -}}
{{ include "tenant-controller.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "tenant-controller.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "tenant-controller.leaseName" -}}
{{- get .Values.config "lease-name" | default "tenant-controller" -}}
{{- end -}}

{{/* The controller's settings file: `config`, and the settings that other values determine. */}}
{{- define "tenant-controller.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "http-listen" (printf "0.0.0.0:%v" .Values.service.port) -}}
{{- $_ := set $config "watch-namespaces" .Values.watchNamespaces -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Permissions in every namespace that may contain Tenants. */}}
{{- define "tenant-controller.tenantRules" -}}
# The Tenants to reconcile. patch: the finalizer, which keeps a Tenant until its project has been deleted or retained.
- apiGroups: [dbpertenant.dev]
  resources: [tenants]
  verbs: [get, list, watch, patch]
# Users write the spec; the controller writes the status.
- apiGroups: [dbpertenant.dev]
  resources: [tenants/status]
  verbs: [patch]
# The Secret has an owner reference with blockOwnerDeletion. The admission plugin OwnerReferencesPermissionEnforcement
# requires this permission for it.
- apiGroups: [dbpertenant.dev]
  resources: [tenants/finalizers]
  verbs: [update]
# Connection Secrets. create, patch: server-side apply. get: to check the Secret of a Tenant. list, watch: to restore a
# Secret that was changed or deleted. Lists and watches request metadata only, so the controller does not receive the
# passwords of other Secrets. RBAC can express neither "metadata only" nor "only the Secrets of Tenants"; `watchNamespaces`
# limits the permission to namespaces. delete is not needed: Kubernetes deletes a Secret with the Tenant that owns it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
# Events report what the controller did. patch: a repeated event increases a count instead of creating another event.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
