{{/* Names are fixed: the operator knows them, and there is one Gatehouse in a cluster. */}}

{{/* Annotations of an object's metadata: those of all, and more of its own. Takes root and more. */}}
{{- define "gatehouse.annotations" -}}
{{- $all := merge (dict) (default (dict) .more) .root.Values.annotations -}}
{{- with $all }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end -}}
{{- end -}}

{{/* An image's whole reference. Takes root, own (the value that overrides) and name. */}}
{{- define "gatehouse.image" -}}
{{- if .own -}}
{{ .own }}
{{- else -}}
{{- $tag := .root.Values.image.tag | default .root.Chart.AppVersion -}}
{{- printf "%s/gatehouse-%s:%s" (trimSuffix "/" .root.Values.image.repository) .name $tag -}}
{{- end -}}
{{- end -}}

{{/* Everything that a schema cannot say with its cure. */}}
{{- define "gatehouse.check" -}}
{{- $v := .Values -}}
{{- if not $v.clusterId -}}
{{- fail "clusterId is empty: name this installation, such as --set clusterId=prod-eu-1; it is in every AWS name, tag and TXT record, so it must differ between the clusters of an AWS account and must never change" -}}
{{- end -}}
{{- if eq $v.clusterId "change-me" -}}
{{- fail "clusterId is \"change-me\", the placeholder of the manifests: choose a name that no other cluster of the AWS account has" -}}
{{- end -}}
{{- if not $v.image.repository -}}
{{- $missing := list -}}
{{- if not $v.operator.image -}}{{- $missing = append $missing "operator.image" -}}{{- end -}}
{{- if and $v.webhook.enabled (not $v.webhook.image) -}}{{- $missing = append $missing "webhook.image" -}}{{- end -}}
{{- if not $v.edge.image -}}{{- $missing = append $missing "edge.image" -}}{{- end -}}
{{- with $missing -}}
{{- fail (printf "image.repository is empty: no images of Gatehouse are published; build the three Dockerfiles, push them to a registry of yours as gatehouse-operator, gatehouse-webhook and gatehouse-edge, and name it, such as --set image.repository=REGISTRY/gatehouse (or set %s)" (join ", " .)) -}}
{{- end -}}
{{- end -}}
{{- if and $v.monitoring.serviceMonitors.enabled $v.networkPolicy.enabled (not $v.networkPolicy.metricsFrom) -}}
{{- fail "monitoring.serviceMonitors.enabled is true, but networkPolicy.metricsFrom is empty: nobody could read the metrics; name the namespace of your Prometheus, such as --set networkPolicy.metricsFrom={monitoring}" -}}
{{- end -}}
{{- end -}}

{{/* Labels as one text: a=b,c=d. */}}
{{- define "gatehouse.pairs" -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}{{- $pairs = append $pairs (printf "%s=%s" $key $value) -}}{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{/* A value as JSON; nothing for an empty one. */}}
{{- define "gatehouse.json" -}}
{{- with . -}}{{- toJson . -}}{{- end -}}
{{- end -}}

{{/* Requests and limits as JSON, every quantity as text; nothing where none is set. */}}
{{- define "gatehouse.quantities" -}}
{{- $all := dict -}}
{{- range $part, $given := . -}}
{{- $texts := dict -}}
{{- range $name, $quantity := $given -}}{{- $_ := set $texts $name (toString $quantity) -}}{{- end -}}
{{- if $texts -}}{{- $_ := set $all $part $texts -}}{{- end -}}
{{- end -}}
{{- with $all -}}{{- toJson . -}}{{- end -}}
{{- end -}}

{{/* Pod settings that operator and webhook share. Takes root and own (the component's values). */}}
{{- define "gatehouse.scheduling" -}}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .own.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .own.tolerations }}
tolerations: {{- toYaml . | nindent 0 }}
{{- end }}
{{- with .own.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}
