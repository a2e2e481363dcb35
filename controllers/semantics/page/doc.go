// Package page writes docs/semantics.md from the comments of tests, and checks that
// every statement has some: a line such as
//
//	//api:semantics 1 4
//
// says which statements a test shows. It is a package of its own because it needs
// no API server.
package page

//go:generate go test . -run TestPageIsUpToDate -update
