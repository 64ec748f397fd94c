{{- define "vitrine.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "vitrine.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "vitrine.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- /* Takes the context and the name of the part. */}}
{{- define "vitrine.selector" -}}
app.kubernetes.io/name: {{ .context.Chart.Name }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* The variables of a node and of the Job. They are not in a ConfigMap, so that a change restarts nodes. */}}
{{- define "vitrine.environment" -}}
- name: VITRINE_BLOBS
  value: {{ .Values.blobs | quote }}
- name: VITRINE_PUBLIC_URL
  value: {{ .Values.publicURL | quote }}
- name: VITRINE_TRUST_PROXY
  value: {{ .Values.trustProxy | quote }}
- name: VITRINE_DRAIN_SECONDS
  value: {{ .Values.drainSeconds | quote }}
- name: VITRINE_RENDER_CONCURRENCY
  value: {{ .Values.renderConcurrency | quote }}
- name: VITRINE_CACHE_BYTES
  value: {{ .Values.cache.renditions | quote }}
- name: VITRINE_BLOB_CACHE_BYTES
  value: {{ .Values.cache.files | quote }}
{{- range $name, $value := .Values.config }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "vitrine.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "vitrine.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Takes the context and the name of the part. */}}
{{- define "vitrine.spread" -}}
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "vitrine.selector" $ | nindent 6 }}
{{- end }}
{{- end }}

{{- define "vitrine.maxReplicas" -}}
{{- if .Values.autoscaling.enabled }}{{ .Values.autoscaling.maxReplicas }}{{ else }}{{ .Values.replicas }}{{ end }}
{{- end }}

{{- /* A line for each node that may exist. Its number gives its place on the ring, on every router. */}}
{{- define "vitrine.routerServers" -}}
{{- $name := include "vitrine.name" . }}
{{- range $index := until (include "vitrine.maxReplicas" . | int) }}
    server node{{ add1 $index }} {{ $name }}-{{ $index }}.{{ $name }}-nodes.{{ $.Release.Namespace }}.svc.{{ $.Values.clusterDomain }}:4100 id {{ add1 $index }}
{{- end }}
{{- end }}

{{- /* ops/haproxy/haproxy.cfg with the nodes of this release, whose addresses DNS has. */}}
{{- define "vitrine.routerConfig" -}}
{{- $text := .Files.Get "files/haproxy.cfg" }}
{{- $servers := include "vitrine.routerServers" . | trimPrefix "\n" }}
{{- $text = regexReplaceAll "(?m)^ +server node[2-9] .*\\n" $text "" }}
{{- $text = regexReplaceAll "(?m)^ +server node1 .*$" $text $servers }}
{{- $text = regexReplaceAll "(?m)^( +default-server .*)$" $text "${1} resolvers cluster init-addr last,libc,none" }}
{{- $text = regexReplaceAll "bind 127\\.0\\.0\\.1:8405" $text "bind :8405" }}
{{- if .Values.router.trustForwardedFor }}
{{- $text = regexReplaceAll "(?m)^ +http-request del-header X-Forwarded-For\\n +option forwardfor\\n" $text "    option forwardfor if-none\n" }}
{{- end }}
{{- $text }}
resolvers cluster
    parse-resolv-conf
    accepted_payload_size 8192
    hold valid 2s
    hold nx 2s
    hold obsolete 2s

# For the probes of Kubernetes.
frontend probes
    bind :8404
    http-request return status 200 content-type text/plain string ok
{{- end }}
