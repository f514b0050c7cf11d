{{- define "chat-app.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The release name followed by the chart name, or the release name alone if it contains the chart name. */}}
{{- define "chat-app.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "chat-app.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Names of objects in the Tenants' namespace include the release's namespace, so that releases of the same name in two namespaces do not collide. */}}
{{- define "chat-app.tenantsName" -}}
{{- printf "%s:%s" .Release.Namespace (include "chat-app.fullname" .) -}}
{{- end -}}

{{- define "chat-app.serviceAccountName" -}}
{{- $account := .Values.serviceAccount | default dict -}}
{{- if dig "create" true $account -}}
{{- default (include "chat-app.fullname" .) $account.name -}}
{{- else -}}
{{- required "serviceAccount.name is required when serviceAccount.create is false: set it to the name of an existing ServiceAccount" $account.name -}}
{{- end -}}
{{- end -}}

{{- define "chat-app.selectorLabels" -}}
app.kubernetes.io/name: {{ include "chat-app.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "chat-app.labels" -}}
{{ include "chat-app.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
{{- end -}}

{{- define "chat-app.image" -}}
{{- $image := .Values.image | default dict -}}
{{- $repository := required "image.repository is required, because there is no published image: build one with the repository's Dockerfile (target chat-app), push it to your registry, and set image.repository to its name" $image.repository -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "chat-app.port" -}}
{{- dig "port" 8000 (.Values.service | default dict) -}}
{{- end -}}

{{- define "chat-app.operationsPort" -}}
{{- dig "operationsPort" 8081 (.Values.service | default dict) -}}
{{- end -}}

{{- define "chat-app.tenantsNamespace" -}}
{{- default "chat-tenants" .Values.tenantsNamespace -}}
{{- end -}}

{{/* The app's settings file: `config`, and the settings that other values determine. */}}
{{- define "chat-app.config" -}}
{{- $config := deepCopy (.Values.config | default dict) -}}
{{- $_ := set $config "http-listen" (printf "0.0.0.0:%s" (include "chat-app.port" .)) -}}
{{- $_ := set $config "operations-listen" (printf "0.0.0.0:%s" (include "chat-app.operationsPort" .)) -}}
{{- $_ := set $config "public-url" (required "publicUrl is required: set it to the scheme, host and port that browsers use, such as https://chat.example.com" .Values.publicUrl) -}}
{{- $_ := set $config "tenants-namespace" (include "chat-app.tenantsNamespace" .) -}}
{{- if and (.Values.ingress | default dict).enabled (not (get $config "trusted-proxies")) -}}
{{- fail "config.trusted-proxies is required with ingress.enabled: set it to the networks of the ingress controller's Pods, such as 10.244.0.0/16, or to none if clients connect to the Pods with their own addresses. Without it, all clients that are not signed in share one rate limit" -}}
{{- end -}}
{{- $issuer := default "https://accounts.google.com" (get $config "oidc-issuer") | trimSuffix "/" -}}
{{- if and (not (get $config "sign-up")) (ne (get $config "auth-mode") "local") (eq $issuer "https://accounts.google.com") -}}
{{- $_ := set $config "sign-up" "invited" -}}
{{- end -}}
{{- if and (eq (toString (get $config "sign-up")) "invited") (not (get $config "first-owners")) -}}
{{- fail "config.first-owners is required: sign-up is by invitation, which is the default if the issuer is Google, so set it to the e-mail address of the first user, who can then invite others. Or set config.sign-up to open, which lets everyone create an account and a database, or to closed, if all users have an account already" -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* An environment variable from a Secret. */}}
{{- define "chat-app.fromSecret" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .name | quote }}
      key: {{ .key | quote }}
{{- end -}}

{{/* The environment of every container. Credentials come from Secrets and are not part of the settings file. */}}
{{- define "chat-app.environment" -}}
{{- $secrets := .Values.secrets | default dict -}}
{{- $database := $secrets.database | default dict -}}
{{ include "chat-app.fromSecret" (dict "variable" "CHAT_APP_DATABASE_URL" "name" (required "secrets.database.name is required: set it to the name of a Secret with the URI of the app's PostgreSQL database" $database.name) "key" ($database.key | default "uri")) }}
{{- with $secrets.oidc }}{{ if .name }}
{{ include "chat-app.fromSecret" (dict "variable" "CHAT_APP_OIDC_CLIENT_SECRET" "name" .name "key" (.key | default "client-secret")) }}
{{- end }}{{ end }}
{{- with $secrets.models }}{{ if .name }}
{{ include "chat-app.fromSecret" (dict "variable" "CHAT_APP_OPENAI_API_KEY" "name" .name "key" (.key | default "api-key")) }}
{{- end }}{{ end }}
{{- with $secrets.redis }}{{ if .name }}
{{ include "chat-app.fromSecret" (dict "variable" "CHAT_APP_REDIS_URL" "name" .name "key" (.key | default "url")) }}
{{- end }}{{ end }}
{{- with $secrets.objects }}{{ if .name }}
{{ include "chat-app.fromSecret" (dict "variable" "AWS_ACCESS_KEY_ID" "name" .name "key" (.accessKeyIdKey | default "access-key-id")) }}
{{ include "chat-app.fromSecret" (dict "variable" "AWS_SECRET_ACCESS_KEY" "name" .name "key" (.secretAccessKeyKey | default "secret-access-key")) }}
{{- end }}{{ end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A Deployment. `component` is web or worker; `arguments` are the arguments of the program. */}}
{{- define "chat-app.deployment" -}}
{{- $root := .root -}}
{{- $selector := include "chat-app.selectorLabels" $root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name | quote }}
  namespace: {{ $root.Release.Namespace | quote }}
  labels:
    {{- include "chat-app.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  replicas: {{ if kindIs "invalid" .replicas }}{{ .defaultReplicas }}{{ else }}{{ .replicas }}{{ end }}
  selector:
    matchLabels:
      {{- $selector | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
  template:
    metadata:
      labels:
        {{- include "chat-app.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
        {{- with $root.Values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        # The app reads its settings at startup only, so a changed file must replace the Pods.
        checksum/config: {{ include "chat-app.config" $root | sha256sum }}
        {{- with $root.Values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "chat-app.serviceAccountName" $root | quote }}
      automountServiceAccountToken: true
      # The variables that Kubernetes injects for Services could be mistaken for settings.
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ $root.Values.terminationGracePeriodSeconds | default 45 }}
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      {{- with $root.Values.podSecurityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      initContainers:
        # Migrates the main database. A lock ensures that Pods that start together migrate it once.
        - name: migrate
          image: {{ include "chat-app.image" $root | quote }}
          imagePullPolicy: {{ dig "pullPolicy" "IfNotPresent" ($root.Values.image | default dict) | quote }}
          args: [migrate, --config=/etc/chat-app/config.yaml]
          env:
            {{- include "chat-app.environment" $root | nindent 12 }}
          resources:
            requests: { cpu: 50m, memory: 64Mi }
            limits: { memory: 256Mi }
          {{- with $root.Values.securityContext }}
          securityContext:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          volumeMounts:
            - name: config
              mountPath: /etc/chat-app
              readOnly: true
            {{- with $root.Values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      containers:
        - name: chat-app
          image: {{ include "chat-app.image" $root | quote }}
          imagePullPolicy: {{ dig "pullPolicy" "IfNotPresent" ($root.Values.image | default dict) | quote }}
          args:
            {{- toYaml .arguments | nindent 12 }}
          env:
            {{- include "chat-app.environment" $root | nindent 12 }}
          ports:
            {{- if eq .component "web" }}
            - name: http
              containerPort: {{ include "chat-app.port" $root }}
              protocol: TCP
            {{- end }}
            - name: operations
              containerPort: {{ include "chat-app.operationsPort" $root }}
              protocol: TCP
          livenessProbe:
            httpGet:
              path: /livez
              port: operations
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet:
              path: /readyz
              port: operations
            periodSeconds: 5
            timeoutSeconds: 5
          {{- with .resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with $root.Values.securityContext }}
          securityContext:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          volumeMounts:
            - name: config
              mountPath: /etc/chat-app
              readOnly: true
            {{- with $root.Values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
            # Files from the bucket while they are being read.
            - name: tmp
              mountPath: /tmp
      volumes:
        - name: config
          configMap:
            name: {{ include "chat-app.fullname" $root | quote }}
        - name: tmp
          emptyDir:
            sizeLimit: 1Gi
        {{- with $root.Values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $root.Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if $root.Values.topologySpreadConstraints }}
      topologySpreadConstraints:
        {{- toYaml $root.Values.topologySpreadConstraints | nindent 8 }}
      {{- else if gt (int .replicas) 1 }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- $selector | nindent 14 }}
              app.kubernetes.io/component: {{ .component }}
      {{- end }}
{{- end -}}
