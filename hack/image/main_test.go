package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// build compiles a small program for linux/amd64 and returns its path.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "program")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GO111MODULE=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

func TestPackedTwiceIsTheSame(t *testing.T) {
	binary, dir := build(t), t.TempDir()
	var archives [2][]byte
	for i := range archives {
		path := filepath.Join(dir, "image.tar")
		if _, err := pack([]string{binary}, "godwit:dev", "65532:65532", path); err != nil {
			t.Fatal(err)
		}
		var err error
		if archives[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of the same binary differ")
	}
}

func TestArchiveHoldsWhatItsManifestNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.tar")
	ref, err := pack([]string{build(t)}, "godwit:dev", "65532:65532", path)
	if err != nil {
		t.Fatal(err)
	}
	content := entries(t, path)
	var manifest []archiveEntry
	if err := json.Unmarshal(content["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	m := manifest[0]
	if m.RepoTags[0] != "godwit:dev" || m.RepoTags[1] != ref || !strings.HasPrefix(ref, "godwit:dev-") {
		t.Errorf("tags %v, reference %s", m.RepoTags, ref)
	}
	var config struct {
		Architecture string
		Config       struct {
			User       string
			Entrypoint []string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(content[m.Config], &config); err != nil {
		t.Fatal(err)
	}
	if config.Architecture != "amd64" || config.Config.User != "65532:65532" || config.Config.Entrypoint[0] != "/program" {
		t.Errorf("configuration %+v", config)
	}
	if want := "sha256:" + digest(content[m.Layers[0]]); config.RootFS.DiffIDs[0] != want {
		t.Errorf("layer %s, the configuration says %s", want, config.RootFS.DiffIDs[0])
	}
}

func TestRefusesWhatCannotRunFromScratch(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a dynamic Linux binary")
	}
	for _, path := range []string{"/bin/ls", "main_test.go"} {
		if _, err := pack([]string{path}, "x:y", "0:0", filepath.Join(t.TempDir(), "image.tar")); err == nil {
			t.Errorf("%s was packed", path)
		}
	}
}

func entries(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	files := map[string][]byte{}
	for archive := tar.NewReader(f); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}
