// Command image packs static Linux binaries into a container image, without a container engine,
// and prints the reference that names exactly this content: NAME:TAG-DIGEST.
//
// The archive is in docker's format, as `ctr images import`, `docker load` and
// `kind load image-archive` read it, and names the image twice: as NAME:TAG and as the printed
// reference. The same binaries always give the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("image: ")
	binary := flag.String("binary", "", "static Linux binary that the image runs; it stands in the root of the image")
	name := flag.String("name", "godwit:dev", "image name and tag")
	user := flag.String("user", "65532:65532", "user and group that the image runs as")
	output := flag.String("o", "", "archive to write")
	binaries := []string{""}
	flag.Func("add", "another static binary for the root of the image; may be repeated", func(path string) error {
		binaries = append(binaries, path)
		return nil
	})
	flag.Parse()
	if *binary == "" || *output == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	binaries[0] = *binary
	ref, err := pack(binaries, *name, *user, *output)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ref)
}

// pack writes an archive with binaries in the root of the image, of which it runs the first, and
// returns the reference with the digest.
func pack(binaries []string, name, user, output string) (string, error) {
	arch, contents, err := read(binaries)
	if err != nil {
		return "", err
	}
	var layer bytes.Buffer
	if err := writeTar(&layer, contents...); err != nil {
		return "", err
	}
	config, err := json.Marshal(imageConfig(arch, "/"+contents[0].name, user, digest(layer.Bytes())))
	if err != nil {
		return "", err
	}
	id := digest(config)
	ref := name + "-" + id[:12]
	manifest, err := json.Marshal([]archiveEntry{{
		Config: id + ".json", RepoTags: []string{name, ref}, Layers: []string{"layer.tar"},
	}})
	if err != nil {
		return "", err
	}
	return ref, writeFile(output,
		file{"layer.tar", 0o644, layer.Bytes()},
		file{id + ".json", 0o644, config},
		file{"manifest.json", 0o644, manifest})
}

// archiveEntry is an element of the archive's manifest.json.
type archiveEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// imageConfig describes an image of one layer that runs entrypoint.
func imageConfig(arch, entrypoint, user, diffID string) map[string]any {
	return map[string]any{
		"architecture": arch,
		"os":           "linux",
		"created":      time.Unix(0, 0).UTC(),
		"config":       map[string]any{"Entrypoint": []string{entrypoint}, "User": user, "WorkingDir": "/"},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + diffID}},
	}
}

// read loads binaries, which must be for the same architecture.
func read(binaries []string) (arch string, contents []file, err error) {
	for _, path := range binaries {
		its, err := architecture(path)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", path, err)
		}
		if arch != "" && its != arch {
			return "", nil, fmt.Errorf("%s is for %s, not %s", path, its, arch)
		}
		arch = its
		content, err := os.ReadFile(path)
		if err != nil {
			return "", nil, err
		}
		contents = append(contents, file{filepath.Base(path), 0o755, content})
	}
	return arch, contents, nil
}

// architecture reads the platform of a binary, and refuses one that needs a dynamic loader: an
// image with nothing else in it has none.
func architecture(binary string) (string, error) {
	f, err := elf.Open(binary)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "", errors.New("not a static binary; build it with CGO_ENABLED=0")
		}
	}
	switch f.Machine {
	case elf.EM_X86_64:
		return "amd64", nil
	case elf.EM_AARCH64:
		return "arm64", nil
	default:
		return "", fmt.Errorf("unsupported machine %v", f.Machine)
	}
}

// file is an entry of a tar archive.
type file struct {
	name    string
	mode    int64
	content []byte
}

// writeTar writes files with nothing that differs from run to run: no times, no owners.
func writeTar(w io.Writer, files ...file) error {
	t := tar.NewWriter(w)
	for _, f := range files {
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content)),
			ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
		}
		if err := t.WriteHeader(header); err != nil {
			return err
		}
		if _, err := t.Write(f.content); err != nil {
			return err
		}
	}
	return t.Close()
}

// writeFile writes the archive beside its place and moves it there when it is whole.
func writeFile(path string, files ...file) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".image-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone already when all went well
	if err := errors.Join(writeTar(tmp, files...), tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
