{{/* Names. One release a namespace: the ConfigMap ocr-profiles exists once there. So they do not hold the release's. */}}
{{- define "ocr.fullname" -}}
{{ .Values.fullnameOverride | default "ocr-sidecar" | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "ocr.controllerName" -}}
{{ .Values.controller.fullnameOverride | default "ocr-controller" | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* What a selector looks at. It never changes: a Deployment's selector is immutable. Argument: (list . name) */}}
{{- define "ocr.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- end }}

{{/* The labels of an object: the chart's, then more, then commonLabels; the former win. Argument: (list . name [more]) */}}
{{- define "ocr.labels" -}}
{{- $root := index . 0 -}}
{{- $labels := include "ocr.podLabels" . | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/version" $root.Chart.AppVersion -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{ toYaml $labels }}
{{- end }}

{{/* Likewise, of the pods of a Deployment: without the versions, since each label that changes replaces all pods. */}}
{{- define "ocr.podLabels" -}}
{{- $root := index . 0 -}}
{{- $labels := include "ocr.selectorLabels" . | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "ocr-sidecar" -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{ toYaml (merge $labels (index (append . dict) 2) $root.Values.commonLabels) }}
{{- end }}

{{/* metadata of an object of the namespace.
     Argument: (list . name-of-the-object name-label [(dict "labels" more "annotations" more)]) */}}
{{- define "ocr.metadata" -}}
{{- $root := index . 0 -}}
{{- $more := index (append . dict) 3 -}}
{{- $annotations := merge (dict) ($more.annotations | default dict) $root.Values.commonAnnotations -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "ocr.labels" (list $root (index . 2) ($more.labels | default dict)) | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Likewise, of an object that is in no namespace. */}}
{{- define "ocr.clusterMetadata" -}}
{{ regexReplaceAll "(?m)^namespace: .*\n" (include "ocr.metadata" .) "" }}
{{- end }}

{{/* Its name: objects of the whole cluster need one of their own for each release. Argument: (list . name) */}}
{{- define "ocr.clusterName" -}}
{{ printf "%s-%s" (index . 0).Release.Namespace (index . 1) | trimPrefix "-" }}
{{- end }}

{{/* A port's peers as one rule, or nothing: in Kubernetes an empty list means everybody.
     Argument: (list "from"|"to" peers ports), a port being a number. */}}
{{- define "ocr.rule" -}}
{{- $direction := index . 0 -}}
{{- $ports := index . 2 -}}
{{- with index . 1 -}}
- {{ $direction }}:
    {{- toYaml . | nindent 4 }}
  ports:
    {{- range $ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}
{{- end }}

{{/* What serves the model outside this pod: URLs, and the values of its policy. Empty: nothing. */}}
{{- define "ocr.modelOutside" -}}
{{- $pods := "the pods that serve the model" -}}
{{- if .Values.modelServer.urls -}}
{{ dict "urls" .Values.modelServer.urls "policy" .Values.networkPolicy.modelServer "names" "modelServer" "value" "modelServer.urls" "pods" $pods | toYaml }}
{{- else if and .Values.ollama.url (not .Values.ollama.inPod.enabled) -}}
{{ dict "urls" (list .Values.ollama.url) "policy" .Values.networkPolicy.ollama "names" "ollama" "value" "ollama.url" "pods" $pods | toYaml }}
{{- end -}}
{{- end }}

{{/* OLLAMA_API_URL, or nothing. */}}
{{- define "ocr.ollamaUrl" -}}
{{- if .Values.ollama.inPod.enabled }}http://127.0.0.1:11434{{ else }}{{ .Values.ollama.url }}{{ end }}
{{- end }}

{{/* A rule for each server. Argument: what "ocr.modelOutside" and its like give. Servers that are given as peers share
     one. */}}
{{- define "ocr.serverRules" -}}
{{- $ports := list -}}
{{- range .urls }}{{ $ports = append $ports (include "ocr.portOf" (list . $.policy.port)) }}{{ end -}}
{{- if .policy.to -}}
- to:
    {{- toYaml .policy.to | nindent 4 }}
  ports:
    {{- range uniq $ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- else -}}
{{- range $at, $url := .urls }}
- to:
    {{- include "ocr.addressOf" (list $url $) | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ index $ports $at }}}
{{- end }}
{{- end }}
{{- end }}

{{/* The port that a policy sees: after the Service's translation, so it may differ from the URL's. Argument: (list url port) */}}
{{- define "ocr.portOf" -}}
{{- $url := index . 0 -}}
{{- $parsed := urlParse $url -}}
{{- $said := regexFind ":[0-9]+$" $parsed.host | trimPrefix ":" -}}
{{- index . 1 | default $said | default (get (dict "https" "443" "http" "80") $parsed.scheme) | default "4222" -}}
{{- end }}

{{/* The address in a URL, as a peer. Argument: (list url what "ocr.modelOutside" and its like give) */}}
{{- define "ocr.addressOf" -}}
{{- $host := regexReplaceAll ":[0-9]+$" (urlParse (index . 0)).host "" -}}
{{- $outside := index . 1 -}}
{{- if regexMatch "^[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+$" $host -}}
- ipBlock:
    cidr: {{ $host }}/32
{{- else if regexMatch "^\\[[0-9a-fA-F:.]+\\]$" $host -}}
- ipBlock:
    cidr: {{ $host | trimPrefix "[" | trimSuffix "]" }}/128
{{- else -}}
{{ fail (printf "networkPolicy.%s.to is empty, and %s names %s: a policy knows no names. List the peers, such as %s" $outside.names $outside.value $host $outside.pods) }}
{{- end -}}
{{- end }}

{{/* A direction's rules; without any, nothing: policyTypes shuts it. An empty list the API server stores as none, so that
     everyone who applies it again, as Argo CD and Flux do, would write it anew. Argument: (list "ingress"|"egress" rules) */}}
{{- define "ocr.rules" -}}
{{- with trim (index . 1) -}}
{{ index $ 0 }}:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{/* An egress rule for DNS, at the peers of networkPolicy.dns. */}}
{{- define "ocr.dnsRule" -}}
{{- with .Values.networkPolicy.dns.to -}}
- to:
    {{- toYaml . | nindent 4 }}
  ports:
    - {protocol: UDP, port: {{ $.Values.networkPolicy.dns.port }}}
    - {protocol: TCP, port: {{ $.Values.networkPolicy.dns.port }}}
{{- end }}
{{- end }}

{{/* A scalar as text. YAML's numbers come as floats, and 52428800 would turn into 5.24288e+07. */}}
{{- define "ocr.scalar" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* A map of settings as environment variables, sorted by name. */}}
{{- define "ocr.settings" -}}
{{- range $name, $value := . -}}
- name: {{ $name }}
  value: {{ include "ocr.scalar" $value | quote }}
{{ end }}
{{- end }}

{{/* An image. Argument: (list . image) */}}
{{- define "ocr.image" -}}
{{- $image := index . 1 -}}
{{- if $image.digest }}
image: {{ printf "%s@%s" $image.repository $image.digest | quote }}
{{- else }}
image: {{ printf "%s:%s" $image.repository ($image.tag | default (index . 0).Chart.AppVersion) | quote }}
{{- end }}
imagePullPolicy: {{ $image.pullPolicy }}
{{- end }}

{{/* securityContext of a pod. Argument: (list . supplemental-groups) */}}
{{- define "ocr.podSecurity" -}}
{{- $context := (index . 0).Values.podSecurityContext -}}
{{- with index . 1 }}{{ $context = merge (dict "supplementalGroups" .) $context }}{{ end -}}
{{ toYaml $context }}
{{- end }}

{{/* securityContext of a container. */}}
{{- define "ocr.containerSecurity" -}}
{{ toYaml .Values.containerSecurityContext }}
{{- end }}

{{/* Names of the service accounts. */}}
{{- define "ocr.sidecarAccount" -}}
{{ .Values.sidecar.serviceAccount.name | default (include "ocr.fullname" .) }}
{{- end }}
{{- define "ocr.controllerAccount" -}}
{{ .Values.controller.serviceAccount.name | default (include "ocr.controllerName" .) }}
{{- end }}

{{/* Where a pod may run, from the values of sidecar or controller. */}}
{{- define "ocr.scheduling" -}}
{{- $said := dict -}}
{{- range $name := list "priorityClassName" "tolerations" "affinity" -}}
{{- with get $ $name }}{{ $_ := set $said $name . }}{{ end -}}
{{- end -}}
{{- with $said }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* Labels of nodes that the sidecars need. */}}
{{- define "ocr.nodeSelector" -}}
{{- $labels := merge (dict) .Values.sidecar.nodeSelector (ternary .Values.gpu.nodeSelector (dict) .Values.gpu.enabled) -}}
{{- with $labels -}}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* How pods are replaced: as said; else the old one goes first where a new one would wait for what it has, for ever. */}}
{{- define "ocr.strategy" -}}
{{- $shared := list -}}
{{- if .Values.retrieval.enabled }}{{ $shared = append $shared .Values.retrieval.storage }}{{ end -}}
{{- if .Values.ollama.inPod.enabled }}{{ $shared = append $shared .Values.ollama.inPod.storage }}{{ end -}}
{{- $alone := or .Values.gpu.enabled (eq .Values.jobs.url "embedded") -}}
{{- range $shared }}{{ if not (has "ReadWriteMany" .accessModes) }}{{ $alone = true }}{{ end }}{{ end -}}
{{- if .Values.sidecar.strategy -}}
{{ toYaml .Values.sidecar.strategy }}
{{- else -}}
type: RollingUpdate
rollingUpdate:
  {{- ternary "maxUnavailable: 1\nmaxSurge: 0" "maxUnavailable: 0\nmaxSurge: 1" $alone | nindent 2 }}
{{- end }}
{{- end }}

{{/* Names of the volumes' claims. */}}
{{- define "ocr.modelsClaim" -}}
{{ .Values.retrieval.storage.existingClaim | default (printf "%s-models" (include "ocr.fullname" .)) }}
{{- end }}
{{- define "ocr.ollamaClaim" -}}
{{ .Values.ollama.inPod.storage.existingClaim | default (printf "%s-ollama" (include "ocr.fullname" .)) }}
{{- end }}

{{/* Whether the loader has something to bring, for each kind of model. */}}
{{- define "ocr.loadsWeights" -}}
{{- if and .Values.modelLoader.enabled .Values.retrieval.enabled (or .Values.retrieval.embedModel .Values.retrieval.rerankModel) }}true{{ end }}
{{- end }}
{{- define "ocr.loadsOllama" -}}
{{- if and .Values.modelLoader.enabled .Values.ollama.inPod.enabled (or .Values.ollama.inPod.pull .Values.ollama.inPod.modelfile) }}true{{ end }}
{{- end }}

{{/* Models of embedding and reranking, for the sidecar and the loader. */}}
{{- define "ocr.retrievalEnv" -}}
- name: BGE_M3_MODEL
  value: {{ ternary .Values.retrieval.embedModel "" .Values.retrieval.enabled | quote }}
- name: RERANKER_MODEL
  value: {{ ternary .Values.retrieval.rerankModel "" .Values.retrieval.enabled | quote }}
{{- end }}

{{/* Where Ollama keeps what it writes: the models on their volume, all else in /tmp. */}}
{{- define "ocr.ollamaEnv" -}}
# The image's default is 0.0.0.0; only this pod may reach it.
- name: OLLAMA_HOST
  value: 127.0.0.1:11434
- name: OLLAMA_MODELS
  value: /ollama/models
- name: HOME
  value: /tmp
# A server that starts would remove the unfinished downloads of another one, here or in the loader.
- name: OLLAMA_NOPRUNE
  value: "1"
{{- end }}
