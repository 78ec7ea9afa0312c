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

{{/* The labels of an object. Argument: (list . name) */}}
{{- define "ocr.labels" -}}
{{- $root := index . 0 -}}
{{ include "ocr.selectorLabels" . }}
app.kubernetes.io/part-of: ocr-sidecar
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata of an object. Argument: (list . name-of-the-object name-label [annotations]) */}}
{{- define "ocr.metadata" -}}
{{- $root := index . 0 -}}
{{- $annotations := merge (dict) (ternary (index . (sub (len .) 1)) (dict) (gt (len .) 3)) $root.Values.commonAnnotations -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "ocr.labels" (list $root (index . 2)) | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Whether Ollama is called outside this pod, which is when the sidecar has to reach anything at all. */}}
{{- define "ocr.ollamaOutside" -}}
{{- if and .Values.ollama.url (not .Values.ollama.inPod.enabled) }}true{{ end }}
{{- end }}

{{/* OLLAMA_API_URL, or nothing. */}}
{{- define "ocr.ollamaUrl" -}}
{{- if .Values.ollama.inPod.enabled }}http://127.0.0.1:11434{{ else }}{{ .Values.ollama.url }}{{ end }}
{{- end }}

{{/* The port that a policy sees: after the Service's translation, so it may differ from the URL's. */}}
{{- define "ocr.ollamaPort" -}}
{{- $host := (urlParse .Values.ollama.url).host -}}
{{- $said := regexFind ":[0-9]+$" $host | trimPrefix ":" -}}
{{- .Values.networkPolicy.ollama.port | default $said | default (ternary "443" "80" (hasPrefix "https:" .Values.ollama.url)) -}}
{{- end }}

{{/* Who Ollama is, for a policy: as given, or the address in the URL. */}}
{{- define "ocr.ollamaPeers" -}}
{{- $host := regexReplaceAll ":[0-9]+$" (urlParse .Values.ollama.url).host "" -}}
{{- if .Values.networkPolicy.ollama.to -}}
{{ toYaml .Values.networkPolicy.ollama.to }}
{{- else if regexMatch "^[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+$" $host -}}
- ipBlock:
    cidr: {{ $host }}/32
{{- else -}}
{{ fail (printf "networkPolicy.ollama.to is empty, and ollama.url names %s: a policy knows no names. List the peers, such as the pods that Ollama runs in" $host) }}
{{- end -}}
{{- end }}

{{/* An egress rule for DNS, at the peers of networkPolicy.dns. */}}
{{- define "ocr.dnsRule" -}}
- to:
    {{- toYaml .Values.networkPolicy.dns.to | nindent 4 }}
  ports:
    - {protocol: UDP, port: {{ .Values.networkPolicy.dns.port }}}
    - {protocol: TCP, port: {{ .Values.networkPolicy.dns.port }}}
{{- end }}
