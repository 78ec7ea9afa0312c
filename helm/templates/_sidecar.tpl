{{/* The sidecar's environment: what follows from values, then sidecar.settings, then sidecar.extraEnv. */}}
{{- define "ocr.sidecarEnv" -}}
{{- $sidecar := .Values.sidecar -}}
- name: OCR_HOST
  value: {{ .Values.listenAddress | quote }}
- name: OCR_AUTH_MODE
  value: {{ .Values.auth.mode }}
{{- if eq .Values.auth.mode "api-key" }}
- name: OCR_SIDECAR_API_KEY_FILE
  value: /etc/ocr-sidecar/api-keys/keys
{{- end }}
- name: OCR_PROFILE_DIR
  value: /etc/ocr-sidecar/profiles
# A folder below the volume, because it must belong to the service's user, and the volume belongs to root.
- name: OCR_SPOOL_DIR
  value: /spool/documents
- name: OCR_MAX_SPOOL_BYTES
  value: {{ mul $sidecar.spoolMiB 1048576 | quote }}
- name: OCR_STATE_DIR
  value: /state/ocr-sidecar
- name: OCR_SHUTDOWN_SECONDS
  value: {{ include "ocr.shutdownSeconds" . | quote }}
- name: OCR_LOG_LEVEL
  value: {{ $sidecar.logLevel }}
- name: OCR_WORKER_MEMORY_MB
  value: {{ $sidecar.workerMemoryMiB | quote }}
# The process would count all cores of the node; the limit is what it may use.
- name: OCR_WORKERS
  {{- if $sidecar.workers }}
  value: {{ $sidecar.workers | quote }}
  {{- else }}
  valueFrom:
    resourceFieldRef: {containerName: sidecar, resource: limits.cpu, divisor: "1"}
  {{- end }}
{{- if .Values.modelServer.urls }}
- name: OCR_MODEL_API
  value: openai
- name: OCR_MODEL_URL
  value: {{ join "," .Values.modelServer.urls | quote }}
{{- with .Values.modelServer.kind }}
- name: OCR_MODEL_SERVER
  value: {{ . | quote }}
{{- end }}
{{- if .Values.modelServer.existingSecret }}
- name: OCR_MODEL_KEY_FILE
  value: /etc/ocr-sidecar/model-key/key
{{- end }}
{{- else }}
{{- with include "ocr.ollamaUrl" . }}
- name: OLLAMA_API_URL
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- if or .Values.modelServer.urls (include "ocr.ollamaUrl" .) }}
- name: OCR_PARALLEL_PAGES
  value: {{ .Values.ollama.parallelPages | quote }}
{{- end }}
- name: OCR_MODEL
  value: {{ .Values.ollama.model | quote }}
{{ include "ocr.retrievalEnv" . }}
{{- if .Values.retrieval.enabled }}
- name: RETRIEVAL_THREADS
  valueFrom:
    resourceFieldRef: {containerName: sidecar, resource: limits.cpu, divisor: "1"}
- name: HF_HOME
  value: /models/huggingface
# The policy allows no egress: without this each search for a model waits for the hub.
- name: HF_HUB_OFFLINE
  value: "1"
{{- end }}
{{- with include "ocr.jobsEnv" . }}
{{ . }}
{{- end }}
{{- if $sidecar.uploads.existingClaim }}
- name: OCR_SIDECAR_UPLOAD_BASE
  value: {{ $sidecar.uploads.mountPath | quote }}
{{- end }}
{{- if .Values.gpu.enabled }}
{{- if eq .Values.gpu.sidecar "visible-devices" }}
- name: NVIDIA_VISIBLE_DEVICES
  value: {{ .Values.gpu.visibleDevices | quote }}
- name: NVIDIA_DRIVER_CAPABILITIES
  value: compute,utility
{{- else if eq .Values.gpu.sidecar "none" }}
- name: NVIDIA_VISIBLE_DEVICES
  value: void
{{- end }}
{{- end }}
{{- with include "ocr.settings" $sidecar.settings }}
{{ trim . }}
{{- end }}
{{- with $sidecar.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The sidecar's resources. It requests the disk that documents may take, so that no node is chosen that lacks it. */}}
{{- define "ocr.sidecarResources" -}}
{{- $disk := dict "requests" (dict "ephemeral-storage" (printf "%dMi" (add .Values.sidecar.spoolMiB 256))) -}}
{{ toYaml (merge (deepCopy .Values.sidecar.resources) $disk) }}
{{- end }}

{{/* Whether the pod's containers share the GPU of a claim. */}}
{{- define "ocr.claimsGpu" -}}
{{- if and .Values.gpu.enabled (eq .Values.gpu.sidecar "claim") }}true{{ end }}
{{- end }}

{{/* A container's resources, with the GPU where it asks for one. Argument: (list . resources asks) */}}
{{- define "ocr.gpuResources" -}}
{{- $root := index . 0 -}}
{{- $resources := deepCopy (index . 1) -}}
{{- if include "ocr.claimsGpu" $root -}}
{{- $resources = merge $resources (dict "claims" (list (dict "name" "gpu"))) -}}
{{- else if and $root.Values.gpu.enabled (index . 2) -}}
{{- $resources = merge $resources (dict "limits" (dict $root.Values.gpu.resource ($root.Values.gpu.count | int))) -}}
{{- end -}}
{{ toYaml $resources }}
{{- end }}

{{/* Ollama beside the sidecar. It listens on the pod's loopback alone, so that the kubelet asks with its own client. */}}
{{- define "ocr.ollamaContainer" -}}
{{- $ollama := .Values.ollama.inPod -}}
- name: ollama
  {{- include "ocr.image" (list . $ollama.image) | nindent 2 }}
  args: [serve]
  restartPolicy: Always
  env:
    {{- include "ocr.ollamaEnv" . | nindent 4 }}
    - name: OLLAMA_NUM_PARALLEL
      value: {{ .Values.ollama.parallelPages | quote }}
    {{- with include "ocr.settings" $ollama.settings }}
    {{- trim . | nindent 4 }}
    {{- end }}
  livenessProbe:
    exec: {command: [ollama, ps]}
    initialDelaySeconds: 30
    periodSeconds: 30
    timeoutSeconds: 10
    failureThreshold: 4
  resources:
    {{- include "ocr.gpuResources" (list . $ollama.resources true) | nindent 4 }}
  securityContext:
    {{- include "ocr.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: ollama, mountPath: /ollama}
    - {name: ollama-tmp, mountPath: /tmp}
{{- end }}
