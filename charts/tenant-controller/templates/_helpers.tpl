{{- define "tenant-controller.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The release's name, unless it holds the chart's name already or another one is given. */}}
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

{{/* Names of cluster-wide objects carry the namespace: releases of one name in two namespaces do not collide. */}}
{{- define "tenant-controller.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "tenant-controller.fullname" .) -}}
{{- end -}}

{{- define "tenant-controller.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tenant-controller.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
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

{{/* The controller's configuration file: the settings given, and those that other values decide. */}}
{{- define "tenant-controller.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- $_ := set $config "http-listen" (printf "0.0.0.0:%v" .Values.service.port) -}}
{{- $_ := set $config "watch-namespaces" .Values.watchNamespaces -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Rules for what belongs to Tenants, in every namespace where there are Tenants. */}}
{{- define "tenant-controller.tenantRules" -}}
# Tenants are what is reconciled. patch: the finalizer that keeps a Tenant until its project is gone or retained.
- apiGroups: [dbpertenant.dev]
  resources: [tenants]
  verbs: [get, list, watch, patch]
# Status and spec are written by different parties; this is the controller's part.
- apiGroups: [dbpertenant.dev]
  resources: [tenants/status]
  verbs: [patch]
# The Secret's owner reference blocks the deletion of its Tenant; clusters that check such references
# (OwnerReferencesPermissionEnforcement) want this for it.
- apiGroups: [dbpertenant.dev]
  resources: [tenants/finalizers]
  verbs: [update]
# Connection Secrets are written by server-side apply (create, patch), read when a Tenant's own is checked (get), and
# watched to mend them. Lists and watches ask for metadata alone, so no foreign password reaches the controller; RBAC
# cannot say that, and cannot say "only those of Tenants" either: `watchNamespaces` narrows it to namespaces.
# No delete: Kubernetes removes a Secret together with the Tenant that owns it.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
# Events say beside the Tenant what was done. patch: a repeated one is counted, not written again.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
