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
{{- $account := .Values.serviceAccount | default dict -}}
{{- if dig "create" true $account -}}
{{- default (include "tenant-controller.fullname" .) $account.name -}}
{{- else -}}
{{- required "serviceAccount.name is required when serviceAccount.create is false: set it to the name of an existing ServiceAccount" $account.name -}}
{{- end -}}
{{- end -}}

{{- define "tenant-controller.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tenant-controller.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "tenant-controller.labels" -}}
{{ include "tenant-controller.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
{{- end -}}

{{- define "tenant-controller.image" -}}
{{- $image := .Values.image | default dict -}}
{{- $repository := required "image.repository is required, because there is no published image: build one with the repository's Dockerfile (target tenant-controller), push it to your registry, and set image.repository to its name" $image.repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "tenant-controller.port" -}}
{{- dig "port" 8080 (.Values.service | default dict) -}}
{{- end -}}

{{- define "tenant-controller.leaseName" -}}
{{- get (.Values.config | default dict) "lease-name" | default "tenant-controller" -}}
{{- end -}}

{{- define "tenant-controller.controllerName" -}}
{{- default "dbpertenant.dev/tenant-controller" .Values.controllerName -}}
{{- end -}}

{{/* The controller's settings file: `config`, and the settings that other values determine. */}}
{{- define "tenant-controller.config" -}}
{{- $config := deepCopy (.Values.config | default dict) -}}
{{- $_ := set $config "http-listen" (printf "0.0.0.0:%s" (include "tenant-controller.port" .)) -}}
{{- $_ := set $config "watch-namespaces" (.Values.watchNamespaces | default list) -}}
{{- $_ := set $config "controller-name" (include "tenant-controller.controllerName" .) -}}
{{- toYaml $config -}}
{{- end -}}

{{/*
Fails if another installation with the same controller name holds its Lease. The controller refuses to start then as well.
A Lease that has not been renewed for five minutes is left over from an installation that was removed.
*/}}
{{- define "tenant-controller.ensureAlone" -}}
{{- $name := include "tenant-controller.controllerName" . -}}
{{- $leases := lookup "coordination.k8s.io/v1" "Lease" "" "" | default dict -}}
{{- range $lease := $leases.items | default list -}}
{{- $meta := $lease.metadata -}}
{{- $ours := eq (dig "labels" "app.kubernetes.io/managed-by" "" $meta) "tenant-controller" -}}
{{- $same := eq (dig "annotations" "dbpertenant.dev/controller-name" "" $meta) $name -}}
{{- $holder := dig "spec" "holderIdentity" "" $lease -}}
{{- $renewed := dig "spec" "renewTime" "" $lease -}}
{{- if and $ours $same $holder $renewed (ne $meta.namespace $.Release.Namespace) -}}
{{- $age := sub (now | unixEpoch | int64) (toDate "2006-01-02T15:04:05Z07:00" $renewed | unixEpoch | int64) -}}
{{- if lt $age 300 -}}
{{- fail (printf "another installation with the controllerName %s is running in namespace %s: uninstall it, or set controllerName of this one to another name and create its own TenantClasses with that name as spec.controllerName" $name $meta.namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
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
