{{/* The pod of the model loader: one container for each kind of model. It runs where a sidecar runs, since a volume may
     belong to one node. */}}
{{- define "ocr.loaderPod" -}}
restartPolicy: OnFailure
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "ocr.podSecurity" (list . list) | nindent 2 }}
{{- with include "ocr.nodeSelector" . }}
{{ . }}
{{- end }}
{{- with include "ocr.scheduling" (omit .Values.sidecar "affinity") }}
{{ . }}
{{- end }}
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "ocr.selectorLabels" (list . "ocr-sidecar") | nindent 12 }}
containers:
  {{- if include "ocr.loadsWeights" . }}
  - name: weights
    {{- include "ocr.image" (list . .Values.sidecar.image) | nindent 4 }}
    command: [python, -m, sidecar, fetch]
    env:
      {{- include "ocr.retrievalEnv" . | nindent 6 }}
      - name: HF_HOME
        value: /models/huggingface
      {{- with .Values.modelLoader.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    resources:
      {{- toYaml .Values.modelLoader.resources | nindent 6 }}
    securityContext:
      {{- include "ocr.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: models, mountPath: /models}
      {{- with .Values.modelLoader.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  {{- end }}
  {{- if include "ocr.loadsOllama" . }}
  - name: ollama
    {{- include "ocr.image" (list . .Values.ollama.inPod.image) | nindent 4 }}
    # The script's name, then the models to pull.
    command: [/bin/sh, -c, {{ .Files.Get "files/load-ollama.sh" | quote }}, load-ollama]
    args: {{ toJson .Values.ollama.inPod.pull }}
    env:
      {{- include "ocr.ollamaEnv" . | nindent 6 }}
      {{- with .Values.ollama.inPod.modelfile }}
      - name: MODEL
        value: {{ $.Values.ollama.model | quote }}
      # A changed Modelfile makes another Job.
      - name: MODELFILE_SHA256
        value: {{ sha256sum . }}
      {{- end }}
      {{- with .Values.modelLoader.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    resources:
      {{- toYaml .Values.modelLoader.resources | nindent 6 }}
    securityContext:
      {{- include "ocr.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: ollama, mountPath: /ollama}
      {{- if .Values.ollama.inPod.modelfile }}
      - {name: modelfile, mountPath: /modelfile, readOnly: true}
      {{- end }}
      {{- with .Values.modelLoader.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  {{- end }}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 2Gi}
  {{- with .Values.modelLoader.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if include "ocr.loadsWeights" . }}
  - name: models
    persistentVolumeClaim: {claimName: {{ include "ocr.modelsClaim" . }}}
  {{- end }}
  {{- if include "ocr.loadsOllama" . }}
  - name: ollama
    persistentVolumeClaim: {claimName: {{ include "ocr.ollamaClaim" . }}}
  {{- if .Values.ollama.inPod.modelfile }}
  - name: modelfile
    configMap: {name: {{ include "ocr.fullname" . }}-models}
  {{- end }}
  {{- end }}
{{- end }}
