package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// parseYAML reads the same as parseJSON in YAML.
func parseYAML(data []byte) ([]Record, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, errors.New(`expected "tenants", found nothing`)
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("expected one document, found more")
	}
	root := resolveAlias(doc.Content[0])
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf(`line %d: expected an object with "tenants"`, root.Line)
	}
	var list *yaml.Node
	for i := 0; i < len(root.Content); i += 2 {
		if name := root.Content[i]; name.Value != "tenants" || list != nil {
			return nil, fmt.Errorf("line %d: unexpected key %q: expected each of tenants once", name.Line, clip(name.Value))
		}
		list = resolveAlias(root.Content[i+1])
	}
	if list == nil {
		return nil, fmt.Errorf(`line %d: expected "tenants", found nothing`, root.Line)
	}
	if list.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("line %d: expected a list of tenants", list.Line)
	}
	records := make([]Record, len(list.Content))
	for i, node := range list.Content {
		records[i] = Record{Row: i + 1, Line: node.Line}
		yamlRecord(resolveAlias(node), &records[i])
	}
	return records, nil
}

func yamlRecord(node *yaml.Node, r *Record) {
	if node.Kind != yaml.MappingNode {
		r.Err = fmt.Errorf("expected an object, found %s", describe(yamlValue(node)))
		return
	}
	var met []string
	for i := 0; i+1 < len(node.Content); i += 2 {
		met = r.setKey(node.Content[i].Value, yamlValue(node.Content[i+1]), met)
	}
}

// yamlValue keeps scalars as they are written: a name that looks like a number or
// a date is told apart from a text, not turned into one.
func yamlValue(node *yaml.Node) any {
	node = resolveAlias(node)
	switch node.Kind {
	case yaml.SequenceNode:
		list := make([]any, len(node.Content))
		for i, item := range node.Content {
			if item = resolveAlias(item); item.Kind == yaml.ScalarNode {
				list[i] = yamlValue(item)
			} else {
				list[i] = map[string]any{}
			}
		}
		return list
	case yaml.ScalarNode:
		return yamlScalar(node)
	}
	return map[string]any{}
}

func yamlScalar(node *yaml.Node) any {
	switch node.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return true
	case "!!int":
		if n, err := strconv.ParseInt(node.Value, 10, 64); err == nil {
			return n
		}
		return 0.0
	case "!!float":
		return 0.0
	case "!!timestamp":
		if t, err := instant(node.Value); err == nil {
			return t
		}
	case "!!binary":
		return []byte{}
	}
	return node.Value
}

func resolveAlias(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}

// setKey is set for texts, where a key may be written twice. It returns the keys
// met so far.
func (r *Record) setKey(name string, value any, met []string) []string {
	if slices.Contains(met, name) {
		if r.Err == nil {
			r.Err = fmt.Errorf("field %q appears twice", clip(name))
		}
		return met
	}
	r.Set(name, value)
	return append(met, name)
}
