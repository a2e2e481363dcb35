// Package evidence finds out which tests show which statements: a test says it in a
// line of its comment, as in
//
//	//mqtt:5.0 3.1.0-1 3.1.0-2
//
// where mqtt names the statements' kind, 5.0 their list, and the rest are numbers.
package evidence

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Test shows a statement.
type Test struct {
	Name string
	File string // from the root of the repository
}

// Evidence is who shows what: by list, then by number.
type Evidence map[string]map[string][]Test

// Collect reads the comments of all tests below a directory of the repository whose
// root is given. A line of the kind that belongs to no test, or is of another list,
// is an error. Tests are functions, and methods that take a *testing.T.
func Collect(root, dir, kind string, lists ...string) (Evidence, error) {
	e := Evidence{}
	for _, list := range lists {
		e[list] = map[string][]Test{}
	}
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			err = e.collectFile(root, path, "//"+kind+":")
		}
		return err
	})
	return e, err
}

func (e Evidence) collectFile(root, path, prefix string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	counted := 0
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Doc != nil && isTest(f) {
			counted += e.collectTest(f, filepath.ToSlash(rel), prefix)
		}
	}
	lines := 0
	for _, group := range file.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, prefix) {
				lines++
			}
		}
	}
	if counted != lines {
		return fmt.Errorf("%s: %d of %d comments belong to a test of a known list", rel, counted, lines)
	}
	return nil
}

func isTest(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")
	}
	for _, p := range f.Type.Params.List {
		if star, ok := p.Type.(*ast.StarExpr); ok {
			if t, ok := star.X.(*ast.SelectorExpr); ok && t.Sel.Name == "T" {
				return true
			}
		}
	}
	return false
}

// collectTest returns how many lines of f's comment it has understood.
func (e Evidence) collectTest(f *ast.FuncDecl, file, prefix string) (lines int) {
	for _, c := range f.Doc.List {
		text, ok := strings.CutPrefix(c.Text, prefix)
		if !ok {
			continue
		}
		list, numbers, _ := strings.Cut(text, " ")
		if e[list] == nil {
			continue
		}
		lines++
		for n := range strings.FieldsSeq(numbers) {
			e[list][n] = append(e[list][n], Test{f.Name.Name, file})
		}
	}
	return lines
}

// Links are the tests in Markdown, for a page in a directory below the root.
func Links(tests []Test) string {
	tests = slices.Clone(tests)
	slices.SortFunc(tests, func(a, b Test) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Name, b.Name))
	})
	var links []string
	for _, t := range slices.Compact(tests) {
		links = append(links, fmt.Sprintf("[%s](../%s)", t.Name, t.File))
	}
	return strings.Join(links, " ")
}

// Page writes a page where update is set, and says where it is stale otherwise.
func Page(path string, page []byte, update bool) error {
	if update {
		return os.WriteFile(path, page, 0o644) //nolint:gosec // for everybody to read
	}
	written, err := os.ReadFile(path)
	if err == nil && !bytes.Equal(written, page) {
		err = fmt.Errorf("%s is stale: run `make generate`", path)
	}
	return err
}
