package mosquitto

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// document is one manifest and the comment above it; object is nil where there is
// no more than the comment.
type document struct {
	comment []string // paragraphs
	notes   []string // paragraphs that are told apart from the manifest too
	object  any
}

// isEmpty says that nothing would be written.
func (d *document) isEmpty() bool { return len(d.comment)+len(d.notes) == 0 && d.object == nil }

// note adds a paragraph about a line of a file.
func (d *document) note(file string, line int, format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf("%s:%d: %s", file, line, fmt.Sprintf(format, args...)))
}

func encode(docs []*document) ([]byte, error) {
	var b bytes.Buffer
	for i, d := range docs {
		if i > 0 {
			b.WriteString("---\n")
		}
		for _, paragraph := range append(d.comment, d.notes...) {
			writeComment(&b, paragraph)
		}
		if d.object == nil {
			continue
		}
		manifest, err := encodeObject(d.object)
		if err != nil {
			return nil, err
		}
		b.Write(manifest)
	}
	return b.Bytes(), nil
}

// encodeObject writes an object as a person would: without what only the cluster
// fills in.
func encodeObject(object any) ([]byte, error) {
	asJSON, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(asJSON, &fields); err != nil {
		return nil, err
	}
	delete(fields, "status")
	delete(fields["metadata"].(map[string]any), "creationTimestamp")
	return yaml.Marshal(fields)
}

// commentWidth of a line, in bytes.
const commentWidth = 98

// writeComment writes a paragraph as lines of a comment.
func writeComment(b *bytes.Buffer, paragraph string) {
	paragraph = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, paragraph)
	width := 0
	for i, word := range strings.Fields(paragraph) {
		switch {
		case i == 0:
			b.WriteString("#")
		case width+1+len(word) > commentWidth:
			b.WriteString("\n#  ")
			width = 2
		}
		b.WriteString(" " + word)
		width += 1 + len(word)
	}
	b.WriteString("\n")
}

func (c *converter) metadata(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: c.Namespace}
}

func typeOf(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind}
}
