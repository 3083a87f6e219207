package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// An overlay as docs/install.md tells people to write it: images and identity upon one of ours.
const userOverlay = `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- %s
images:
- {name: gatehouse-operator, newName: registry.example.com/gatehouse/gatehouse-operator, newTag: 0.1.0}
- {name: gatehouse-webhook, newName: registry.example.com/gatehouse/gatehouse-webhook, newTag: 0.1.0}
patches:
- patch: |-
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: gatehouse-operator, namespace: gatehouse-system}
    spec:
      template:
        spec:
          containers:
          - name: operator
            env:
            - {name: GATEHOUSE_CLUSTER_ID, value: prod-eu-1}
            - {name: GATEHOUSE_EDGE_IMAGE, value: "registry.example.com/gatehouse/gatehouse-edge:0.1.0"}
`

// built gives the objects that kustomize makes of a user's overlay upon these folders of config/.
func built(t *testing.T, folders ...string) []object {
	t.Helper()
	folder := t.TempDir()
	var paths []string
	for _, f := range folders {
		path, err := filepath.Rel(folder, filepath.Join(rootOf(t), "config", f))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	overlay := fmt.Sprintf(userOverlay, strings.Join(paths, "\n- "))
	if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(overlay), 0o644); err != nil {
		t.Fatal(err)
	}
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		t.Fatal(err)
	}
	out, err := made.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, "kustomize", string(out))
}

// normal is an object without what the two tools may do differently: the order of a container's environment.
func normal(o object) object {
	for _, container := range list(at(o, "spec", "template", "spec", "containers")) {
		env := list(at(container, "env"))
		sort.SliceStable(env, func(i, j int) bool { return text(at(env[i], "name")) < text(at(env[j], "name")) })
	}
	return o
}

func TestHelmAndKustomizeMakeTheSame(t *testing.T) {
	cases := []struct {
		folders       []string
		values, kinds []string
	}{
		{[]string{"overlays/minimal"}, []string{read(t, "config/overlays/minimal/values.yaml")}, nil},
		{[]string{"overlays/ha"}, []string{read(t, "config/overlays/ha/values.yaml")}, nil},
		{[]string{"overlays/argo"}, []string{read(t, "config/overlays/argo/values.yaml")}, []string{read(t, "config/overlays/argo/values-crds.yaml")}},
		// All of config/ that overlays leave out or take in, one by one.
		{[]string{"."}, []string{"priorityClassName: \"\"\nnetworkPolicy: {enabled: false}\n" + variations["no policies"]}, nil},
		{[]string{"overlays/minimal", "monitoring"}, []string{read(t, "config/overlays/minimal/values.yaml"), "monitoring: {serviceMonitors: {enabled: true}, rules: {enabled: true}, dashboard: {enabled: true}}"}, nil},
	}
	for _, c := range cases {
		t.Run(strings.Join(c.folders, " with "), func(t *testing.T) {
			byHelm := render(t, "gatehouse", home, append([]string{given}, c.values...)...)
			byHelm = append(byHelm, render(t, "gatehouse-crds", home, append([]string{"keep: false"}, c.kinds...)...)...)
			helm, kustomize := map[string]string{}, map[string]string{}
			for _, o := range byHelm {
				helm[key(o)] = asYAML(t, normal(o))
			}
			for _, o := range built(t, c.folders...) {
				// A release's namespace is made by `helm install --create-namespace` or by Argo CD.
				if o["kind"] == "Namespace" {
					continue
				}
				kustomize[key(o)] = asYAML(t, normal(o))
			}
			if len(helm) < 20 {
				t.Fatalf("only %d objects", len(helm))
			}
			for name, object := range helm {
				if other, ok := kustomize[name]; !ok {
					t.Errorf("%s: Helm only", name)
				} else if object != other {
					t.Errorf("%s differs:\n%s", name, difference(object, other))
				}
			}
			for name := range kustomize {
				if _, ok := helm[name]; !ok {
					t.Errorf("%s: kustomize only", name)
				}
			}
		})
	}
}

// difference shows the lines that only one side has.
func difference(helm, kustomize string) string {
	count := func(text string) map[string]int {
		lines := map[string]int{}
		for _, line := range strings.Split(text, "\n") {
			lines[line]++
		}
		return lines
	}
	var out strings.Builder
	for _, side := range []struct{ sign, text, other string }{{"helm      ", helm, kustomize}, {"kustomize ", kustomize, helm}} {
		other := count(side.other)
		for _, line := range strings.Split(side.text, "\n") {
			if other[line]--; other[line] < 0 {
				out.WriteString(side.sign + line + "\n")
			}
		}
	}
	if out.Len() == 0 {
		return "the same lines in another order"
	}
	return out.String()
}

// The namespace is as closed as its pods allow.
func TestTheNamespaceIsRestricted(t *testing.T) {
	namespace := one(t, built(t, "overlays/ha"), "Namespace", home)
	if level := at(namespace, "metadata", "labels", "pod-security.kubernetes.io/enforce"); level != "restricted" {
		t.Errorf("its level is %v", level)
	}
}

// What tenants may: ExposedApps, and nothing that is the operator's or the platform's.
func TestTenantsSpeakOfExposedAppsOnly(t *testing.T) {
	everything := []string{"get", "list", "watch", "create", "patch", "update", "delete", "deletecollection"}
	for level, verbs := range map[string][]string{"view": everything[:3], "edit": everything, "admin": everything} {
		role := one(t, render(t, "gatehouse", home, given), "ClusterRole", "gatehouse-"+level)
		for label := range at(role, "metadata", "labels").(object) {
			if strings.Contains(label, "aggregate-to-") && label != "rbac.authorization.k8s.io/aggregate-to-"+level {
				t.Errorf("gatehouse-%s has the label %s", level, label)
			}
		}
		if at(role, "metadata", "labels", "rbac.authorization.k8s.io/aggregate-to-"+level) != "true" {
			t.Errorf("gatehouse-%s is not part of %s", level, level)
		}
		want := fmt.Sprint([]any{object{"apiGroups": []any{"gatehouse.dev"}, "resources": []any{"exposedapps"}, "verbs": anys(verbs)}})
		if have := fmt.Sprint(at(role, "rules")); have != want {
			t.Errorf("gatehouse-%s: rules are %s, not %s", level, have, want)
		}
	}
}

func anys(words []string) []any {
	var out []any
	for _, word := range words {
		out = append(out, word)
	}
	return out
}
