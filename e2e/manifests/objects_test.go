package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	"helm.sh/helm/v3/pkg/chart"
	sigsyaml "sigs.k8s.io/yaml"
)

// What a user must give; the rest is the chart's.
const given = "clusterId: prod-eu-1\nimage: {repository: registry.example.com/gatehouse}\n"

func rootOf(t *testing.T) string {
	t.Helper()
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(rootOf(t), path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func chartOf(t *testing.T, name string) *chart.Chart {
	t.Helper()
	c, err := loadChart(rootOf(t), name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// merged lays one text of values over another, as several -f do.
func merged(t *testing.T, texts ...string) string {
	t.Helper()
	all := object{}
	for _, text := range texts {
		next := object{}
		if err := sigsyaml.Unmarshal([]byte(text), &next); err != nil {
			t.Fatal(err)
		}
		overlay(all, next)
	}
	out, err := sigsyaml.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// render gives the objects of a chart with these values.
func render(t *testing.T, name, namespace string, values ...string) []object {
	t.Helper()
	files, err := rendered(chartOf(t, name), merged(t, values...), namespace)
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(values, "\n"))
	}
	var out []object
	for path, text := range files {
		if strings.HasSuffix(path, ".yaml") {
			out = append(out, parse(t, path, text)...)
		}
	}
	sort.Slice(out, func(i, j int) bool { return key(out[i]) < key(out[j]) })
	return out
}

func parse(t *testing.T, path, text string) []object {
	t.Helper()
	var out []object
	reader := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	for {
		var one object
		err := reader.Decode(&one)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", path, err, text)
		}
		if len(one) > 0 {
			out = append(out, one)
		}
	}
}

func at(value any, path ...string) any {
	for _, step := range path {
		fields, ok := value.(object)
		if !ok {
			return nil
		}
		value = fields[step]
	}
	return value
}

func text(value any) string {
	s, _ := value.(string)
	return s
}

func list(value any) []any {
	l, _ := value.([]any)
	return l
}

func key(o object) string {
	return strings.Join([]string{
		text(o["apiVersion"]), text(o["kind"]), text(at(o, "metadata", "namespace")), text(at(o, "metadata", "name")),
	}, "/")
}

func kind(objects []object, wanted string) []object {
	var out []object
	for _, o := range objects {
		if o["kind"] == wanted {
			out = append(out, o)
		}
	}
	return out
}

func one(t *testing.T, objects []object, wanted, name string) object {
	t.Helper()
	for _, o := range kind(objects, wanted) {
		if at(o, "metadata", "name") == name {
			return o
		}
	}
	t.Fatalf("there is no %s %s", wanted, name)
	return nil
}

func asYAML(t *testing.T, value any) string {
	t.Helper()
	out, err := sigsyaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
