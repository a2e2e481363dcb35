package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// fault is a change of a piece of a source file.
type fault struct {
	file       *sourceFile
	function   string // where it stands, as (*Index).Subscribe, or the name of a declaration
	kind       string // what was done, in a word or two
	start, end int    // the piece, in bytes of the file
	with       string // what stands there instead

	guard    *guard // how it is built in beside others; nil where it cannot be
	same     int    // how many faults before it in the function read the same
	accepted bool   // it changes nothing
}

// sourceFile is a file that gets faults.
type sourceFile struct {
	pkg, path, name string // name is the path inside the module
	text            []byte
	set             *token.FileSet
	tree            *ast.File
}

func (s *sourceFile) offset(pos token.Pos) int { return s.set.Position(pos).Offset }

// line is the one on which the fault begins, counted from 1.
func (f *fault) line() int { return 1 + bytes.Count(f.file.text[:f.start], []byte("\n")) }

func (f *fault) place() string { return fmt.Sprintf("%s:%d", f.file.name, f.line()) }

// mutated returns the file with the fault in it.
func (f *fault) mutated() []byte {
	return slices.Concat(f.file.text[:f.start], []byte(f.with), f.file.text[f.end:])
}

// diff returns the lines that the fault takes away and those that it puts there, without the
// space around them and without empty ones.
func (f *fault) diff() (without, with []string) {
	text := f.file.text
	from := 1 + bytes.LastIndexByte(text[:f.start], '\n')
	to := len(text)
	if i := bytes.IndexByte(text[f.end:], '\n'); i >= 0 {
		to = f.end + i
	}
	return lines(string(text[from:to])), lines(string(text[from:f.start]) + f.with + string(text[f.end:to]))
}

func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// String tells of the fault, as it can be copied into the list of those that change nothing.
func (f *fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n%s", f.place(), f.kind, f.key())
	return b.String()
}

// key stands for the fault as long as its function and its lines are the same.
func (f *fault) key() string {
	without, with := f.diff()
	return keyOf(f.file.pkg, f.function, without, with)
}

func keyOf(pkg, function string, without, with []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", pkg, function)
	for _, line := range without {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	for _, line := range with {
		fmt.Fprintf(&b, "+ %s\n", line)
	}
	return b.String()
}

// number tells faults apart that have the same key.
func number(all []*fault) {
	seen := make(map[string]int)
	for _, f := range all {
		key := f.key()
		f.same = seen[key]
		seen[key]++
	}
}

// inOrder returns the faults in the order in which the seed chooses them. The place of one
// depends on nothing but the seed and its key, so that a change elsewhere moves no fault.
func inOrder(all []*fault, seed uint64) []*fault {
	ranks := make(map[*fault][sha256.Size]byte, len(all))
	for _, f := range all {
		ranks[f] = sha256.Sum256(fmt.Appendf(nil, "%d %d %s", seed, f.same, f.key()))
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b *fault) int {
		x, y := ranks[a], ranks[b]
		return bytes.Compare(x[:], y[:])
	})
	return sorted
}

// at returns the faults of the places, FILE:LINE with a comma between two, in the order of the
// file; all where no place is named.
func at(all []*fault, places string) []*fault {
	if places == "" {
		return all
	}
	var chosen []*fault
	for place := range strings.SplitSeq(places, ",") {
		for _, f := range all {
			if strings.HasSuffix("/"+f.place(), "/"+strings.TrimSpace(place)) {
				chosen = append(chosen, f)
			}
		}
	}
	slices.SortStableFunc(chosen, func(a, b *fault) int {
		return cmp.Or(cmp.Compare(a.file.name, b.file.name), cmp.Compare(a.start, b.start))
	})
	return slices.Compact(chosen)
}

// step returns an integer literal plus d. ok is false where it is none, or the result is negative.
func step(literal string, d int64) (text string, ok bool) {
	n, err := strconv.ParseInt(literal, 0, 64)
	if err != nil || n+d < 0 {
		return "", false
	}
	return strconv.FormatInt(n+d, 10), true
}
