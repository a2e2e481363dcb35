package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// mount is a directory in the way the kubelet fills one: files are symlinks into
// ..data, itself a symlink that is swapped for each new content.
type mount struct {
	t    *testing.T
	dir  string
	next int
}

func newMount(t *testing.T, files map[string]string) *mount {
	t.Helper()
	m := &mount{t: t, dir: t.TempDir()}
	m.replace(files)
	return m
}

// replace is swap for files of other names: their links come after the content,
// and those of files that are gone go last.
func (m *mount) replace(files map[string]string) {
	m.t.Helper()
	m.swap(files)
	entries, err := os.ReadDir(m.dir)
	m.must(err)
	linked := map[string]bool{}
	for _, e := range entries {
		linked[e.Name()] = true
	}
	for name := range files {
		if !linked[name] {
			m.must(os.Symlink(filepath.Join("..data", name), filepath.Join(m.dir, name)))
		}
	}
	for name := range linked {
		if _, wanted := files[name]; !wanted && !strings.HasPrefix(name, "..") {
			m.must(os.Remove(filepath.Join(m.dir, name)))
		}
	}
}

// swap replaces the whole content at once.
func (m *mount) swap(files map[string]string) {
	m.t.Helper()
	m.next++
	version := fmt.Sprintf("..version%d", m.next)
	m.must(os.Mkdir(filepath.Join(m.dir, version), 0o700))
	for name, content := range files {
		writeFile(m.t, filepath.Join(m.dir, version, name), content)
	}
	link := filepath.Join(m.dir, "..data")
	old, _ := os.Readlink(link)
	m.must(os.Symlink(version, link+"_tmp"))
	m.must(os.Rename(link+"_tmp", link))
	if old != "" {
		m.must(os.RemoveAll(filepath.Join(m.dir, old)))
	}
}

func (m *mount) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// sink receives configurations in place of a server.
type sink struct {
	mu      sync.Mutex
	tried   []*Config
	applied []*Config
	refuse  error
}

func (s *sink) apply(c *Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = append(s.tried, c)
	if s.refuse != nil {
		return s.refuse
	}
	s.applied = append(s.applied, c)
	return nil
}

func (s *sink) setRefuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = err
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.applied)
}

// logs counts records by message.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

type fixture struct {
	t                      *testing.T
	settings, access, cert *mount
	sink                   *sink
	logs                   *logs
	watcher                *Watcher
}

func settingsWith(name, certDir string) string {
	return fmt.Sprintf(`{"name":%q,"listeners":[{"name":"mqtts","port":8883,"tls":{"certFile":"%s/tls.crt","keyFile":"%s/tls.key"}}],"mqtt":{},"drain":{}}`,
		name, certDir, certDir)
}

func accessWith(user string) string {
	return fmt.Sprintf(`{"users":[{"username":%q,"limits":{}}]}`, user)
}

func startWatcher(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t, map[string]string{AccessFile: accessWith("u")})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.watcher.Run(ctx, f.sink.apply)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

// newFixture is a Watcher on mounts, one of them with these access files, that
// does not run.
func newFixture(t *testing.T, access map[string]string) *fixture {
	t.Helper()
	f := &fixture{t: t, sink: &sink{}, logs: &logs{}}
	f.cert = newMount(t, map[string]string{"tls.crt": "c1", "tls.key": "k1"})
	f.settings = newMount(t, map[string]string{SettingsFile: settingsWith("a", f.cert.dir)})
	f.access = newMount(t, access)
	w, err := NewWatcher(f.settings.dir, f.access.dir, slog.New(slog.NewTextHandler(f.logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	f.watcher = w
	return f
}

// eventually waits for a condition, well beyond the slow poll.
func (f *fixture) eventually(what string, ok func() bool) {
	f.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			f.t.Fatalf("not within 20s: %s; error %v", what, f.watcher.Err())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestWatcherAppliesSwappedFiles(t *testing.T) {
	f := startWatcher(t)
	f.access.swap(map[string]string{AccessFile: accessWith("v")})
	f.eventually("access applied", func() bool {
		return f.watcher.Current().Access.Users[0].Username == "v"
	})
	f.settings.swap(map[string]string{SettingsFile: settingsWith("b", f.cert.dir)})
	f.eventually("settings applied", func() bool { return f.watcher.Current().Settings.Name == "b" })
	if n := f.sink.count(); n != 2 {
		t.Errorf("applied %d times, want 2", n)
	}
	want := Revision([]byte(settingsWith("b", f.cert.dir)), alone(accessWith("v")))
	if got := f.watcher.Current().Revision; got != want {
		t.Errorf("revision = %s, want %s", got, want)
	}
}

func TestWatcherAppliesAChangeBeforeRun(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, SettingsFile), minimalSettings)
	writeFile(t, filepath.Join(dir, AccessFile), minimalAccess)
	w, err := NewWatcher(dir, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, AccessFile), accessWith("late"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got *Config
	w.Run(ctx, func(c *Config) error {
		got = c
		cancel()
		return nil
	})
	if got == nil || len(got.Access.Users) != 1 {
		t.Errorf("applied %+v, want the user that came before Run", got)
	}
}

func TestWatcherAppliesARenewedCertificate(t *testing.T) {
	f := startWatcher(t)
	revision := f.watcher.Current().Revision
	f.cert.swap(map[string]string{"tls.crt": "c2", "tls.key": "k2"})
	f.eventually("applied again", func() bool { return f.sink.count() == 1 })
	if got := f.watcher.Current().Revision; got != revision {
		t.Errorf("revision = %s, want it unchanged: %s", got, revision)
	}
}

func TestWatcherFollowsCertificatesToANewDirectory(t *testing.T) {
	f := startWatcher(t)
	moved := newMount(t, map[string]string{"tls.crt": "c2", "tls.key": "k2"})
	f.settings.swap(map[string]string{SettingsFile: settingsWith("b", moved.dir)})
	f.eventually("settings applied", func() bool { return f.sink.count() == 1 })
	moved.swap(map[string]string{"tls.crt": "c3", "tls.key": "k3"})
	f.eventually("certificate applied", func() bool { return f.sink.count() == 2 })
}

func TestWatcherKeepsTheLastGoodConfiguration(t *testing.T) {
	tests := map[string]string{
		"torn":          accessWith("v")[:12],
		"empty":         "",
		"unknown field": `{"user":[]}`,
		"invalid":       `{"users":[{"username":""}]}`,
		"not json":      "\x00\xff\x00",
	}
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			f := startWatcher(t)
			good := f.watcher.Current().Revision
			f.access.swap(map[string]string{AccessFile: content})
			f.eventually("error told", func() bool { return f.watcher.Err() != nil })
			if f.watcher.Current().Revision != good || f.sink.count() != 0 {
				t.Error("a bad configuration took force")
			}
			f.access.swap(map[string]string{AccessFile: accessWith("u")})
			f.eventually("error cleared", func() bool { return f.watcher.Err() == nil })
			f.access.swap(map[string]string{AccessFile: accessWith("w")})
			f.eventually("next good one applied", func() bool {
				return f.watcher.Current().Access.Users[0].Username == "w"
			})
			if n := f.logs.count("configuration refused"); n != 1 {
				t.Errorf("told %d times of one problem", n)
			}
		})
	}
}

func TestWatcherSurvivesAMissingFile(t *testing.T) {
	f := startWatcher(t)
	f.access.must(os.Remove(filepath.Join(f.access.dir, AccessFile)))
	f.eventually("error told", func() bool { return errors.Is(f.watcher.Err(), os.ErrNotExist) })
	f.access.must(os.Symlink(filepath.Join("..data", AccessFile), filepath.Join(f.access.dir, AccessFile)))
	f.eventually("error cleared", func() bool { return f.watcher.Err() == nil })
}

func TestWatcherTriesARefusedConfigurationAgain(t *testing.T) {
	f := startWatcher(t)
	f.sink.setRefuse(errors.New("address in use"))
	f.access.swap(map[string]string{AccessFile: accessWith("v")})
	f.eventually("error told", func() bool { return f.watcher.Err() != nil })
	if got := f.watcher.Current().Access.Users[0].Username; got != "u" {
		t.Errorf("user in force = %s, want the former one", got)
	}
	f.sink.setRefuse(nil)
	f.eventually("applied without another change", func() bool {
		return f.watcher.Current().Access.Users[0].Username == "v" && f.watcher.Err() == nil
	})
}

// TestWatcherAppliesTheFormerConfigurationAfterARefusedOne, which may be in force
// in part.
func TestWatcherAppliesTheFormerConfigurationAfterARefusedOne(t *testing.T) {
	f := newFixture(t, map[string]string{AccessFile: accessWith("u")})
	f.sink.setRefuse(errors.New("bad certificate"))
	f.access.swap(map[string]string{AccessFile: accessWith("v")})
	f.watcher.check(f.sink.apply)
	f.sink.setRefuse(nil)
	f.access.swap(map[string]string{AccessFile: accessWith("u")})
	f.watcher.check(f.sink.apply)
	if f.sink.count() != 1 || f.sink.applied[0].Access.Users[0].Username != "u" || f.watcher.Err() != nil {
		t.Errorf("applied %d times; %v", f.sink.count(), f.watcher.Err())
	}
	f.watcher.check(f.sink.apply)
	if f.sink.count() != 1 {
		t.Error("what is in force is applied again")
	}
}

// TestWatcherParsesWhatHasChanged, and nothing else: a configuration, or an error,
// that comes of the same bytes is the same one.
func TestWatcherParsesWhatHasChanged(t *testing.T) {
	for name, access := range map[string]Files{
		"one file": alone(accessWith("u")),
		"shards":   mustEncode(t, fleet(10), 2),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, texts(access))
			first := f.watcher.Current()
			f.watcher.check(f.sink.apply)
			if f.watcher.Current() != first {
				t.Error("parsed again, and nothing has changed")
			}
			f.cert.swap(map[string]string{"tls.crt": "c2", "tls.key": "k2"})
			f.watcher.check(f.sink.apply)
			if f.sink.count() != 1 || f.sink.applied[0] != first {
				t.Errorf("parsed again for a certificate, or not applied: %d times", f.sink.count())
			}
		})
	}
}

func TestWatcherParsesWhatIsRefusedOnce(t *testing.T) {
	f := newFixture(t, map[string]string{AccessFile: accessWith("u")})
	f.sink.setRefuse(errors.New("address in use"))
	f.access.swap(map[string]string{AccessFile: accessWith("v")})
	f.watcher.check(f.sink.apply)
	f.watcher.check(f.sink.apply)
	if n := len(f.sink.tried); n != 2 || f.sink.tried[0] != f.sink.tried[1] {
		t.Errorf("tried %d times, or parsed in between", n)
	}
	f.access.swap(map[string]string{AccessFile: "{"})
	f.watcher.check(f.sink.apply)
	told := f.watcher.Err()
	f.watcher.check(f.sink.apply)
	if !errors.Is(f.watcher.Err(), told) {
		t.Error("a bad file is parsed again")
	}
}

func TestWatcherSeesAReplacedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "settings")
	write := func(user string) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, SettingsFile), minimalSettings)
		writeFile(t, filepath.Join(dir, AccessFile), accessWith(user))
	}
	write("u")
	w, err := NewWatcher(dir, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, watcher: w, sink: &sink{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, f.sink.apply)
	}()
	defer func() { cancel(); <-done }()
	for _, user := range []string{"v", "w"} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		write(user)
		f.eventually("user "+user, func() bool { return w.Current().Access.Users[0].Username == user })
	}
}
