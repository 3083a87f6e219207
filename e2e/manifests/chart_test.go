package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	corev1 "k8s.io/api/core/v1"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	sigsyaml "sigs.k8s.io/yaml"
)

// Values of every kind that an installation may have.
var variations = map[string]string{
	"defaults":              "",
	"no webhook":            "webhook: {enabled: false}",
	"no policies":           "policies: {operator: false, children: false, claims: false, grants: false, loadBalancers: false, requests: false, services: false}",
	"no roles":              "roles: {tenants: false, platform: false}",
	"open":                  "networkPolicy: {enabled: false}",
	"monitored":             "monitoring: {serviceMonitors: {enabled: true, labels: {release: prometheus}}, rules: {enabled: true, labels: {release: prometheus}}, dashboard: {enabled: true}}\nnetworkPolicy: {metricsFrom: [monitoring, other]}",
	"monitored, no webhook": "monitoring: {serviceMonitors: {enabled: true}, rules: {enabled: true}}\nnetworkPolicy: {enabled: false}\nwebhook: {enabled: false}",
	"irsa":                  "operator: {serviceAccount: {annotations: {eks.amazonaws.com/role-arn: \"arn:aws:iam::111122223333:role/gatehouse\"}}}",
	"scheduled":             "operator: {nodeSelector: {a: b}, tolerations: [{key: a, operator: Exists, effect: NoSchedule}], affinity: {nodeAffinity: {}}}\nwebhook: {nodeSelector: {a: b}, tolerations: [{operator: Exists}]}\nimage: {pullSecrets: [registry]}",
	"annotated":             "annotations: {argocd.argoproj.io/sync-wave: \"-3\"}\noperator: {podAnnotations: {a: b}, podLabels: {c: d}}\nwebhook: {podAnnotations: {a: b}, podLabels: {c: d}}",
	"everything set":        "clusterDomain: cluster.example\noperator: {releaseGrace: 2h, revocationGrace: 2h, recordTtl: 30s, callDeadline: 5s, leaseDuration: 15s, log: debug, logFormat: json, env: [{name: AWS_REGION, value: eu-central-1}]}\nwebhook: {log: debug, logFormat: json, env: [{name: A, value: b}], clientCa: {configMap: api-server-ca, names: [kube-apiserver, front-proxy], auth: require}}\npolicies: {services: true}",
	"digests":               "image: {repository: \"\"}\noperator: {image: \"r.example.com/o@sha256:" + digest + "\"}\nwebhook: {image: \"r.example.com/w@sha256:" + digest + "\"}\nedge: {image: \"r.example.com/e@sha256:" + digest + "\"}",
}

const digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func everyVariation(t *testing.T, judge func(t *testing.T, objects []object)) {
	t.Helper()
	for name, values := range variations {
		t.Run(name, func(t *testing.T) { judge(t, render(t, "gatehouse", "elsewhere", given, values)) })
	}
}

func TestHelmFindsNothingToSay(t *testing.T) {
	for name, values := range map[string]string{"gatehouse": given, "gatehouse-crds": ""} {
		parsed := object{}
		if err := sigsyaml.Unmarshal([]byte(values), &parsed); err != nil {
			t.Fatal(err)
		}
		lint := action.NewLint()
		lint.Strict = true
		result := lint.Run([]string{filepath.Join(rootOf(t), "helm", name)}, parsed)
		for _, err := range result.Errors {
			t.Errorf("%s: %v", name, err)
		}
		// An icon is for catalogues of charts.
		for _, message := range result.Messages {
			if !strings.Contains(message.Error(), "icon is recommended") {
				t.Errorf("%s: %v", name, message)
			}
		}
	}
}

func TestEveryPodIsRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}
	everyVariation(t, func(t *testing.T, objects []object) {
		deployments := kind(objects, "Deployment")
		if len(deployments) == 0 {
			t.Fatal("no Deployment")
		}
		for _, o := range objects {
			if at(o, "spec", "template", "spec") != nil && o["kind"] != "Deployment" {
				t.Errorf("%s: has pods that nobody judges here", key(o))
			}
		}
		for _, o := range deployments {
			var template corev1.PodTemplateSpec
			raw, err := json.Marshal(at(o, "spec", "template"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, &template); err != nil {
				t.Fatal(err)
			}
			for _, result := range evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec) {
				if !result.Allowed {
					t.Errorf("%s: %s: %s", key(o), result.ForbiddenReason, result.ForbiddenDetail)
				}
			}
			// Not asked for by the level, and ours all the same.
			for _, c := range template.Spec.Containers {
				if c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
					t.Errorf("%s: the root of %s can be written", key(o), c.Name)
				}
				if c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
					t.Errorf("%s: %s does not say what it needs", key(o), c.Name)
				}
			}
		}
	})
}

// Functions that give something else at each rendering, and what they would give.
var changing = regexp.MustCompile(`BEGIN [A-Z ]*(CERTIFICATE|KEY)|\{\{[^}]*\b(gen[A-Z]\w+|derivePassword|rand[A-Z]\w+|uuidv4|now|lookup|expandenv|getHostByName)\b[^}]*\}\}`)

// Certificates are made in the cluster: one in a template would be another at each rendering, and a caBundle in a
// manifest would be taken back at each sync.
func TestNoCertificateStandsInATemplate(t *testing.T) {
	for _, name := range []string{"gatehouse", "gatehouse-crds"} {
		c := chartOf(t, name)
		for _, file := range append(c.Templates, c.Files...) {
			if found := changing.FindString(string(file.Data)); found != "" {
				t.Errorf("%s/%s contains %q", name, file.Name, found)
			}
		}
	}
	everyVariation(t, func(t *testing.T, objects []object) {
		for _, o := range objects {
			if k := o["kind"]; k == "Secret" || k == "Certificate" || k == "Issuer" {
				t.Errorf("there is a %s", key(o))
			}
			walk(o, func(path string, _ any) {
				if strings.HasSuffix(path, ".caBundle") {
					t.Errorf("%s has %s: the operator's leader writes it", key(o), path)
				}
			})
		}
	})
}

func walk(value any, visit func(path string, value any)) {
	var step func(path string, value any)
	step = func(path string, value any) {
		visit(path, value)
		switch value := value.(type) {
		case object:
			for name, inner := range value {
				step(path+"."+name, inner)
			}
		case []any:
			for _, inner := range value {
				step(path+"[]", inner)
			}
		}
	}
	step("", value)
}

// The release may stand in any namespace: nothing names another.
func TestEverythingFollowsTheNamespace(t *testing.T) {
	clusterWide := map[string]bool{
		"ClusterRole": true, "ClusterRoleBinding": true, "MutatingWebhookConfiguration": true, "ValidatingWebhookConfiguration": true,
		"ValidatingAdmissionPolicy": true, "ValidatingAdmissionPolicyBinding": true, "IngressClass": true,
	}
	everyVariation(t, func(t *testing.T, objects []object) {
		seen := map[string]bool{}
		for _, o := range objects {
			if seen[key(o)] {
				t.Errorf("%s stands there twice", key(o))
			}
			seen[key(o)] = true
			wanted := "elsewhere"
			if clusterWide[text(o["kind"])] {
				wanted = ""
			}
			if have := text(at(o, "metadata", "namespace")); have != wanted {
				t.Errorf("%s: namespace is %q, not %q", key(o), have, wanted)
			}
			if words := asYAML(t, o); strings.Contains(words, home) {
				t.Errorf("%s names %s", key(o), home)
			}
			if at(o, "metadata", "labels", "app.kubernetes.io/part-of") != "gatehouse" {
				t.Errorf("%s is not labelled as part of gatehouse", key(o))
			}
		}
	})
}

// A value that changes nothing is a lie. Each is set to something else than its default.
func TestEveryValueHasAnEffect(t *testing.T) {
	other := map[string]string{
		"clusterId": "prod-eu-2", "clusterDns": "10.100.0.10", "clusterDomain": "cluster.example", "image.repository": "other.example.com/x",
		"image.tag": "9.9.9", "image.pullPolicy": "Always", "image.pullSecrets": "[registry]", "edge.image": "e:1", "edge.pullSecrets": "[registry]", "edge.nodeSelector": "{a: b}",
		"edge.tolerations": "[{operator: Exists}]", "edge.priorityClassName": "other", "edge.resources": "{requests: {cpu: 1}}",
		"priorityClassName": "other", "annotations": "{a: b}",
		"networkPolicy.apiServerPorts": "[6443]", "networkPolicy.egressPorts": "[3128]", "networkPolicy.apiServerCidrs": "[10.0.0.0/16]", "networkPolicy.metricsFrom": "[monitoring]",
		"monitoring.serviceMonitors.interval": "10s", "monitoring.serviceMonitors.labels": "{a: b}",
		"monitoring.rules.labels": "{a: b}", "monitoring.dashboard.labels": "{a: b}", "monitoring.rules.runbooks": "https://example.com/runbooks",
		"operator.releaseGrace": "2h", "operator.revocationGrace": "2h", "operator.recordTtl": "30s", "operator.callDeadline": "5s", "operator.leaseDuration": "15s",
		"webhook.clientCa.configMap": "other", "webhook.clientCa.names": "[kube-apiserver]", "webhook.clientCa.auth": "require",
	}
	for _, component := range []string{"operator.", "webhook."} {
		for name, value := range map[string]string{
			"replicas": "3", "image": "x:1", "log": "debug", "logFormat": "json", "env": "[{name: A, value: b}]", "resources.requests": "{cpu: 1}",
			"resources.limits": "{memory: 1Gi}", "serviceAccount.annotations": "{a: b}", "podAnnotations": "{a: b}", "podLabels": "{a: b}",
			"nodeSelector": "{a: b}", "tolerations": "[{operator: Exists}]", "affinity": "{nodeAffinity: {}}",
		} {
			other[component+name] = value
		}
	}
	// With everything on, so that each value finds what it is about.
	on := "monitoring: {serviceMonitors: {enabled: true}, rules: {enabled: true}, dashboard: {enabled: true}}\nnetworkPolicy: {metricsFrom: [x]}\nwebhook: {clientCa: {configMap: x}}\n"
	before := asYAML(t, render(t, "gatehouse", home, given, on))
	values := chartOf(t, "gatehouse").Values
	var leaves []string
	var collect func(prefix string, value any)
	collect = func(prefix string, value any) {
		if inner, ok := value.(map[string]any); ok && len(inner) > 0 && !strings.HasSuffix(prefix, "requests.") && !strings.HasSuffix(prefix, "limits.") && !strings.HasSuffix(prefix, "labels.") {
			for name := range inner {
				collect(prefix+name+".", inner[name])
			}
			return
		}
		leaves = append(leaves, strings.TrimSuffix(prefix, "."))
	}
	collect("", values)
	sort.Strings(leaves)
	if len(leaves) < 40 {
		t.Fatalf("only %d values were found", len(leaves))
	}
	for _, leaf := range leaves {
		value, ok := other[leaf]
		if !ok {
			now, isBool := at(merge(t, given, on, values), strings.Split(leaf, ".")...).(bool)
			if !isBool {
				t.Errorf("%s: say here what else it may be", leaf)
				continue
			}
			value = fmt.Sprint(!now)
		}
		delete(other, leaf)
		set := value
		steps := strings.Split(leaf, ".")
		for i := len(steps) - 1; i >= 0; i-- {
			set = "{" + steps[i] + ": " + set + "}"
		}
		if asYAML(t, render(t, "gatehouse", home, given, on, set)) == before {
			t.Errorf("%s: %s changes nothing", leaf, value)
		}
	}
	for leaf := range other {
		t.Errorf("%s is no value any more", leaf)
	}
}

func merge(t *testing.T, given, on string, defaults map[string]any) object {
	t.Helper()
	out := object{}
	if err := sigsyaml.Unmarshal([]byte(merged(t, asYAML(t, defaults), given, on)), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// The schema knows what values.yaml has, and nothing else.
func TestSchemaAndValuesAreTheSame(t *testing.T) {
	for _, name := range []string{"gatehouse", "gatehouse-crds"} {
		c := chartOf(t, name)
		var schema object
		if err := json.Unmarshal(c.Schema, &schema); err != nil {
			t.Fatal(err)
		}
		var compare func(path string, schema, value any)
		compare = func(path string, schema, value any) {
			properties, ok := at(schema, "properties").(object)
			if !ok {
				return
			}
			if closed := at(schema, "additionalProperties"); closed != false {
				t.Errorf("%s%s takes any value", name, path)
			}
			have, _ := value.(map[string]any)
			// An empty default is Kubernetes' own shape, which people fill.
			if len(have) == 0 {
				return
			}
			for field, inner := range properties {
				if _, ok := have[field]; !ok && field != "global" {
					t.Errorf("%s%s.%s has no default in values.yaml", name, path, field)
				}
				compare(path+"."+field, inner, have[field])
			}
			for field := range have {
				if _, ok := properties[field]; !ok {
					t.Errorf("%s%s.%s is not in the schema", name, path, field)
				}
			}
		}
		compare("", schema, c.Values)
	}
}

func TestWrongValuesAreRefusedByName(t *testing.T) {
	cases := []struct{ values, told string }{
		{"clusterId: \"\"", "clusterId is empty: name this installation"},
		{"clusterId: change-me", "clusterId is \"change-me\", the placeholder"},
		{"clusterId: prod eu", "at '/clusterId'"},
		{"clusterID: x", "additional properties 'clusterID' not allowed"},
		{"clusterDns: kube-dns", "at '/clusterDns'"},
		{"image: {repository: \"\"}", "image.repository is empty: no images of Gatehouse are published"},
		{"image: {repository: \"https://registry.example.com\"}", "at '/image/repository'"},
		{"image: {tag: 1.0}", "at '/image/tag': got number, want string"},
		{"image: {pullPolicy: Sometimes}", "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'"},
		{"image: {name: x}", "at '/image': additional properties 'name' not allowed"},
		{"operator: {replicas: 0}", "at '/operator/replicas': minimum: got 0, want 1"},
		{"operator: {replicas: two}", "at '/operator/replicas': got string, want integer"},
		{"operator: {releaseGrace: 1 day}", "at '/operator/releaseGrace'"},
		{"operator: {releaseGrace: 60}", "at '/operator/releaseGrace': got number, want string"},
		{"operator: {logFormat: xml}", "at '/operator/logFormat': value must be one of '', 'text', 'json'"},
		{"operator: {env: [A=b]}", "at '/operator/env/0': got string, want object"},
		{"operator: {env: [{name: A-B}]}", "at '/operator/env/0/name'"},
		{"operator: {resources: {limits: {memory: much}}}", "at '/operator/resources/limits/memory'"},
		{"operator: {resources: {limits: {memroy: 1Gi}}}", "at '/operator/resources/limits': additional properties 'memroy' not allowed"},
		{"operator: {serviceAccount: {create: false}}", "at '/operator/serviceAccount': additional properties 'create' not allowed"},
		{"operator: {tolerations: [{effect: Never}]}", "at '/operator/tolerations/0/effect'"},
		{"webhook: {enabled: \"yes\"}", "at '/webhook/enabled': got string, want boolean"},
		{"webhook: {caBundle: AAAA}", "at '/webhook': additional properties 'caBundle' not allowed"},
		{"policies: {operators: true}", "at '/policies': additional properties 'operators' not allowed"},
		{"networkPolicy: {apiServerPorts: []}", "at '/networkPolicy/apiServerPorts': minItems: got 0, want 1"},
		{"networkPolicy: {apiServerPorts: [70000]}", "at '/networkPolicy/apiServerPorts/0': maximum"},
		{"networkPolicy: {apiServerCidrs: [10.0.0.1]}", "at '/networkPolicy/apiServerCidrs/0'"},
		{"networkPolicy: {metricsFrom: [Monitoring]}", "at '/networkPolicy/metricsFrom/0'"},
		{"monitoring: {serviceMonitors: {enabled: true}}", "networkPolicy.metricsFrom is empty: nobody could read the metrics"},
		{"monitoring: {serviceMonitors: {interval: often}}", "at '/monitoring/serviceMonitors/interval'"},
		{"monitoring: {rules: {runbooks: docs}}", "at '/monitoring/rules/runbooks'"},
		{"annotations: {argocd.argoproj.io/sync-wave: -3}", "got number, want string"},
		{"nameOverride: x", "additional properties 'nameOverride' not allowed"},
	}
	for _, c := range cases {
		_, err := rendered(chartOf(t, "gatehouse"), merged(t, given, c.values), home)
		if err == nil {
			t.Errorf("%s: is taken", c.values)
		} else if !strings.Contains(err.Error(), c.told) {
			t.Errorf("%s: is told\n%v\nwithout %q", c.values, err, c.told)
		}
	}
}

// What the switches and the values are for.
func TestValuesReachTheirObjects(t *testing.T) {
	all := render(t, "gatehouse", home, given, variations["everything set"], variations["irsa"], variations["no policies"])
	operator := one(t, all, "Deployment", "gatehouse-operator")
	environment := map[string]string{}
	for _, entry := range list(at(list(at(operator, "spec", "template", "spec", "containers"))[0], "env")) {
		environment[text(at(entry, "name"))] = text(at(entry, "value"))
	}
	for name, value := range map[string]string{
		"GATEHOUSE_CLUSTER_ID": "prod-eu-1", "GATEHOUSE_EDGE_IMAGE": "registry.example.com/gatehouse/gatehouse-edge:0.1.0",
		"GATEHOUSE_CLUSTER_DOMAIN": "cluster.example", "GATEHOUSE_RELEASE_GRACE": "2h", "GATEHOUSE_LOG_FORMAT": "json", "AWS_REGION": "eu-central-1",
	} {
		if environment[name] != value {
			t.Errorf("%s is %q, not %q", name, environment[name], value)
		}
	}
	edges := render(t, "gatehouse", home, given, "edge: {pullSecrets: [a, b], nodeSelector: {x/arch: arm64, pool: edge}, tolerations: [{key: edge, operator: Exists}], priorityClassName: edges, resources: {requests: {cpu: 1, memory: 64Mi}, limits: {}}}")
	for _, entry := range list(at(list(at(one(t, edges, "Deployment", "gatehouse-operator"), "spec", "template", "spec", "containers"))[0], "env")) {
		environment[text(at(entry, "name"))] = text(at(entry, "value"))
	}
	for name, value := range map[string]string{
		"GATEHOUSE_EDGE_IMAGE_PULL_SECRETS": "a,b", "GATEHOUSE_EDGE_NODE_SELECTOR": "pool=edge,x/arch=arm64",
		"GATEHOUSE_EDGE_TOLERATIONS": `[{"key":"edge","operator":"Exists"}]`, "GATEHOUSE_EDGE_PRIORITY_CLASS": "edges",
		"GATEHOUSE_EDGE_RESOURCES": `{"requests":{"cpu":"1","memory":"64Mi"}}`,
	} {
		if environment[name] != value {
			t.Errorf("%s is %q, not %q", name, environment[name], value)
		}
	}
	// Every variable is one that the program reads.
	for name := range environment {
		if strings.HasPrefix(name, "GATEHOUSE_") && !strings.Contains(read(t, "operator/src/args.rs"), "\""+name+"\"") {
			t.Errorf("the operator does not know %s", name)
		}
	}
	for _, entry := range list(at(list(at(one(t, all, "Deployment", "gatehouse-webhook"), "spec", "template", "spec", "containers"))[0], "env")) {
		if name := text(at(entry, "name")); strings.HasPrefix(name, "GATEHOUSE_") && !strings.Contains(read(t, "webhook/src/flags.rs"), "\""+name+"\"") {
			t.Errorf("the webhook does not know %s", name)
		}
	}
	account := one(t, all, "ServiceAccount", "gatehouse-operator")
	if at(account, "metadata", "annotations", "eks.amazonaws.com/role-arn") != "arn:aws:iam::111122223333:role/gatehouse" {
		t.Error("the operator's account has no role")
	}
	if n := len(kind(all, "ValidatingAdmissionPolicy")); n != 0 {
		t.Errorf("%d policies although all are off", n)
	}
	if n := len(kind(render(t, "gatehouse", home, given), "ValidatingAdmissionPolicy")); n != 6 {
		t.Errorf("%d policies by default, not 6", n)
	}
	bare := render(t, "gatehouse", home, given, "webhook: {enabled: false}")
	for _, o := range bare {
		if strings.Contains(key(o), "gatehouse-webhook") || strings.HasSuffix(text(o["kind"]), "WebhookConfiguration") {
			t.Errorf("%s is there without the webhook", key(o))
		}
	}
	if !strings.Contains(asYAML(t, one(t, bare, "Deployment", "gatehouse-operator")), "GATEHOUSE_WEBHOOK_CERTIFICATES") {
		t.Error("the operator would look for webhook configurations that are not there")
	}
}

// The kinds outlive the release unless somebody says otherwise.
func TestKindsAreKept(t *testing.T) {
	kinds := render(t, "gatehouse-crds", home, "annotations: {a: b}")
	if len(kinds) != 4 {
		t.Fatalf("%d kinds, not 4", len(kinds))
	}
	for _, o := range kinds {
		if at(o, "metadata", "annotations", "helm.sh/resource-policy") != "keep" || at(o, "metadata", "annotations", "a") != "b" {
			t.Errorf("%s: annotations are %v", key(o), at(o, "metadata", "annotations"))
		}
	}
}
