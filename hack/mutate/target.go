package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// target is a package that gets faults.
type target struct {
	name  string // its path inside the module
	path  string // its import path
	dir   string
	files []string // those that are compiled on this system, without tests
}

// findTargets asks the go command for the packages that the patterns name and that have tests.
func findTargets(ctx context.Context, patterns []string) ([]target, error) {
	args := append([]string{"list", "-json=ImportPath,Dir,GoFiles,TestGoFiles,XTestGoFiles,Module", "--"}, patterns...)
	cmd := exec.CommandContext(ctx, "go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.String())
	}
	var targets []target
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir                    string
			GoFiles, TestGoFiles, XTestGoFiles []string
			Module                             struct{ Path string }
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return targets, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
			return nil, fmt.Errorf("%s has no tests of its own", p.ImportPath)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, p.Module.Path), "/")
		targets = append(targets, target{name: name, path: p.ImportPath, dir: p.Dir, files: p.GoFiles})
	}
}

// sources reads the files of the package.
func (t target) sources() ([]*sourceFile, error) {
	var all []*sourceFile
	set := token.NewFileSet()
	for _, name := range t.files {
		path := filepath.Join(t.dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		tree, err := parser.ParseFile(set, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		all = append(all, &sourceFile{pkg: t.name, path: path, name: filepath.Join(t.name, name), text: text, set: set, tree: tree})
	}
	return all, nil
}

// faults returns all faults of the files of a package, file by file. Generated files have none.
func faults(files []*sourceFile) []*fault {
	var all []*fault
	for _, s := range files {
		if !ast.IsGenerated(s.tree) {
			all = append(all, s.faults()...)
		}
	}
	number(all)
	return all
}
