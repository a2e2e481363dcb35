// Package imports holds the check of who may import whom.
package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/godwit-mqtt/godwit"

// pkg is a package of this module, with import paths as Go prints them.
type pkg struct {
	ImportPath   string
	Imports      []string // of the package itself, not of its tests
	TestImports  []string
	XTestImports []string
}

// name is the package's path inside the module.
func (p pkg) name() string { return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/") }

// rule says what the packages that match may import. Patterns are package paths, either exact or,
// with a trailing /..., a package and all below it; a path inside the module is written without the
// module's own.
type rule struct {
	packages string

	// own lists what they may import of this module; nil allows nothing, and a package's own
	// subpackages need an entry like any other.
	own []string
	// external lists what they may import of other modules; the standard library is not among
	// them. Nil allows everything.
	external []string
	// forbidden lists imports that are refused, the standard library included.
	forbidden []string
}

// nothing is an external list that no import matches.
var nothing = []string{}

// engineForbidden keeps Kubernetes out of the engine: it runs without a cluster.
var engineForbidden = []string{
	"k8s.io/...", "sigs.k8s.io/...", "github.com/cert-manager/...",
	module + "/api/...", module + "/controllers/...",
}

// rules are those of docs/ARCHITECTURE.md. The first that matches a package holds; a package under
// api, broker or controllers that none matches is refused, so that a new one gets a rule.
var rules = []rule{
	{packages: "api/...", own: []string{"api/..."}, external: []string{
		"k8s.io/apimachinery/...", "k8s.io/api/...", "sigs.k8s.io/controller-runtime/pkg/scheme",
	}},

	{packages: "controllers/resource/...", own: []string{"api/...", "broker/config"}, forbidden: impure},
	{packages: "controllers/render/...",
		own: []string{"api/...", "broker/config", "broker/topic", "broker/auth", "broker/auth/password"}, forbidden: impure},
	{packages: "controllers/conditions/...", own: []string{"api/..."}},
	{packages: "controllers/apply/...", own: []string{"api/...", "controllers/conditions/..."}},
	{packages: "controllers/lookup", own: []string{"api/...", "controllers/resource"}},
	{packages: "controllers/certmanager", own: []string{"controllers/apply"}},
	{packages: "controllers/enforcement", own: []string{"api/...", "controllers/conditions/...", "controllers/render"}},
	// The whole operator runs in it.
	{packages: "controllers/testenv/...", own: []string{"controllers/...", "api/...", "broker/config", "broker/admin/client"}},
	// Holds tests only.
	{packages: "controllers/semantics/...", external: nothing},
	// The kinds: each may use what is below it, and none another kind.
	{packages: "controllers/broker/...", own: append([]string{"controllers/broker/..."}, kindImports...)},
	{packages: "controllers/mqttuser/...", own: append([]string{"controllers/mqttuser/..."}, kindImports...)},
	{packages: "controllers/topicacl/...", own: append([]string{"controllers/topicacl/..."}, kindImports...)},
	// Puts the controllers together.
	{packages: "controllers", own: []string{"controllers/...", "api/..."}},

	{packages: "broker/packet", external: nothing},
	{packages: "broker/topic", external: nothing},
	{packages: "broker/session", own: []string{"broker/packet"}, external: nothing,
		forbidden: []string{"net/...", "os/...", "sync/...", "log/..."}},
	{packages: "broker/retain", own: []string{"broker/topic", "broker/packet"}, forbidden: engineForbidden},
	{packages: "broker/store/...", own: []string{"broker/store/...", "broker/packet", "broker/session"},
		forbidden: engineForbidden},
	{packages: "broker/auth/password", external: []string{"golang.org/x/crypto/...", "github.com/xdg-go/stringprep"}},
	{packages: "broker/auth/...", own: []string{"broker/auth/...", "broker/topic", "broker/packet", "broker/config"},
		forbidden: engineForbidden},
	// Metrics for the names of its counters only: the package is a leaf.
	{packages: "broker/router", own: []string{
		"broker/topic", "broker/packet", "broker/session", "broker/retain", "broker/store", "broker/config", "broker/auth",
		"broker/metrics",
	}, forbidden: engineForbidden},
	{packages: "broker/listener/...", own: []string{"broker/config"}, forbidden: engineForbidden},
	{packages: "broker/metrics", forbidden: engineForbidden},
	{packages: "broker/config", own: []string{"broker/topic"}, forbidden: engineForbidden},
	{packages: "broker/admin/client", forbidden: engineForbidden},
	{packages: "broker/admin", own: []string{"broker/admin/client", "broker/config", "broker/metrics"},
		forbidden: engineForbidden},
	// It measures brokers from outside, so that it must not know this one.
	{packages: "broker/bench", own: []string{"broker/packet"}, forbidden: engineForbidden},
	{packages: "broker/server/...", own: []string{"broker/..."}, forbidden: engineForbidden},
	{packages: "broker/...", own: []string{"broker/..."}, forbidden: engineForbidden},

	{packages: "cmd/...", own: []string{"cmd/...", "api/...", "broker/...", "controllers/...", "config/crd"}},
}

// kindImports is what every kind's controller may import.
var kindImports = []string{
	"api/...", "broker/config", "broker/topic", "broker/auth/password", "broker/admin/client",
	"controllers/resource/...", "controllers/render/...", "controllers/apply/...", "controllers/conditions/...",
	"controllers/enforcement", "controllers/lookup", "controllers/certmanager",
}

// impure are the clients that a pure builder has no use for.
var impure = []string{"k8s.io/client-go/...", "sigs.k8s.io/controller-runtime/...", "net/http/...", "os/..."}

func TestImportsFollowTheArchitecture(t *testing.T) {
	for _, p := range list(t) {
		r, found := ruleFor(p.name())
		if !found {
			if top, _, _ := strings.Cut(p.name(), "/"); slices.Contains([]string{"api", "broker", "controllers"}, top) {
				t.Errorf("%s has no rule: give it one", p.name())
			}
			continue
		}
		for _, imported := range p.Imports {
			if why := r.refuses(imported); why != "" {
				t.Errorf("%s imports %s: %s", p.name(), imported, why)
			}
		}
	}
}

// Tests may use more than their package, but the engine's tests stay without Kubernetes too.
func TestEngineTestsStayWithoutKubernetes(t *testing.T) {
	r := rule{own: []string{"broker/..."}, forbidden: engineForbidden}
	for _, p := range list(t) {
		if !matches(p.name(), "broker/...") {
			continue
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			if why := r.refuses(imported); why != "" {
				t.Errorf("a test of %s imports %s: %s", p.name(), imported, why)
			}
		}
	}
}

// The rules themselves, tried on imports that they must tell apart.
func TestRulesTellImportsApart(t *testing.T) {
	for _, tc := range []struct {
		pkg, imported string
		allowed       bool
	}{
		{"broker/packet", "encoding/binary", true},
		{"broker/packet", "golang.org/x/sys/unix", false},
		{"broker/packet", module + "/broker/topic", false},
		{"broker/session", module + "/broker/packet", true},
		{"broker/session", "sync/atomic", false},
		{"broker/session", "os", false},
		{"broker/server", module + "/broker/router", true},
		{"broker/server", module + "/api/v1alpha1", false},
		{"broker/server", "k8s.io/apimachinery/pkg/types", false},
		{"broker/config", "sigs.k8s.io/yaml", false},
		{"broker/config", module + "/broker/topic", true},
		{"broker/config", module + "/broker/auth", false},
		{"broker/auth/password", "golang.org/x/crypto/bcrypt", true},
		{"broker/auth/password", module + "/broker/topic", false},
		{"controllers/resource", "sigs.k8s.io/controller-runtime/pkg/client", false},
		{"controllers/broker", "sigs.k8s.io/controller-runtime/pkg/client", true},
		{"controllers/broker", module + "/controllers/mqttuser", false},
		{"controllers/mqttuser", module + "/broker/auth/password", true},
		{"controllers/mqttuser", module + "/broker/server", false},
		{"api/v1alpha1", "k8s.io/api/core/v1", true},
		{"api/v1alpha1", "k8s.io/client-go/rest", false},
	} {
		r, found := ruleFor(tc.pkg)
		if !found {
			t.Errorf("%s has no rule", tc.pkg)
			continue
		}
		if why := r.refuses(tc.imported); (why == "") != tc.allowed {
			t.Errorf("%s imports %s: allowed should be %v, the rule says %q", tc.pkg, tc.imported, tc.allowed, why)
		}
	}
}

func ruleFor(name string) (rule, bool) {
	for _, r := range rules {
		if matches(name, r.packages) {
			return r, true
		}
	}
	return rule{}, false
}

// refuses says why an import is not allowed, and nothing when it is.
func (r rule) refuses(imported string) string {
	if matchesAny(imported, r.forbidden) {
		return "refused for packages " + r.packages
	}
	if own, ok := strings.CutPrefix(imported, module+"/"); ok {
		if !matchesAny(own, r.own) {
			return "not among what packages " + r.packages + " may import of this module"
		}
		return ""
	}
	if r.external != nil && isExternal(imported) && !matchesAny(imported, r.external) {
		return "not among what packages " + r.packages + " may import of other modules"
	}
	return ""
}

// isExternal tells other modules' packages from the standard library's by the dot in the host.
func isExternal(imported string) bool {
	host, _, _ := strings.Cut(imported, "/")
	return strings.Contains(host, ".")
}

func matchesAny(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(name, pattern) })
}

func matches(name, pattern string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == prefix || strings.HasPrefix(name, prefix+"/")
	}
	return name == path.Clean(pattern)
}

// list asks the go command for the module's packages, as they are built for Linux.
func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	cmd.Env = append(cmd.Environ(), "GOOS=linux")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	var packages []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
}
