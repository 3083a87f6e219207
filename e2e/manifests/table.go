package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

const pageHead = `<!-- Written by ` + "`make gen`" + ` from helm/*/values.yaml. Do not edit. -->
# Values of the charts

A value that is unknown or of the wrong shape is refused by name. ` + "`helm show values helm/gatehouse`" + ` prints the same as YAML.
`

// valuesPage is the table of every value with its default and its comment.
func valuesPage(root string) ([]byte, error) {
	var out strings.Builder
	out.WriteString(pageHead)
	for _, chart := range []string{"gatehouse-crds", "gatehouse"} {
		text, err := os.ReadFile(filepath.Join(root, "helm", chart, "values.yaml"))
		if err != nil {
			return nil, err
		}
		var document yaml.Node
		if err := yaml.Unmarshal(text, &document); err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "\n## %s\n\n| value | default | meaning |\n|---|---|---|\n", chart)
		if err := rows(&out, document.Content[0], ""); err != nil {
			return nil, fmt.Errorf("helm/%s/values.yaml: %w", chart, err)
		}
	}
	return []byte(out.String()), nil
}

// rows writes a line for each value; what holds others has a line only if it has a comment.
func rows(out *strings.Builder, mapping *yaml.Node, prefix string) error {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		path := prefix + key.Value
		meaning := comment(key)
		if deeper(value) {
			if meaning != "" {
				fmt.Fprintf(out, "| `%s` | | %s |\n", path, meaning)
			}
			if err := rows(out, value, path+"."); err != nil {
				return err
			}
			continue
		}
		if meaning == "" {
			return fmt.Errorf("%s has no comment that says what it is for", path)
		}
		shown, err := flow(value)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "| `%s` | `%s` | %s |\n", path, shown, meaning)
	}
	return nil
}

// deeper: a mapping in block style with entries is a group of values; one in flow style is a value itself.
func deeper(node *yaml.Node) bool {
	return node.Kind == yaml.MappingNode && len(node.Content) > 0 && node.Style&yaml.FlowStyle == 0
}

func comment(key *yaml.Node) string {
	// A comment that an empty line parts from the key speaks of the file.
	parts := strings.Split(key.HeadComment, "\n\n")
	text := strings.ReplaceAll(parts[len(parts)-1], "\n", " ")
	var words []string
	for _, word := range strings.Fields(text) {
		if word != "#" {
			words = append(words, strings.TrimPrefix(word, "#"))
		}
	}
	return strings.ReplaceAll(strings.Join(words, " "), "|", "\\|")
}

// flow is the value in one line.
func flow(node *yaml.Node) (string, error) {
	copied := *node
	copied.HeadComment, copied.LineComment, copied.FootComment = "", "", ""
	if copied.Kind == yaml.MappingNode || copied.Kind == yaml.SequenceNode {
		copied.Style = yaml.FlowStyle
	}
	text, err := yaml.Marshal(&copied)
	return strings.TrimSpace(string(text)), err
}
