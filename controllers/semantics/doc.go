// Package semantics shows the frozen semantics of the API as tests: a real API
// server, the operator, and the broker that it makes, with clients that speak MQTT
// to it. A kubelet's part is played by package testenv. The statements are listed in
// docs/semantics.md, which package page writes from the comments of the tests, here
// and elsewhere.
package semantics
