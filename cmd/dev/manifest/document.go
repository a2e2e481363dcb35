package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/json"
	strict "sigs.k8s.io/json"
	sigsyaml "sigs.k8s.io/yaml"
)

// maxFile bounds a manifest, in bytes: more than etcd would take of one object.
const maxFile = 8 << 20

// defaultNamespace is where kubectl puts objects that name none.
const defaultNamespace = "default"

// document is one document of a file.
type document struct {
	file   string
	line   int // of its first line
	object map[string]any
	node   *yaml.Node // for the lines of fields; nil where they are not known
	name   string     // for messages, once it is known
}

// head is what every object has.
type head struct {
	APIVersion, Kind, Namespace, Name string
	Labels                            map[string]string
}

// Files returns the manifest files of path, sorted: itself, or those in the
// directory.
func Files(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("manifests: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("manifests: %w", err)
	}
	var files []string
	for _, e := range entries {
		if isManifest(e) {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("manifests: no .yaml, .yml or .json file in %s", path)
	}
	return files, nil
}

func isManifest(e os.DirEntry) bool {
	name := e.Name()
	return !e.IsDir() && !strings.HasPrefix(name, ".") &&
		slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) &&
		!strings.HasPrefix(name, "kustomization.")
}

// stdin is what messages call standard input.
const stdin = "standard input"

// read returns the documents of a path, and a joined error for those that are not
// YAML.
func (src Source) read(path string) (docs []*document, err error) {
	if path == "-" {
		return read(src.Stdin, stdin)
	}
	files, err := Files(path)
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, file := range files {
		found, err := readFile(file)
		docs, problems = append(docs, found...), append(problems, err)
	}
	return docs, errors.Join(problems...)
}

func readFile(file string) ([]*document, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, &Problem{File: file, Message: errors.Unwrap(err).Error()}
	}
	defer func() { _ = f.Close() }()
	return read(f, file)
}

// read returns the documents of what messages call file.
func read(from io.Reader, file string) ([]*document, error) {
	content, err := io.ReadAll(io.LimitReader(from, maxFile+1))
	if err != nil {
		return nil, &Problem{File: file, Message: err.Error()}
	}
	if len(content) > maxFile {
		return nil, &Problem{File: file, Message: fmt.Sprintf("more than %d bytes: not a manifest", maxFile)}
	}
	var docs []*document
	var problems []error
	for _, part := range split(content) {
		d := &document{file: file, line: part.line}
		switch ok, err := d.parse(part.text); {
		case err != nil:
			problems = append(problems, err)
		case ok:
			docs = append(docs, d)
		}
	}
	return docs, errors.Join(problems...)
}

// part is the text of a document, with as many empty lines before it as there
// are lines before it in the file, so that parsers tell lines of the file.
type part struct {
	line int // the first that is neither empty nor a comment
	text []byte
}

// split cuts a file at its "---" lines.
func split(content []byte) []part {
	var parts []part
	var p part
	n := 0
	scanner := bufio.NewScanner(bytes.NewReader(content))
	scanner.Buffer(nil, maxFile+1)
	for scanner.Scan() {
		n++
		line := scanner.Bytes()
		if bytes.HasPrefix(line, []byte("---")) {
			parts = append(parts, p)
			p = part{text: bytes.Repeat([]byte("\n"), n)}
			continue
		}
		if trimmed := bytes.TrimSpace(line); p.line == 0 && len(trimmed) > 0 && trimmed[0] != '#' {
			p.line = n
		}
		p.text = append(append(p.text, line...), '\n')
	}
	return append(parts, p)
}

// parse reads the document's text; ok is false for one without content.
func (d *document) parse(text []byte) (ok bool, err error) {
	if d.line == 0 {
		return false, nil
	}
	asJSON, err := sigsyaml.YAMLToJSONStrict(text)
	if err != nil {
		return false, &Problem{File: d.file, Message: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	var v any
	if err := json.Unmarshal(asJSON, &v); err != nil {
		return false, &Problem{File: d.file, Line: d.line, Message: err.Error()}
	}
	object, isObject := v.(map[string]any)
	if !isObject {
		return false, &Problem{File: d.file, Line: d.line, Message: "not an object: begin with apiVersion and kind"}
	}
	d.object = object
	var node yaml.Node
	if yaml.Unmarshal(text, &node) == nil && len(node.Content) == 1 {
		d.node = node.Content[0]
	}
	return true, nil
}

// head reads what every object has, and fills in the namespace.
func (d *document) head(namespace string) (*head, error) {
	h := &head{}
	h.APIVersion, _ = d.object["apiVersion"].(string)
	h.Kind, _ = d.object["kind"].(string)
	if h.APIVersion == "" {
		return nil, d.problem("apiVersion", "is missing")
	}
	if h.Kind == "" {
		return nil, d.problem("kind", "is missing")
	}
	d.name = h.Kind
	meta, _ := d.object["metadata"].(map[string]any)
	h.Name, _ = meta["name"].(string)
	h.Namespace, _ = meta["namespace"].(string)
	if h.Namespace == "" {
		h.Namespace = namespace
	}
	if h.Name == "" {
		return nil, d.problem("metadata.name", "is missing: name the object")
	}
	d.name = objectKey(h.Kind, h.Namespace, h.Name)
	if wrong := validation.NameIsDNSSubdomain(h.Name, false); wrong != nil {
		return nil, d.problem("metadata.name", "%q: %s", h.Name, strings.Join(wrong, "; "))
	}
	labels, _ := meta["labels"].(map[string]any)
	h.Labels = make(map[string]string, len(labels))
	for k, v := range labels {
		h.Labels[k], _ = v.(string)
	}
	return h, nil
}

// decode reads the object into a Go type, and names every field that the type
// does not have.
func (d *document) decode(into any) []error {
	asJSON, err := json.Marshal(d.object)
	if err != nil {
		return []error{d.problem("", "%v", err)}
	}
	unknown, err := strict.UnmarshalStrict(asJSON, into)
	if err != nil {
		return []error{d.problem("", "%v", err)}
	}
	var problems []error
	for _, u := range unknown {
		if field, ok := errors.AsType[strict.FieldError](u); ok {
			problems = append(problems, d.problem(field.FieldPath(), "unknown field: remove it or correct its spelling"))
		} else {
			problems = append(problems, d.problem("", "%v", u))
		}
	}
	return problems
}

// problem is one of a field of the document.
func (d *document) problem(field, format string, args ...any) *Problem {
	return &Problem{
		File: d.file, Line: d.lineOf(field), Object: d.name, Field: field,
		Message: fmt.Sprintf(format, args...),
	}
}

// lineOf returns the line of a field, or of the closest one around it.
func (d *document) lineOf(field string) int {
	line, node := d.line, d.node
	steps := strings.FieldsFunc(field, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
	for _, step := range steps {
		if node == nil {
			break
		}
		key, value := child(node, step)
		if value == nil {
			break
		}
		line, node = key.Line, value
	}
	return line
}

// child returns the key and the value of a step into a mapping or a sequence.
func child(n *yaml.Node, step string) (key, value *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i], n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			if fmt.Sprint(i) == step {
				return item, item
			}
		}
	default: // scalars have nothing below them
	}
	return nil, nil
}
