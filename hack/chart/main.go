// Command chart keeps the parts of the Helm chart that are made of the
// manifests under config/ equal to them: CustomResourceDefinitions and roles.
//
//	go run ./hack/chart            writes them
//	go run ./hack/chart --check    fails where one differs
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	crdSource  = "config/crd/bases"
	roleSource = "config/rbac/role.yaml"
	userSource = "config/rbac/user_roles.yaml"
	templates  = "charts/godwit/templates"
	banner     = "{{- /* Made by hack/chart from %s; do not edit. */ -}}\n"
)

func main() {
	check := flag.Bool("check", false, "write nothing, fail where the chart differs")
	root := flag.String("root", ".", "directory of the repository")
	flag.Parse()
	if err := run(*root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(root string, check bool) error {
	files, err := generate(root)
	if err != nil {
		return err
	}
	var errs []error
	for name, content := range files {
		if check {
			errs = append(errs, compare(filepath.Join(root, name), content))
		} else {
			errs = append(errs, write(filepath.Join(root, name), content))
		}
	}
	errs = append(errs, strangers(root, files))
	return errors.Join(errs...)
}

// generate returns the content of every generated file by its path.
func generate(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	sources, err := filepath.Glob(filepath.Join(root, crdSource, "*.yaml"))
	if err != nil || len(sources) == 0 {
		return nil, fmt.Errorf("no definitions in %s: %w", crdSource, err)
	}
	for _, source := range sources {
		content, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(source)
		if files[filepath.Join(templates, "crds", name)], err = crd(crdSource+"/"+name, string(content)); err != nil {
			return nil, err
		}
	}
	for target, make := range map[string]struct {
		source string
		render func(string) ([]byte, error)
	}{
		"roles.yaml":     {roleSource, operatorRoles},
		"userroles.yaml": {userSource, userRoles},
	} {
		content, err := os.ReadFile(filepath.Join(root, make.source))
		if err != nil {
			return nil, err
		}
		if files[filepath.Join(templates, target)], err = make.render(string(content)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// crd makes a definition a template, so that an upgrade of the release upgrades
// it, which Helm does not do with those in a chart's crds directory.
func crd(source, content string) ([]byte, error) {
	const annotations = "  annotations:\n"
	if strings.Contains(content, "{{") || strings.Count(content, "\n"+annotations) != 1 {
		return nil, fmt.Errorf("%s: not of the form that was expected", source)
	}
	content = strings.TrimPrefix(content, "---\n")
	content = strings.Replace(content, annotations, annotations+
		"    {{- if .Values.crds.keep }}\n    helm.sh/resource-policy: keep\n    {{- end }}\n", 1)
	return fmt.Appendf(nil, banner+"{{- if .Values.crds.install }}\n%s{{- end }}\n", source, content), nil
}

// operatorRoles puts the names of the release to the operator's roles.
func operatorRoles(content string) ([]byte, error) {
	out := bytes.NewBufferString(fmt.Sprintf(banner, roleSource))
	for _, role := range documents(content) {
		kind, rules, err := split(role)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", roleSource, err)
		}
		fmt.Fprintf(out, "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: %s\nmetadata:\n  name: {{ include \"godwit.fullname\" . }}\n", kind)
		if kind == "Role" {
			out.WriteString("  namespace: {{ .Release.Namespace }}\n")
		}
		fmt.Fprintf(out, "  labels:\n    {{- include \"godwit.labels\" . | nindent 4 }}\n%s", rules)
	}
	return out.Bytes(), nil
}

// userRoles puts the labels of the release to the roles of people.
func userRoles(content string) ([]byte, error) {
	content = content[strings.Index(content, "apiVersion:"):]
	content = strings.ReplaceAll(content, "  name: godwit-", "  name: {{ include \"godwit.fullname\" . }}-")
	content = strings.ReplaceAll(content, "  labels:\n", "  labels:\n    {{- include \"godwit.labels\" . | nindent 4 }}\n")
	return fmt.Appendf(nil, banner+"%s", userSource, content), nil
}

// split returns the kind and the rules of a role.
func split(role string) (kind, rules string, err error) {
	_, rest, ok := strings.Cut(role, "\nkind: ")
	if !ok {
		return "", "", errors.New("a role without a kind")
	}
	kind, _, _ = strings.Cut(rest, "\n")
	_, rules, ok = strings.Cut(rest, "\nrules:\n")
	if !ok {
		return "", "", fmt.Errorf("a %s without rules", kind)
	}
	return kind, "rules:\n" + rules, nil
}

func documents(content string) []string {
	var out []string
	for doc := range strings.SplitSeq(strings.TrimPrefix(content, "---\n"), "\n---\n") {
		out = append(out, strings.TrimSuffix(doc, "\n")+"\n")
	}
	return out
}

func compare(path string, want []byte) error {
	have, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(have, want) {
		return fmt.Errorf("%s is not what config/ says: run `make manifests`", path)
	}
	return nil
}

func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// strangers names definitions in the chart that config/ does not have.
func strangers(root string, files map[string][]byte) error {
	found, err := filepath.Glob(filepath.Join(root, templates, "crds", "*"))
	for _, path := range found {
		name, relErr := filepath.Rel(root, path)
		if _, ok := files[name]; !ok || relErr != nil {
			err = errors.Join(err, fmt.Errorf("%s is not made from config/: delete it", path))
		}
	}
	return err
}
