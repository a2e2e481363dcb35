// Package crd holds the CustomResourceDefinitions as they are installed, for
// those who judge manifests without an API server.
package crd

import "embed"

// Bases holds the generated definitions, bases/*.yaml.
//
//go:embed bases/*.yaml
var Bases embed.FS
