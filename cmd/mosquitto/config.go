package mosquitto

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Config is what mosquitto.conf and the files that it includes say.
type Config struct {
	name     string // of the first file
	settings []setting
}

// setting is a line of a configuration file.
type setting struct {
	file       string
	line       int
	key, value string
}

// maxIncludes bounds how deep files may include directories.
const maxIncludes = 8

// ReadConfig reads mosquitto.conf and the directories that it includes.
func ReadConfig(path string) (*Config, error) {
	c := &Config{name: path}
	if err := c.read(path, 0); err != nil {
		return nil, err
	}
	for _, s := range c.settings {
		if s.key == "per_listener_settings" && s.isOn() {
			return nil, fmt.Errorf("%s:%d: per_listener_settings gives each listener users and rules of its own, a Broker has one set: "+
				"import each listener's files by --passwd and --acl, for a Broker each", s.file, s.line)
		}
	}
	return c, nil
}

func (c *Config) read(path string, depth int) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(content), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, _ := strings.Cut(line, " ")
		s := setting{path, i + 1, key, strings.TrimSpace(value)}
		if key != "include_dir" {
			c.settings = append(c.settings, s)
			continue
		}
		if err := c.include(s, depth); err != nil {
			return err
		}
	}
	return nil
}

// include reads the .conf files of a directory, sorted.
func (c *Config) include(s setting, depth int) error {
	if depth == maxIncludes {
		return fmt.Errorf("%s:%d: include_dir is nested too deep", s.file, s.line)
	}
	entries, err := os.ReadDir(s.value)
	if err != nil {
		return fmt.Errorf("%s:%d: %w", s.file, s.line, err)
	}
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".conf" {
			continue
		}
		if err := c.read(filepath.Join(s.value, e.Name()), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// PasswdFile that the configuration names; empty where it names none.
func (c *Config) PasswdFile() string { return c.last("password_file") }

// ACLFile that the configuration names; empty where it names none.
func (c *Config) ACLFile() string { return c.last("acl_file") }

// last returns the value that counts of a setting that is for all listeners.
func (c *Config) last(key string) (value string) {
	for _, s := range c.settings {
		if s.key == key {
			value = s.value
		}
	}
	return value
}

// allowsAnonymous says whether clients need no credentials. That is so without a
// word where there is no listener, and only this machine can connect.
func (c *Config) allowsAnonymous() bool {
	if c.isOn("use_username_as_clientid") || c.last("clientid_prefixes") != "" {
		return false // nothing would hold them to these client IDs
	}
	local := !slices.ContainsFunc(c.settings, func(s setting) bool { return s.key == "listener" || s.key == "port" })
	if c.last("allow_anonymous") == "" {
		return local
	}
	return c.isOn("allow_anonymous")
}

// isOn says whether a setting that is for all listeners is on.
func (c *Config) isOn(key string) bool { return setting{value: c.last(key)}.isOn() }

// isOn says whether the value stands for yes, as Mosquitto reads it.
func (s setting) isOn() bool {
	word, _, _ := strings.Cut(s.value, " ")
	return word == "true" || word == "1"
}

// namesByCertificate says that a listener takes usernames from certificates.
func (c *Config) namesByCertificate() bool {
	return slices.ContainsFunc(c.settings, func(s setting) bool {
		return s.key == "use_identity_as_username" && s.isOn()
	})
}
