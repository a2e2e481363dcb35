package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// MaxFileSize bounds each file, in bytes, before anything of it is parsed.
const MaxFileSize = 64 << 20

// Parse reads the content of SettingsFile and of the access directory and returns
// the configuration with its defaults spelled out. Unknown fields are errors, and
// so is everything that Validate finds. Other files of the access directory are
// passed over.
func Parse(settings []byte, access Files) (*Config, error) {
	c := &Config{Revision: Revision(settings, access)}
	var err error
	c.Access, err = access.decode()
	if err = errors.Join(decode(SettingsFile, settings, &c.Settings), err); err != nil {
		return nil, err
	}
	c.Settings = c.Settings.Defaulted()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// Load is Parse of the files in settingsDir and accessDir.
func Load(settingsDir, accessDir string) (*Config, error) {
	settings, access, err := readFiles(settingsDir, accessDir, Files.Shards)
	if err != nil {
		return nil, err
	}
	return Parse(settings, access)
}

// Files returns the paths of the certificates, keys and CAs that the settings
// point to, sorted, each once.
func (s *Settings) Files() []string {
	var files []string
	for _, l := range s.Listeners {
		if l.TLS == nil {
			continue
		}
		files = append(files, l.TLS.files()...)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

func (t *TLS) files() []string {
	files := []string{t.CertFile, t.KeyFile}
	if t.ClientCAFile != "" {
		files = append(files, t.ClientCAFile)
	}
	for _, a := range t.Additional {
		files = append(files, a.CertFile, a.KeyFile)
	}
	return files
}

// readFiles reads all that Parse needs. shards tells those of AccessFile.
func readFiles(settingsDir, accessDir string, shards func(Files) []string) (settings []byte, access Files, err error) {
	settings, serr := readFile(filepath.Join(settingsDir, SettingsFile))
	access, aerr := readAccess(accessDir, shards)
	return settings, access, errors.Join(serr, aerr)
}

// ReadAccess reads AccessFile of a directory and the shards that it names. One that is not there
// is left out, for Parse to tell of.
func ReadAccess(dir string) (Files, error) { return readAccess(dir, Files.Shards) }

func readAccess(dir string, shards func(Files) []string) (Files, error) {
	content, err := readFile(filepath.Join(dir, AccessFile))
	if err != nil {
		return nil, err
	}
	files := Files{AccessFile: content}
	for _, name := range shards(files) {
		content, err := readFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[name] = content
	}
	return files, nil
}

// readFile reads a file that is at most MaxFileSize long.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > MaxFileSize {
		return nil, fmt.Errorf("read %s: more than %d bytes", path, MaxFileSize)
	}
	return b, nil
}

// decode reads the one JSON value that data holds, strictly.
func decode(name string, data []byte, into any) error {
	if len(data) > MaxFileSize {
		return fmt.Errorf("%s: more than %d bytes", name, MaxFileSize)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s: the file is empty", name)
	case err != nil:
		return fmt.Errorf("%s: %w%s", name, err, position(data, err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: there is more after the end of the configuration, at byte %d", name, d.InputOffset())
	}
	return nil
}

// position tells the line of an error in data, where the error knows it.
func position(data []byte, err error) string {
	var offset int64
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = syntax.Offset
	} else if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = mismatch.Offset
	}
	if offset <= 0 || offset > int64(len(data)) {
		return ""
	}
	return fmt.Sprintf(" (line %d)", 1+bytes.Count(data[:offset], []byte("\n")))
}
