package main

import (
	"go/ast"
	"go/token"
	"slices"
)

// exchanged holds what takes the place of a binary operator.
var exchanged = map[token.Token][]token.Token{
	token.EQL:  {token.NEQ},
	token.NEQ:  {token.EQL},
	token.LSS:  {token.LEQ, token.GEQ},
	token.LEQ:  {token.LSS, token.GTR},
	token.GTR:  {token.GEQ, token.LEQ},
	token.GEQ:  {token.GTR, token.LSS},
	token.LAND: {token.LOR},
	token.LOR:  {token.LAND},
	token.ADD:  {token.SUB},
	token.SUB:  {token.ADD},
	token.MUL:  {token.QUO},
	token.QUO:  {token.MUL},
	token.REM:  {token.MUL},
	token.AND:  {token.OR},
	token.OR:   {token.AND},
	token.SHL:  {token.SHR},
	token.SHR:  {token.SHL},
}

// exchangedAssign holds what takes the place of an assigning operator.
var exchangedAssign = map[token.Token]token.Token{
	token.ADD_ASSIGN: token.SUB_ASSIGN,
	token.SUB_ASSIGN: token.ADD_ASSIGN,
	token.AND_ASSIGN: token.OR_ASSIGN,
	token.OR_ASSIGN:  token.AND_ASSIGN,
	token.INC:        token.DEC,
	token.DEC:        token.INC,
}

// finder collects the faults of one file.
type finder struct {
	source *sourceFile
	found  []*fault
	path   []ast.Node // from the file to the node that is looked at
}

// faults returns the faults of the file, in its order, each once.
func (s *sourceFile) faults() []*fault {
	f := &finder{source: s}
	ast.Inspect(s.tree, func(n ast.Node) bool {
		if n == nil {
			f.path = f.path[:len(f.path)-1]
			return false
		}
		if f.passesOver(n) {
			return false
		}
		f.path = append(f.path, n)
		f.look(n)
		return true
	})
	slices.SortStableFunc(f.found, func(a, b *fault) int { return a.start - b.start })
	return f.found
}

// passesOver says that a node and all in it get no faults: types, import paths and tags are no
// code, and the size that make is told decides nothing but when memory is taken.
func (f *finder) passesOver(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ImportSpec, *ast.FieldList, *ast.ArrayType, *ast.StructType, *ast.InterfaceType:
		return true
	case ast.Expr:
		call, ok := f.parent().(*ast.CallExpr)
		return ok && isCall(call, "make") && isHint(call, n)
	}
	return false
}

// isHint says that the argument of a call of make is a capacity or the size of a map.
func isHint(call *ast.CallExpr, argument ast.Expr) bool {
	_, isMap := call.Args[0].(*ast.MapType)
	i := slices.Index(call.Args, argument)
	return i == 2 || i == 1 && isMap
}

func isCall(call *ast.CallExpr, function string) bool {
	name, ok := call.Fun.(*ast.Ident)
	return ok && name.Name == function && len(call.Args) > 0
}

func (f *finder) parent() ast.Node {
	if len(f.path) == 0 {
		return nil
	}
	return f.path[len(f.path)-1]
}

// look adds the faults of a node itself.
func (f *finder) look(n ast.Node) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		for _, op := range exchanged[n.Op] {
			f.replace("operator exchanged", n.OpPos, len(n.Op.String()), op.String()).guard = f.guardOperator(n, op)
		}
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			f.replace("negation removed", n.OpPos, 1, "").guard = f.guardNegation(n)
		}
	case *ast.BasicLit:
		f.constant(n)
	case *ast.Ident:
		f.boolean(n)
	case *ast.IfStmt:
		f.condition(n)
	case *ast.ReturnStmt:
		f.returned(n)
	case *ast.AssignStmt:
		f.assignment(n)
	case *ast.IncDecStmt:
		f.replace("operator exchanged", n.TokPos, len(n.Tok.String()), exchangedAssign[n.Tok].String())
		f.remove(n)
	case *ast.ExprStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt, *ast.BranchStmt:
		f.remove(n)
	}
}

func (f *finder) constant(n *ast.BasicLit) {
	if n.Kind != token.INT {
		return
	}
	for _, d := range []int64{1, -1} {
		if text, ok := step(n.Value, d); ok {
			f.replaceNode("constant changed", n, text).guard = f.guardConstant(n, text)
		}
	}
}

func (f *finder) boolean(n *ast.Ident) {
	switch n.Name {
	case "true":
		f.replaceNode("constant changed", n, "false").guard = f.guardNegation(n)
	case "false":
		f.replaceNode("constant changed", n, "true").guard = f.guardNegation(n)
	}
}

// condition negates a condition, and takes away the check of an error. What is negated by another
// fault already is left out.
func (f *finder) condition(n *ast.IfStmt) {
	text := f.text(n.Cond)
	switch cond := n.Cond.(type) {
	case *ast.BinaryExpr:
		if cond.Op == token.NEQ && isNil(cond.Y) && isError(cond.X) {
			f.replaceNode("error check removed", n.Cond, "false && "+text).guard = f.wrap(n.Cond, "(!mutate(ID) && (", "))")
		}
		if cond.Op == token.LAND || cond.Op == token.LOR {
			f.replaceNode("condition negated", n.Cond, "!("+text+")").guard = f.guardNegation(n.Cond)
		}
	case *ast.UnaryExpr:
	default:
		f.replaceNode("condition negated", n.Cond, "!"+text).guard = f.guardNegation(n.Cond)
	}
}

func isNil(n ast.Expr) bool {
	name, ok := n.(*ast.Ident)
	return ok && name.Name == "nil"
}

// isError says that an expression is an error by its name.
func isError(n ast.Expr) bool {
	name, ok := n.(*ast.Ident)
	return ok && (name.Name == "err" || len(name.Name) == 4 && name.Name[1:] == "err")
}

// returned changes what a function returns: errors become nil, and booleans the other one.
func (f *finder) returned(n *ast.ReturnStmt) {
	types := f.results()
	if len(n.Results) == 0 {
		f.remove(n)
		return
	}
	if len(n.Results) != len(types) {
		return
	}
	for i, result := range n.Results {
		text := f.text(result)
		if _, isBinary := result.(*ast.BinaryExpr); isBinary {
			text = "(" + text + ")"
		}
		switch {
		case types[i] == "error" && !isNil(result):
			f.replaceNode("returned error dropped", result, "nil").guard = f.wrap(result, "mutateError(ID, ", ")")
		case types[i] != "bool" || isBoolean(result):
		default:
			f.replaceNode("returned value negated", result, "!"+text).guard = f.guardNegation(result)
		}
	}
}

// isBoolean says that an expression is true, false or something negated, which get faults of their own.
func isBoolean(n ast.Expr) bool {
	switch n := n.(type) {
	case *ast.Ident:
		return n.Name == "true" || n.Name == "false"
	case *ast.UnaryExpr:
		return n.Op == token.NOT
	}
	return false
}

// results returns the types of what the innermost function returns, empty where they have no
// simple name.
func (f *finder) results() []string {
	var list *ast.FieldList
	for _, n := range slices.Backward(f.path) {
		switch n := n.(type) {
		case *ast.FuncLit:
			list = n.Type.Results
		case *ast.FuncDecl:
			list = n.Type.Results
		default:
			continue
		}
		break
	}
	if list == nil {
		return nil
	}
	var types []string
	for _, field := range list.List {
		name := ""
		if t, ok := field.Type.(*ast.Ident); ok {
			name = t.Name
		}
		for range max(1, len(field.Names)) {
			types = append(types, name)
		}
	}
	return types
}

// assignment removes an assignment, and exchanges its operator.
func (f *finder) assignment(n *ast.AssignStmt) {
	if op, ok := exchangedAssign[n.Tok]; ok {
		f.replace("operator exchanged", n.TokPos, len(n.Tok.String()), op.String())
	}
	if n.Tok != token.DEFINE && f.text(n.Lhs[0]) != "_" {
		f.remove(n)
	}
}

func (f *finder) remove(n ast.Node) {
	f.replaceNode("statement removed", n, "").guard = f.guardStatement(n)
}

func (f *finder) replaceNode(kind string, n ast.Node, with string) *fault {
	return f.replace(kind, n.Pos(), int(n.End()-n.Pos()), with)
}

func (f *finder) replace(kind string, pos token.Pos, length int, with string) *fault {
	start := f.source.offset(pos)
	made := &fault{file: f.source, function: f.function(), kind: kind, start: start, end: start + length, with: with}
	f.found = append(f.found, made)
	return made
}

func (f *finder) text(n ast.Node) string {
	return string(f.source.text[f.source.offset(n.Pos()):f.source.offset(n.End())])
}

// function names the declaration that the finder is in.
func (f *finder) function() string {
	for _, n := range f.path {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil {
				return n.Name.Name
			}
			return "(" + f.text(n.Recv.List[0].Type) + ")." + n.Name.Name
		case *ast.ValueSpec:
			return n.Names[0].Name
		}
	}
	return "-"
}
