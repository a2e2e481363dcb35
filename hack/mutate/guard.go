package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// guard builds a fault in beside others, so that one program has many and the environment
// chooses one: text that is put before and behind a piece of the file, and in the place of an
// operator. ID in it stands for the fault's number.
type guard struct {
	start, end     int // the piece, in bytes of the file
	before, behind string
	operator       int             // where it begins, if comma is not empty
	comma          string          // what takes its place
	length         int             // of the operator
	literal        *ast.BasicLit   // nil unless before speaks of its TYPE
	binary         *ast.BinaryExpr // nil unless comma is not empty
}

// wrap guards a node with text before and behind it.
func (f *finder) wrap(n ast.Node, before, behind string) *guard {
	return &guard{start: f.source.offset(n.Pos()), end: f.source.offset(n.End()), before: before, behind: behind}
}

func (f *finder) guardNegation(n ast.Node) *guard { return f.wrap(n, "(mutate(ID) != (", "))") }

// guardConstant guards a literal. TYPE stands for its type, which is known later.
func (f *finder) guardConstant(n *ast.BasicLit, other string) *guard {
	if f.within(token.CONST) {
		return nil
	}
	g := f.wrap(n, "mutateConst[TYPE](ID, ", ", "+other+")")
	g.literal = n
	return g
}

// guardStatement guards a statement of a block.
func (f *finder) guardStatement(n ast.Node) *guard {
	// f.path ends with the statement itself.
	switch parent := f.path[len(f.path)-2].(type) {
	case *ast.BlockStmt, *ast.CaseClause:
	case *ast.CommClause:
		if parent.Comm == n {
			return nil
		}
	default:
		return nil
	}
	return f.wrap(n, "if !mutate(ID) { ", " }")
}

// complements are the operators that say the contrary.
var complements = map[token.Token]token.Token{
	token.EQL: token.NEQ, token.NEQ: token.EQL,
	token.LSS: token.GEQ, token.GEQ: token.LSS, token.GTR: token.LEQ, token.LEQ: token.GTR,
}

// functions take the place of operators, as guards.go.txt has them.
var functions = map[token.Token]string{
	token.LAND: "mutateAnd", token.LOR: "mutateOr",
	token.LSS: "mutateLess", token.GTR: "mutateGreater", token.LEQ: "mutateAtMost", token.GEQ: "mutateAtLeast",
	token.ADD: "mutateAdd", token.SUB: "mutateSub", token.MUL: "mutateMul", token.QUO: "mutateQuo",
	token.REM: "mutateRem", token.AND: "mutateBitAnd", token.OR: "mutateBitOr",
	token.SHL: "mutateShl", token.SHR: "mutateShr",
}

// guardOperator guards an operator that is exchanged for another.
func (f *finder) guardOperator(n *ast.BinaryExpr, other token.Token) *guard {
	if complements[n.Op] == other {
		return f.guardNegation(n)
	}
	if f.within(token.CONST) {
		return nil
	}
	g := f.wrap(n, functions[n.Op]+"(ID, ", ")")
	g.operator, g.length, g.comma, g.binary = f.source.offset(n.OpPos), len(n.Op.String()), ",", n
	if n.Op == token.LAND || n.Op == token.LOR { // the right side only where it counts
		g.comma, g.behind = ", func() bool { return (", ") })"
	}
	return g
}

// within says that the finder is in a declaration of this kind.
func (f *finder) within(kind token.Token) bool {
	return slices.ContainsFunc(f.path, func(n ast.Node) bool {
		d, ok := n.(*ast.GenDecl)
		return ok && d.Tok == kind
	})
}

//go:embed guards.go.txt
var guardsText string

// guards is the file that guarded files of a package of this name need.
func guards(packageName string) []byte {
	return []byte(strings.Replace(guardsText, "package PACKAGE", "package "+packageName, 1))
}

// edit is a change of a file on the way to its guarded form.
type edit struct {
	at, drop int
	text     string
	behind   bool // it belongs to what ends here
	width    int  // of the piece that is guarded
	inner    bool // it goes closer to the piece than others of the same width
	of       int  // the fault, by its number
}

// guarded returns the file with all these faults built in, which have numbers, and where each of
// them is in what is returned.
func (s *sourceFile) guarded(all map[int]*fault) (text []byte, places map[int][2]int) {
	var edits []edit
	for id, f := range all {
		g := f.guard
		put := func(text string) string { return strings.ReplaceAll(text, "ID", strconv.Itoa(id)) }
		e := edit{width: g.end - g.start, inner: g.comma != "", of: id}
		before, behind, operator := e, e, e
		before.at, before.text = g.start, put(g.before)
		behind.at, behind.text, behind.behind = g.end, put(g.behind), true
		edits = append(edits, before, behind)
		if g.comma != "" {
			operator.at, operator.drop, operator.text = g.operator, g.length, g.comma
			edits = append(edits, operator)
		}
	}
	slices.SortFunc(edits, nested)
	return s.edited(edits)
}

// nested orders edits so that what is guarded stays one within the other.
func nested(a, b edit) int {
	if order := cmp.Or(cmp.Compare(a.at, b.at), -boolean(a.behind)+boolean(b.behind)); order != 0 {
		return order
	}
	outerFirst := cmp.Or(cmp.Compare(b.width, a.width), boolean(a.inner)-boolean(b.inner), cmp.Compare(a.of, b.of))
	if a.behind {
		return -outerFirst
	}
	return outerFirst
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// edited applies edits that are in their order.
func (s *sourceFile) edited(edits []edit) (text []byte, places map[int][2]int) {
	var out bytes.Buffer
	places = make(map[int][2]int)
	done := 0
	for _, e := range edits {
		out.Write(s.text[done:e.at])
		done = e.at + e.drop
		place, begun := places[e.of]
		if !begun {
			place[0] = out.Len()
		}
		out.WriteString(e.text)
		place[1] = out.Len()
		places[e.of] = place
	}
	out.Write(s.text[done:])
	return out.Bytes(), places
}
