package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// A field that no sample shows is one that nobody finds. HostClaims are written by the operator only.
func TestEveryFieldHasASample(t *testing.T) {
	shown := map[string]bool{}
	folder := filepath.Join(rootOf(t), "config", "samples")
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yaml") || filepath.Base(filepath.Dir(path)) == "bad" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, o := range parse(t, path, string(data)) {
			walk(o["spec"], func(path string, _ any) { shown[text(o["kind"])+path] = true })
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, crd := range parse(t, "crd", read(t, "config/crd/gatehouse.dev.yaml")) {
		kind := text(at(crd, "spec", "names", "kind"))
		if kind == "HostClaim" {
			continue
		}
		schema := at(list(at(crd, "spec", "versions"))[0], "schema", "openAPIV3Schema", "properties", "spec")
		fields(schema, kind, func(path string) {
			if !shown[path] {
				missing = append(missing, path)
			}
		})
	}
	sort.Strings(missing)
	for _, path := range missing {
		t.Errorf("no sample has %s", path)
	}
}

// fields visits every field of a schema by its path.
func fields(schema any, path string, visit func(path string)) {
	if properties, ok := at(schema, "properties").(object); ok {
		for name, inner := range properties {
			visit(path + "." + name)
			fields(inner, path+"."+name, visit)
		}
	}
	if items := at(schema, "items"); items != nil {
		fields(items, path+"[]", visit)
	}
}
