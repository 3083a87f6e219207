{{/* Annotations of an object's metadata, as in the chart gatehouse. Takes root and more. */}}
{{- define "gatehouse.annotations" -}}
{{- $all := merge (dict) (default (dict) .more) .root.Values.annotations -}}
{{- with $all }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end -}}
{{- end -}}
