package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/cmd/acl"
	"github.com/godwit-mqtt/godwit/cmd/dev/manifest"
)

// recipe is a section of docs/users-and-acls.md.
type recipe struct {
	title     string
	manifests string    // of all its yaml blocks
	aclFile   string    // of Mosquitto
	bridge    string    // of mosquitto.conf
	sessions  []command // of its console blocks
}

// command is a line of a console block, and what follows it.
type command struct{ line, output string }

// readRecipes returns the sections of the page; the first is what comes before
// them.
func readRecipes(t *testing.T) []recipe {
	t.Helper()
	page, err := os.ReadFile("../docs/users-and-acls.md")
	if err != nil {
		t.Fatal(err)
	}
	recipes := []recipe{{}}
	block := ""
	for line := range strings.SplitSeq(string(page), "\n") {
		r := &recipes[len(recipes)-1]
		title, isTitle := strings.CutPrefix(strings.Replace(line, "### ", "## ", 1), "## ")
		switch fence, isFence := strings.CutPrefix(line, "```"); {
		case isFence:
			block = fence
			if fence == "yaml" {
				r.manifests += "---\n"
			}
		case block == "" && isTitle:
			recipes = append(recipes, recipe{title: title})
		case block == "yaml":
			r.manifests += line + "\n"
		case block == "aclfile":
			r.aclFile += line + "\n"
		case block == "bridge":
			r.bridge += line + "\n"
		case block == "console" && strings.HasPrefix(line, "$ "):
			r.sessions = append(r.sessions, command{line: line[len("$ "):]})
		case block == "console":
			last := &r.sessions[len(r.sessions)-1]
			last.output += line + "\n"
		}
	}
	return recipes
}

func TestRecipesAreValidAndTheirAnswersTrue(t *testing.T) {
	recipes := readRecipes(t)
	base := recipes[0].manifests
	if len(recipes) < 8 || base == "" {
		t.Fatalf("%d recipes, and this Broker for them: %q", len(recipes), base)
	}
	for _, r := range recipes[1:] {
		t.Run(r.title, func(t *testing.T) {
			t.Chdir(t.TempDir())
			write := func(name, content string) {
				if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("broker.yaml", base)
			if r.aclFile != "" {
				write("acl", r.aclFile)
				write("passwd", "logger:"+mosquittoHash(t, "a")+"\nsensor:"+mosquittoHash(t, "b")+"\n")
			}
			if r.manifests != "" {
				if !strings.Contains(r.manifests, "kind: Broker\n") {
					r.manifests += "---\n" + base
				}
				write("manifests/recipe.yaml", r.manifests)
				mustBeInForce(t, "manifests")
			}
			for _, c := range r.sessions {
				args := strings.Fields(strings.ReplaceAll(c.line, "'", ""))
				if _, stdout, stderr := runCommand(t, nil, args[1:]...); stdout+stderr != c.output {
					t.Errorf("%s\n%swant\n%s", c.line, stdout+stderr, c.output)
				}
			}
		})
	}
}

// mustBeInForce fails unless all manifests are valid and bind to their Broker.
func mustBeInForce(t *testing.T, path string) {
	t.Helper()
	set, err := manifest.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range set.Secrets {
		if hash, ok := s.Data[v1alpha1.PasswordHashKey]; ok && password.Validate(string(hash)) != nil {
			t.Errorf("Secret %s holds a hash that is none", name)
		}
	}
	objects, err := acl.FromManifests(manifest.Source{Paths: []string{path}}, "")
	if err != nil {
		t.Fatal(err)
	}
	rights, err := acl.New(objects)
	if err != nil {
		t.Fatal(err)
	}
	for _, note := range rights.Notes {
		t.Error(note)
	}
}
