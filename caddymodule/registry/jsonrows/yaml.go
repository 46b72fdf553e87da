package jsonrows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/caddy-tenancy/caddy-tenancy/caddymodule/registry"
)

// YAML reads the records of a text in YAML. A record may take fields over from
// others by a merge key ("<<: *base").
func YAML(data []byte) (*Document, error) {
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
	list, err := tenantsNode(doc.Content[0])
	if err != nil {
		return nil, err
	}
	if list.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("line %d: expected a list of tenants", list.Line)
	}
	keepTexts(&doc)
	records := make([]registry.Record, len(list.Content))
	for i, node := range list.Content {
		records[i].Row, records[i].Line = i+1, node.Line
		yamlRecord(node, &records[i])
	}
	return &Document{Records: records}, nil
}

// tenantsNode finds the list.
func tenantsNode(root *yaml.Node) (list *yaml.Node, err error) {
	if root.Kind == yaml.SequenceNode {
		return root, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf(`line %d: expected an object with "tenants"`, root.Line)
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		name := root.Content[i]
		if !strings.EqualFold(name.Value, "tenants") {
			continue
		}
		if name.Value != "tenants" || list != nil {
			return nil, fmt.Errorf(`line %d: unexpected key %q: expected "tenants" once`, name.Line, name.Value)
		}
		list = resolve(root.Content[i+1])
	}
	if list == nil {
		return nil, fmt.Errorf(`line %d: expected "tenants", found nothing`, root.Line)
	}
	return list, nil
}

// keepTexts makes texts of all scalars that look like numbers or dates: a tenant may
// be called 007.
func keepTexts(node *yaml.Node) {
	switch node.ShortTag() {
	case "!!int", "!!float", "!!timestamp":
		node.Tag = "!!str"
	}
	for _, child := range node.Content {
		keepTexts(child)
	}
}

func yamlRecord(node *yaml.Node, r *registry.Record) {
	dropTwins(resolve(node), r)
	var value any
	if err := node.Decode(&value); err != nil {
		r.Fail("", err)
		return
	}
	fields, ok := value.(map[string]any)
	if !ok {
		r.Fail("", fmt.Errorf("expected an object, found %s", registry.Describe(value)))
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := fields[name]
		if text, ok := value.(string); ok && name == "created_at" && json.Valid([]byte(text)) {
			value = json.Number(text)
		}
		r.Set(name, value)
	}
}

// dropTwins leaves out fields that come a second time, which the decoder refuses. It
// also finds the slug: whatever else is wrong, we want to know whose record it is.
func dropTwins(node *yaml.Node, r *registry.Record) {
	met := map[string]bool{}
	var kept []*yaml.Node
	for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i].Value, node.Content[i+1]
		if met[name] {
			r.Fail("", fmt.Errorf("field %q appears twice", registry.Clip(name)))
			continue
		}
		if met[name] = true; name == "slug" {
			r.Slug = resolve(value).Value
		}
		kept = append(kept, node.Content[i], value)
	}
	if len(kept) > 0 {
		node.Content = kept
	}
}

func resolve(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}
