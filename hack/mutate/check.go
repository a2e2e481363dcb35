package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// checker checks the types of a package with others of its files.
type checker struct {
	path    string
	imports map[string]string // files with what packages export
}

// newChecker asks the go command for what the package imports.
func newChecker(ctx context.Context, t target) (*checker, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", t.path, "cmp", "os", "strconv")
	cmd.Dir = t.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -export: %w: %s", err, stderr.String())
	}
	c := &checker{path: t.path, imports: make(map[string]string)}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		c.imports[path] = file
	}
	return c, nil
}

// check returns the types of the files and all errors that they have.
func (c *checker) check(set *token.FileSet, files []*ast.File) (info *types.Info, problems []types.Error) {
	info = &types.Info{Types: make(map[ast.Expr]types.TypeAndValue)}
	config := types.Config{
		Importer: importer.ForCompiler(set, "gc", func(path string) (io.ReadCloser, error) {
			return os.Open(c.imports[path])
		}),
		Error: func(err error) {
			if e, ok := errors.AsType[types.Error](err); ok {
				problems = append(problems, e)
			}
		},
	}
	_, _ = config.Check(c.path, set, files, info) // its error is the first of those
	return info, problems
}

// built is a package with many faults built in.
type built struct {
	ids   map[*fault]int
	texts map[string][]byte // by path; what the go command is to read instead
}

// build puts into the files those of the faults that can be built in beside each other. The
// others are not in ids.
func (c *checker) build(files []*sourceFile, all []*fault) (*built, error) {
	var trees []*ast.File
	for _, s := range files {
		trees = append(trees, s.tree)
	}
	info, problems := c.check(files[0].set, trees)
	if len(problems) > 0 {
		return nil, problems[0]
	}
	perFile := make(map[*sourceFile]map[int]*fault)
	for _, s := range files {
		perFile[s] = make(map[int]*fault)
	}
	for i, f := range all {
		if f.guard != nil && f.guard.typed(info, c.path) {
			perFile[f.file][i+1] = f
		}
	}
	for {
		b, failed := c.attempt(files, perFile)
		if !failed {
			return b, nil
		}
	}
}

// typed completes a guard with what is known of types; ok is false where it does not fit them.
func (g *guard) typed(info *types.Info, path string) (ok bool) {
	if g.binary != nil && info.Types[g.binary].Value != nil {
		return false // what is constant may have to be
	}
	if g.literal == nil {
		return true
	}
	t := info.Types[g.literal].Type
	if t == nil {
		return false
	}
	name := types.TypeString(types.Default(t), func(p *types.Package) string {
		if p.Path() == path {
			return ""
		}
		return p.Name()
	})
	g.before = strings.Replace(g.before, "TYPE", name, 1)
	return true
}

// attempt builds the faults in, and takes out of perFile those that make errors.
func (c *checker) attempt(files []*sourceFile, perFile map[*sourceFile]map[int]*fault) (b *built, failed bool) {
	b = &built{ids: make(map[*fault]int), texts: make(map[string][]byte)}
	set := token.NewFileSet()
	places := make(map[string]map[int][2]int)
	byPath := make(map[string]*sourceFile)
	var trees []*ast.File
	for _, s := range files {
		text, where := s.guarded(perFile[s])
		b.texts[s.path], places[s.path], byPath[s.path] = text, where, s
		for id, f := range perFile[s] {
			b.ids[f] = id
		}
		tree, err := parser.ParseFile(set, s.path, text, parser.SkipObjectResolution)
		if err != nil { // no guard of this file is as it should be
			clear(perFile[s])
			return nil, true
		}
		trees = append(trees, tree)
	}
	helper, _ := parser.ParseFile(set, "", guards(files[0].tree.Name.Name), parser.SkipObjectResolution)
	_, problems := c.check(set, append(trees, helper))
	for _, p := range problems {
		at := set.Position(p.Pos)
		if s := byPath[at.Filename]; s != nil {
			drop(perFile[s], places[at.Filename], at.Offset)
		}
	}
	return b, len(problems) > 0
}

// drop takes out the fault that is closest around a place, or all where none is.
func drop(faults map[int]*fault, places map[int][2]int, at int) {
	closest, width := 0, 0
	for _, id := range slices.Sorted(maps.Keys(faults)) {
		from, to := places[id][0], places[id][1]
		if from <= at && at < to && (closest == 0 || to-from < width) {
			closest, width = id, to-from
		}
	}
	if closest == 0 {
		clear(faults)
		return
	}
	delete(faults, closest)
}
