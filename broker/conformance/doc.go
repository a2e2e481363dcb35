// Package conformance holds the engine against the normative statements of
// MQTT 3.1.1 and 5.0, packet by packet over its listeners.
//
// A test says in its comment which statements it shows:
//
//	//mqtt:3.1.1 3.1.0-2
//	//mqtt:5.0 3.1.0-2 4.13.1-1
//
// Such comments count in every test below broker/, so that what only the codec
// or the topic rules decide is shown next to them. testdata lists all
// statements, each with who is bound by it: "server", "client" where it binds
// only clients, or "void" where what it demands something for never happens
// here. TestEveryStatementIsShown fails if a server's statement has no test;
// docs/conformance.md is written from the same lists by go generate.
package conformance

//go:generate go test -run TestDocumentIsUpToDate -update .
