package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// home is the namespace that config/ names; a release of the chart may stand in another.
const home = "gatehouse-system"

// How a copy begins.
const copiedFrom = "{{/* Copied from config/"

// A copied file: from config/ into a chart.
type copied struct {
	from, to string
	// The switch of each object, as a condition of Helm; empty: always there.
	when func(kind, name string) string
	// Annotations beside those that all objects of the chart have.
	more func(kind, name string) string
}

func never(_, _ string) string { return "" }

func only(condition string) func(string, string) string {
	return func(string, string) string { return condition }
}

func accounts(component string) func(string, string) string {
	return func(kind, _ string) string {
		if kind == "ServiceAccount" {
			return ".Values." + component + ".serviceAccount.annotations"
		}
		return ""
	}
}

func people(_, name string) string {
	if name == "gatehouse-platform" {
		return ".Values.roles.platform"
	}
	return ".Values.roles.tenants"
}

// Files that need more than their folder says.
var special = map[string]copied{
	"rbac/operator.yaml": {when: never, more: accounts("operator")},
	"rbac/webhook.yaml":  {when: only(".Values.webhook.enabled"), more: accounts("webhook")},
	"rbac/tenant.yaml":   {when: people, more: never},
}

// copyList is every file of these folders that is not rendered itself, so that a new one needs no word here.
func copyList(root string) ([]copied, error) {
	list := []copied{{from: "crd/gatehouse.dev.yaml", to: "gatehouse-crds/templates/gatehouse.dev.yaml", when: never,
		more: only(`(ternary (dict "helm.sh/resource-policy" "keep") (dict) .Values.keep)`)}}
	for _, folder := range []string{"operator", "policy", "rbac", "webhook"} {
		entries, err := os.ReadDir(filepath.Join(root, "config", folder))
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			path := folder + "/" + entry.Name()
			if _, own := renderedFiles["config/"+path]; own || entry.Name() == "kustomization.yaml" {
				continue
			}
			c, ok := special[path]
			switch {
			case ok:
			case folder == "policy":
				c = copied{when: only(".Values.policies." + camel(strings.TrimSuffix(entry.Name(), ".yaml"))), more: never}
			case folder == "webhook":
				c = copied{when: only(".Values.webhook.enabled"), more: never}
			default:
				c = copied{when: never, more: never}
			}
			c.from, c.to = path, "gatehouse/templates/"+folder+"-"+entry.Name()
			list = append(list, c)
		}
	}
	return list, nil
}

// camel makes loadBalancers of load-balancers.
func camel(words string) string {
	parts := strings.Split(words, "-")
	for i := 1; i < len(parts); i++ {
		parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
	}
	return strings.Join(parts, "")
}

func copies(root string) (map[string][]byte, error) {
	list, err := copyList(root)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, c := range list {
		text, err := os.ReadFile(filepath.Join(root, "config", c.from))
		if err != nil {
			return nil, err
		}
		made, err := c.template(string(text))
		if err != nil {
			return nil, fmt.Errorf("config/%s: %w", c.from, err)
		}
		out["helm/"+c.to] = []byte(made)
	}
	return out, orphans(root, out)
}

// orphans refuses templates that were copied once and whose file is gone.
func orphans(root string, made map[string][]byte) error {
	found, err := filepath.Glob(filepath.Join(root, "helm", "*", "templates", "*.yaml"))
	if err != nil {
		return err
	}
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if _, ok := made[filepath.ToSlash(inside)]; !ok && strings.HasPrefix(string(text), copiedFrom) {
			return fmt.Errorf("%s is a copy of a file that is no more: remove it", inside)
		}
	}
	return nil
}

// template makes a chart's template of a file of config/.
func (c copied) template(text string) (string, error) {
	if strings.Contains(text, "{{") {
		return "", fmt.Errorf("contains {{, which a template would take for its own")
	}
	var out strings.Builder
	fmt.Fprintf(&out, copiedFrom+"%s by hack/generated: change it there. */}}\n", c.from)
	for _, document := range documents(text) {
		kind, name := field(document, "kind: "), field(document, "  name: ")
		if kind == "" || name == "" || !strings.Contains(document, "\nmetadata:\n") {
			return "", fmt.Errorf("an object without kind, or without metadata with a name, written over several lines")
		}
		more := c.more(kind, name)
		if more != "" {
			more = ` "more" ` + more
		}
		annotations := `{{- include "gatehouse.annotations" (dict "root" .` + more + `) }}`
		body := strings.Replace(inNamespace(document), "\nmetadata:\n", "\nmetadata:\n  "+annotations+"\n", 1)
		condition := c.when(kind, name)
		if condition != "" {
			fmt.Fprintf(&out, "{{- if %s }}\n", condition)
		}
		fmt.Fprintf(&out, "---\n%s\n", strings.TrimSpace(body))
		if condition != "" {
			out.WriteString("{{- end }}\n")
		}
	}
	return out.String(), nil
}

// documents splits at the separators; what holds no object (a comment before the first separator) is left out.
func documents(text string) []string {
	var out []string
	for _, part := range strings.Split("\n"+text, "\n---") {
		if field(part, "kind: ") != "" {
			out = append(out, part)
		}
	}
	return out
}

// field is the value of the first line that begins so.
func field(document, start string) string {
	for _, line := range strings.Split(document, "\n") {
		if rest, ok := strings.CutPrefix(line, start); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// inNamespace lets the release's namespace stand where config/ names its own, in objects and in CEL; comments stay.
func inNamespace(document string) string {
	lines := strings.Split(document, "\n")
	for i, line := range lines {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			lines[i] = strings.ReplaceAll(line, home, "{{ .Release.Namespace }}")
		}
	}
	return strings.Join(lines, "\n")
}
