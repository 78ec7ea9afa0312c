{{/* Jobs over NATS JetStream: what the sidecars are told, what they mount and whom they may reach. */}}

{{/* Whether the jobs are kept outside the pods. */}}
{{- define "ocr.jobsElsewhere" -}}
{{- if and .Values.jobs.url (ne .Values.jobs.url "embedded") }}true{{ end }}
{{- end }}

{{/* The servers of NATS: URLs, and the values of their policy. Empty: there are none, or the only one is in the pod. */}}
{{- define "ocr.jobsOutside" -}}
{{- if include "ocr.jobsElsewhere" . -}}
{{ dict "urls" (splitList "," .Values.jobs.url) "policy" .Values.networkPolicy.jobs "names" "jobs" "value" "jobs.url" "pods" "the pods of NATS" | toYaml }}
{{- end -}}
{{- end }}

{{/* Likewise, those who are told that a job has ended. A host is https's, unless it says otherwise. */}}
{{- define "ocr.callbacksOutside" -}}
{{- $urls := list -}}
{{- if .Values.jobs.url -}}
{{- range .Values.jobs.callbacks.hosts }}{{ $urls = append $urls (ternary . (printf "https://%s" .) (contains "://" .)) }}{{ end -}}
{{- end -}}
{{- with $urls -}}
{{ dict "urls" . "policy" $.Values.networkPolicy.callbacks "names" "callbacks" "value" "jobs.callbacks.hosts" "pods" "the pods that take the callbacks, or a proxy" | toYaml }}
{{- end -}}
{{- end }}

{{/* How long documents and slices in work may continue after SIGTERM: the time of a slice, or longer. */}}
{{- define "ocr.shutdownSeconds" -}}
{{- max (int .Values.sidecar.shutdownSeconds) (ternary (int .Values.jobs.sliceSeconds) 0 (ne .Values.jobs.url "")) -}}
{{- end }}

{{/* Files of Secrets that the jobs need: the setting that names each, its folder's name, and its Secret. */}}
{{- define "ocr.jobsFiles" -}}
{{- range $file := list
    (dict "setting" "OCR_JOBS_CREDENTIALS_FILE" "name" "jobs-credentials" "file" "nats.creds" "secret" .Values.jobs.credentials)
    (dict "setting" "OCR_JOBS_CA_FILE" "name" "jobs-ca" "file" "ca.crt" "secret" .Values.jobs.ca)
    (dict "setting" "OCR_JOBS_CALLBACK_SECRET_FILE" "name" "jobs-callbacks" "file" "secret" "secret" .Values.jobs.callbacks) }}
{{- if $file.secret.existingSecret }}
- {{ toJson $file }}
{{- end }}
{{- end }}
{{- end }}

{{/* The sidecar's environment for jobs; nothing, where there are none. */}}
{{- define "ocr.jobsEnv" -}}
{{- $jobs := .Values.jobs -}}
{{- if $jobs.url -}}
- name: OCR_JOBS
  value: {{ $jobs.url | quote }}
{{- if eq $jobs.url "embedded" }}
# A folder below the volume, because it must belong to the service's user, and the volume belongs to root.
- name: OCR_JOBS_DIR
  value: /jobs/store
{{- end }}
- name: OCR_JOBS_TTL
  value: {{ $jobs.ttlSeconds | quote }}
- name: OCR_JOBS_REPLICAS
  value: {{ $jobs.replicas | quote }}
- name: OCR_JOBS_SLICE_PAGES
  value: {{ $jobs.slicePages | quote }}
- name: OCR_JOBS_SLICES
  value: {{ $jobs.slices | quote }}
- name: OCR_SYNC_OVER_JOBS
  value: {{ ternary "on" "off" $jobs.sync | quote }}
{{- with $jobs.callbacks.hosts }}
- name: OCR_JOBS_CALLBACK_HOSTS
  value: {{ join "," . | quote }}
{{- end }}
{{- range include "ocr.jobsFiles" . | fromYamlArray }}
- name: {{ .setting }}
  value: /etc/ocr-sidecar/{{ .name }}/{{ .file }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where the sidecar finds all that. */}}
{{- define "ocr.jobsMounts" -}}
{{- range include "ocr.jobsFiles" . | fromYamlArray }}
- {name: {{ .name }}, mountPath: /etc/ocr-sidecar/{{ .name }}, readOnly: true}
{{- end }}
{{- if eq .Values.jobs.url "embedded" }}
- {name: jobs, mountPath: /jobs}
{{- end }}
{{- end }}

{{/* The volumes of it. */}}
{{- define "ocr.jobsVolumes" -}}
{{- range include "ocr.jobsFiles" . | fromYamlArray }}
- name: {{ .name }}
  secret:
    secretName: {{ .secret.existingSecret }}
    defaultMode: 0440
    items:
      - {key: {{ .secret.secretKey | quote }}, path: {{ .file }}}
{{- end }}
{{- if eq .Values.jobs.url "embedded" }}
- name: jobs
  persistentVolumeClaim: {claimName: {{ include "ocr.jobsClaim" . }}}
{{- end }}
{{- end }}

{{- define "ocr.jobsClaim" -}}
{{ .Values.jobs.storage.existingClaim | default (printf "%s-jobs" (include "ocr.fullname" .)) }}
{{- end }}
