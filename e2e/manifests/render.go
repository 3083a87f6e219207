package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/yaml"
)

// placeholder stands for the cluster's id while config/ is rendered: the chart refuses the one that config/ has.
const placeholder = "rendered-for-config"

// What config/ holds besides the objects: kustomize has no values, so base/ has the images' names and no more.
const baseValues = `
clusterId: ` + placeholder + `
operator: {image: "gatehouse-operator:dev"}
webhook: {image: "gatehouse-webhook:dev"}
edge: {image: "gatehouse-edge:dev"}
priorityClassName: ""
networkPolicy: {enabled: true, metricsFrom: [monitoring]}
monitoring: {serviceMonitors: {enabled: true}, rules: {enabled: true}, dashboard: {enabled: true}}
`

// Templates of the chart, by the file of config/ that they become.
var renderedFiles = map[string]string{
	"config/operator/deployment.yaml":      "operator.yaml",
	"config/webhook/deployment.yaml":       "webhook.yaml",
	"config/network/network-policies.yaml": "network-policies.yaml",
	"config/monitoring/monitors.yaml":      "monitors.yaml",
	"config/monitoring/rules.yaml":         "rules.yaml",
	"config/monitoring/dashboard.yaml":     "dashboard.yaml",
}

func renderings(root string, copied map[string][]byte) (map[string][]byte, error) {
	c, err := loadChart(root, "gatehouse", copied)
	if err != nil {
		return nil, err
	}
	open, err := rendered(c, baseValues, home)
	if err != nil {
		return nil, err
	}
	// Who may read metrics is the installation's to say: kustomize's own network/ names nobody.
	closed, err := rendered(c, strings.NewReplacer("metricsFrom: [monitoring]", "metricsFrom: []",
		"serviceMonitors: {enabled: true}", "serviceMonitors: {enabled: false}").Replace(baseValues), home)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for path, template := range renderedFiles {
		text := open["gatehouse/templates/"+template]
		if template == "network-policies.yaml" {
			text = closed["gatehouse/templates/"+template]
		}
		if strings.TrimSpace(text) == "" {
			return nil, fmt.Errorf("%s renders to nothing", template)
		}
		head := fmt.Sprintf("# Rendered from helm/gatehouse/templates/%s by hack/generated: change it there.\n", template)
		out[path] = []byte(head + strings.TrimSpace(strings.ReplaceAll(text, placeholder, "change-me")) + "\n")
	}
	return out, nil
}

// loadChart reads a chart, with fresher files than those on disk.
func loadChart(root, name string, fresh map[string][]byte) (*chart.Chart, error) {
	folder := filepath.Join(root, "helm", name)
	var files []*loader.BufferedFile
	seen := map[string]bool{}
	err := filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		inside, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if text, ok := fresh["helm/"+name+"/"+filepath.ToSlash(inside)]; ok {
			data = text
		}
		seen[filepath.ToSlash(inside)] = true
		files = append(files, &loader.BufferedFile{Name: filepath.ToSlash(inside), Data: data})
		return nil
	})
	if err != nil {
		return nil, err
	}
	for path, text := range fresh {
		if inside, ok := strings.CutPrefix(path, "helm/"+name+"/"); ok && !seen[inside] {
			files = append(files, &loader.BufferedFile{Name: inside, Data: text})
		}
	}
	return loader.LoadFiles(files)
}

// rendered gives the text of each template, as `helm template` makes it; values are judged by the chart's schema.
func rendered(c *chart.Chart, values, namespace string) (map[string]string, error) {
	parsed := map[string]any{}
	if err := yaml.Unmarshal([]byte(values), &parsed); err != nil {
		return nil, err
	}
	release := chartutil.ReleaseOptions{Name: "gatehouse", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(c, parsed, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

type object = map[string]any

// overlay lays values over others, as a second -f does.
func overlay(under, over object) {
	for key, value := range over {
		below, ok := under[key].(object)
		if above, also := value.(object); ok && also {
			overlay(below, above)
		} else {
			under[key] = value
		}
	}
}
