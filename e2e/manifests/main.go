// Command manifests writes what charts, config/ and docs have of each other, so that each object has one source:
// what has no values stands in config/ and is copied into the charts; what has values stands in the chart and is
// rendered into config/.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"sigs.k8s.io/yaml"
)

const usage = "usage: manifests write|check|template CHART NAMESPACE [VALUES.yaml]..."

func main() {
	arguments := os.Args[1:]
	root, err := findRoot()
	switch {
	case err != nil:
	case len(arguments) == 1 && (arguments[0] == "write" || arguments[0] == "check"):
		err = bringUpToDate(root, arguments[0] == "check")
	case len(arguments) >= 3 && arguments[0] == "template":
		err = template(root, arguments[1], arguments[2], arguments[3:])
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// template prints what `helm template` would, without the program.
func template(root, name, namespace string, files []string) error {
	c, err := loadChart(root, name, nil)
	if err != nil {
		return err
	}
	values := object{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		next := object{}
		if err := yaml.Unmarshal(text, &next); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		overlay(values, next)
	}
	text, err := yaml.Marshal(values)
	if err != nil {
		return err
	}
	made, err := rendered(c, string(text), namespace)
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(made)) {
		if strings.HasSuffix(path, ".yaml") && strings.TrimSpace(made[path]) != "" {
			fmt.Printf("---\n%s\n", strings.TrimSpace(made[path]))
		}
	}
	return nil
}

func bringUpToDate(root string, checkOnly bool) error {
	fresh, err := generate(root)
	if err != nil {
		return err
	}
	var stale []string
	for path, text := range fresh {
		target := filepath.Join(root, path)
		if have, err := os.ReadFile(target); err == nil && bytes.Equal(have, text) {
			continue
		}
		stale = append(stale, path)
		if checkOnly {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, text, 0o644); err != nil {
			return err
		}
	}
	sort.Strings(stale)
	for _, path := range stale {
		if checkOnly {
			fmt.Fprintf(os.Stderr, "%s is out of date: run 'make gen'\n", path)
		} else {
			fmt.Println("wrote " + path)
		}
	}
	if checkOnly && len(stale) > 0 {
		return errors.New("generated manifests are out of date")
	}
	return nil
}

// generate gives every generated file by its path from the root.
func generate(root string) (map[string][]byte, error) {
	out := map[string][]byte{}
	copied, err := copies(root)
	if err != nil {
		return nil, err
	}
	for path, text := range copied {
		out[path] = text
	}
	// The chart is rendered with the fresh copies, or the first run after a change would need a second.
	rendered, err := renderings(root, copied)
	if err != nil {
		return nil, err
	}
	for path, text := range rendered {
		out[path] = text
	}
	table, err := valuesPage(root)
	if err != nil {
		return nil, err
	}
	out["docs/values.md"] = table
	return out, nil
}

// findRoot looks upwards for the repository.
func findRoot() (string, error) {
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(at, "helm", "gatehouse", "Chart.yaml")); err == nil {
			return at, nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", errors.New("no helm/gatehouse/Chart.yaml above: start it inside the repository")
		}
		at = up
	}
}
