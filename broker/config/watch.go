package config

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Pace of a Watcher.
const (
	// debounce gathers the events of one change: a swap of a directory, or an
	// editor's writing.
	debounce = 50 * time.Millisecond
	// poll finds what no event told of.
	poll = 5 * time.Second
	// pollAlone is the pace where the system grants no events at all.
	pollAlone = time.Second
	// settling is how long files of different moments are taken for a change that
	// is under way, before they are told as an error.
	settling = 15 * time.Second
)

// Watcher follows a configuration on disk: its files, and the certificates that
// they point to. What it hands out was parsed and validated whole; the last
// good configuration stays in force while the files hold a bad one.
//
// Events only make it look sooner: it always reads everything, so that a swapped
// symlink, a replaced file and one that was written in place are all the same to
// it, and parses the files where their bytes are others than those it has parsed
// last. Settings and access may be of different moments while a change is under
// way: each pair that is valid by itself is applied. Shards of different moments
// are not: the last good configuration stays in force until they belong together.
type Watcher struct {
	settingsDir, accessDir string
	log                    *slog.Logger
	settling               time.Duration

	// Of Run alone: what was parsed last, the names in AccessFile, what is in
	// force, zero where that is not known, and since when the shards do not belong
	// together; zero where they do.
	parsed     parsed
	index      fingerprint
	shards     []string
	inForce    fingerprint
	incomplete time.Time

	mu      sync.Mutex
	current *Config
	err     error
}

// fingerprint stands for all bytes that something was made of.
type fingerprint [sha256.Size]byte

// parsed is what Parse has made of files.
type parsed struct {
	of     fingerprint
	config *Config
	err    error
}

// NewWatcher loads the configuration that stands on disk now, for Current. Run
// finds every change since.
func NewWatcher(settingsDir, accessDir string, log *slog.Logger) (*Watcher, error) {
	w := &Watcher{settingsDir: settingsDir, accessDir: accessDir, log: log, settling: settling}
	c, sum, err := w.load()
	if err != nil {
		return nil, err
	}
	w.current, w.inForce = c, sum
	return w, nil
}

// Current returns the configuration in force.
func (w *Watcher) Current() *Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.current
}

// Err returns why the files on disk are not in force; nil where they are.
func (w *Watcher) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Run calls apply, from this goroutine, with each new valid configuration, and
// with the same one where only the content of a certificate file has changed: a
// certificate is to be read again on every call. After an error of apply it is
// called again with the same one, until it succeeds or the files have changed:
// then with what they hold, for a part of the refused one may be in force. Run
// returns when ctx ends.
func (w *Watcher) Run(ctx context.Context, apply func(*Config) error) {
	events, interval := w.open()
	if events != nil {
		defer func() { _ = events.Close() }()
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	settled := time.NewTimer(debounce)
	defer settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-eventsOf(events):
			settled.Reset(debounce)
			continue
		case err := <-errorsOf(events):
			w.log.Debug("file events were lost", "error", err)
		case <-settled.C:
		case <-ticker.C:
		}
		w.check(apply)
		if w.follow(events) {
			settled.Reset(debounce) // something may have changed before it was watched
		}
	}
}

// open starts to receive events, where the system grants them, and returns how
// often to look without one.
func (w *Watcher) open() (*fsnotify.Watcher, time.Duration) {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Warn("no file events, the configuration is polled", "error", err, "interval", pollAlone)
		return nil, pollAlone
	}
	w.follow(events)
	return events, poll
}

func eventsOf(w *fsnotify.Watcher) <-chan fsnotify.Event {
	if w == nil {
		return nil
	}
	return w.Events
}

func errorsOf(w *fsnotify.Watcher) <-chan error {
	if w == nil {
		return nil
	}
	return w.Errors
}

// follow watches the directories that matter now, anew where one was replaced,
// and says whether any was not watched before. A directory that is missing is
// found by the poll.
func (w *Watcher) follow(events *fsnotify.Watcher) bool {
	if events == nil {
		return false
	}
	watched := make(map[string]bool)
	for _, dir := range events.WatchList() {
		watched[dir] = true
	}
	added := false
	for dir := range w.directories() {
		if events.Add(dir) == nil && !watched[dir] {
			added = true
		}
		delete(watched, dir)
	}
	for dir := range watched {
		_ = events.Remove(dir)
	}
	return added
}

// directories returns those of all files of the configuration in force.
func (w *Watcher) directories() map[string]bool {
	dirs := map[string]bool{filepath.Clean(w.settingsDir): true, filepath.Clean(w.accessDir): true}
	for _, f := range w.Current().Settings.Files() {
		dirs[filepath.Dir(f)] = true
	}
	return dirs
}

// check reads everything and applies it if it differs from what is in force.
func (w *Watcher) check(apply func(*Config) error) {
	c, sum, err := w.load()
	if err == nil && sum != w.inForce {
		if err = apply(c); err != nil {
			w.inForce = fingerprint{}
		}
	}
	switch {
	case w.isSettling(err):
	case err != nil:
		w.fail(err)
	default:
		w.succeed(c, sum)
	}
}

// isSettling says that an error is of shards whose change may be under way.
func (w *Watcher) isSettling(err error) bool {
	if !errors.Is(err, ErrIncomplete) {
		w.incomplete = time.Time{}
		return false
	}
	now := time.Now()
	if w.incomplete.IsZero() {
		w.incomplete = now
	}
	return now.Sub(w.incomplete) < w.settling
}

func (w *Watcher) succeed(c *Config, sum fingerprint) {
	w.mu.Lock()
	was := w.err
	w.current, w.err = c, nil
	w.mu.Unlock()
	if sum != w.inForce || was != nil {
		w.log.Info("configuration in force", "revision", c.Revision)
	}
	w.inForce = sum
}

// fail keeps what is in force, and tells of each problem once.
func (w *Watcher) fail(err error) {
	w.mu.Lock()
	was := w.err
	w.err = err
	revision := w.current.Revision
	w.mu.Unlock()
	if was == nil || was.Error() != err.Error() {
		w.log.Error("configuration refused, the last good one stays in force", "error", err, "revision", revision)
	}
}

// load reads the files and the certificates that they point to. A certificate
// that cannot be read is for the receiver of the configuration to report.
func (w *Watcher) load() (*Config, fingerprint, error) {
	c, err := w.parse()
	if errors.Is(err, ErrIncomplete) {
		c, err = w.parse() // the directory was swapped between two reads
	}
	if err != nil {
		return nil, fingerprint{}, err
	}
	h := sha256.New()
	h.Write([]byte(c.Revision))
	for _, path := range c.Settings.Files() {
		content, err := readFile(path)
		if err != nil {
			content = []byte(err.Error())
		}
		sum := sha256.Sum256(content)
		h.Write(sum[:])
	}
	return c, fingerprint(h.Sum(nil)), nil
}

// parse is Load, which does not parse again what it has parsed last.
func (w *Watcher) parse() (*Config, error) {
	settings, access, err := readFiles(w.settingsDir, w.accessDir, w.shardsOf)
	if err != nil {
		return nil, err
	}
	if sum := fingerprintOf(settings, access); sum != w.parsed.of {
		c, err := Parse(settings, access)
		w.parsed = parsed{of: sum, config: c, err: err}
	}
	return w.parsed.config, w.parsed.err
}

// shardsOf is Files.Shards, which does not parse AccessFile again either.
func (w *Watcher) shardsOf(access Files) []string {
	if sum := fingerprint(sha256.Sum256(access[AccessFile])); sum != w.index {
		w.index, w.shards = sum, access.Shards()
	}
	return w.shards
}

func fingerprintOf(settings []byte, access Files) fingerprint {
	h := sha256.New()
	sum := sha256.Sum256(settings)
	h.Write(sum[:])
	for _, name := range slices.Sorted(maps.Keys(access)) {
		sum := sha256.Sum256(access[name])
		h.Write([]byte(name))
		h.Write(sum[:])
	}
	return fingerprint(h.Sum(nil))
}
