package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

func TestWatcherWatchesTheDirectoriesInForce(t *testing.T) {
	f := newFixture(t, map[string]string{AccessFile: accessWith("u")})
	events, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = events.Close() }()
	expect := func(what string, added bool, dirs ...string) {
		t.Helper()
		if got := f.watcher.follow(events); got != added {
			t.Errorf("%s: a directory that was not watched before: %v, want %v", what, got, added)
		}
		got := events.WatchList()
		slices.Sort(got)
		slices.Sort(dirs)
		if !slices.Equal(got, dirs) {
			t.Errorf("%s: %q are watched, want %q", what, got, dirs)
		}
	}
	expect("at first", true, f.settings.dir, f.access.dir, f.cert.dir)
	expect("again", false, f.settings.dir, f.access.dir, f.cert.dir)
	moved := newMount(t, map[string]string{"tls.crt": "c2", "tls.key": "k2"})
	f.settings.swap(map[string]string{SettingsFile: settingsWith("b", moved.dir)})
	f.watcher.check(f.sink.apply)
	expect("after a move", true, f.settings.dir, f.access.dir, moved.dir)
	if err := os.Rename(moved.dir, moved.dir+".away"); err != nil {
		t.Fatal(err)
	}
	f.watcher.follow(events)
	if err := os.Rename(moved.dir+".away", moved.dir); err != nil {
		t.Fatal(err)
	}
	f.watcher.follow(events)
	expect("after one was away", false, f.settings.dir, f.access.dir, moved.dir)
	if f.watcher.follow(nil) {
		t.Error("something is watched although there are no events")
	}
}

func TestWatcherTellsWhatIsInForceOnce(t *testing.T) {
	f := newFixture(t, map[string]string{AccessFile: accessWith("u")})
	told := func(what string, want int) {
		t.Helper()
		f.watcher.check(f.sink.apply)
		if n := f.logs.count("configuration in force"); n != want {
			t.Errorf("%s: told %d times, want %d", what, n, want)
		}
	}
	told("nothing has changed", 0)
	f.access.swap(map[string]string{AccessFile: accessWith("v")})
	told("a change", 1)
	if f.logs.count("revision="+f.watcher.Current().Revision) != 1 {
		t.Error("the revision is not told")
	}
	told("nothing has changed since", 1)
	f.access.swap(map[string]string{AccessFile: "{"})
	told("a bad file", 1)
	f.access.swap(map[string]string{AccessFile: accessWith("v")})
	told("the good one is back", 2)
	if f.sink.count() != 1 {
		t.Errorf("applied %d times, want once: the good one was in force all the time", f.sink.count())
	}
}

func TestWatcherTellsOfEachProblemOnce(t *testing.T) {
	f := newFixture(t, map[string]string{AccessFile: accessWith("u")})
	for i, content := range []string{"{", "{", "!", "!"} {
		f.access.swap(map[string]string{AccessFile: content})
		f.watcher.check(f.sink.apply)
		if n, want := f.logs.count("configuration refused"), 1+i/2; n != want {
			t.Errorf("after %d looks told %d times, want %d", i+1, n, want)
		}
	}
	if f.logs.count("revision="+f.watcher.Current().Revision) != 2 {
		t.Error("the revision that stays in force is not told")
	}
}

// Shards of different moments have the time that a change takes, each time.
func TestWatcherGivesEachChangeItsTimeToSettle(t *testing.T) {
	before, after := mustEncode(t, fleet(10), 2), mustEncode(t, fleet(20), 2)
	f := newFixture(t, texts(before))
	f.watcher.settling = time.Hour
	for round := range 2 {
		f.access.replace(halfWritten(before, after))
		f.watcher.check(f.sink.apply)
		f.watcher.check(f.sink.apply)
		if f.watcher.Err() != nil {
			t.Fatalf("round %d: told before its time: %v", round, f.watcher.Err())
		}
		f.watcher.incomplete = f.watcher.incomplete.Add(-2 * time.Hour)
		f.watcher.check(f.sink.apply)
		if !errors.Is(f.watcher.Err(), ErrIncomplete) {
			t.Fatalf("round %d: error %v after its time", round, f.watcher.Err())
		}
		f.access.replace(texts(before))
		f.watcher.check(f.sink.apply)
		if f.watcher.Err() != nil {
			t.Fatalf("round %d: error %v although all is there", round, f.watcher.Err())
		}
	}
}

// A change that takes long is told once it is over, whatever became of it.
func TestWatcherTakesAnotherErrorForTheEndOfAChange(t *testing.T) {
	before, after := mustEncode(t, fleet(10), 2), mustEncode(t, fleet(20), 2)
	f := newFixture(t, texts(before))
	f.watcher.settling = time.Hour
	f.access.replace(halfWritten(before, after))
	f.watcher.check(f.sink.apply)
	f.access.replace(map[string]string{AccessFile: "{"})
	f.watcher.check(f.sink.apply)
	if f.watcher.Err() == nil || errors.Is(f.watcher.Err(), ErrIncomplete) {
		t.Errorf("error %v, want that of the bad file", f.watcher.Err())
	}
	if !f.watcher.incomplete.IsZero() {
		t.Error("the next change has less time")
	}
}

// A certificate that cannot be read is for the server to report, which is called with each change.
func TestWatcherHandsOutACertificateThatCannotBeRead(t *testing.T) {
	f := newFixture(t, map[string]string{AccessFile: accessWith("u")})
	for i, change := range []func() error{
		func() error { return os.Remove(filepath.Join(f.cert.dir, "tls.key")) },
		func() error { return os.Mkdir(filepath.Join(f.cert.dir, "tls.key"), 0o700) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		f.watcher.check(f.sink.apply)
		if f.sink.count() != i+1 || f.watcher.Err() != nil {
			t.Errorf("change %d: applied %d times; %v", i, f.sink.count(), f.watcher.Err())
		}
		f.watcher.check(f.sink.apply)
		if f.sink.count() != i+1 {
			t.Errorf("change %d: applied again and again", i)
		}
	}
}

func TestNewWatcherRefusesWhatItCannotLoad(t *testing.T) {
	if w, err := NewWatcher(t.TempDir(), t.TempDir(), nil); w != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("made %v, error %v", w, err)
	}
}

// What stands on disk at the start is in force, and is not applied again.
func TestWatcherDoesNotApplyWhatItBeganWith(t *testing.T) {
	f := newFixture(t, map[string]string{AccessFile: accessWith("u")})
	f.watcher.check(f.sink.apply)
	if f.sink.count() != 0 {
		t.Error("applied although nothing has changed")
	}
}

// Fingerprints tell the names of the files apart, and where one ends.
func TestFingerprintsTellFilesApart(t *testing.T) {
	seen := map[fingerprint]string{}
	for name, tt := range map[string]struct {
		settings string
		access   Files
	}{
		"plain":            {"s", Files{"a": []byte("1"), "b": []byte("2")}},
		"contents swapped": {"s", Files{"a": []byte("2"), "b": []byte("1")}},
		"another name":     {"s", Files{"a": []byte("1"), "c": []byte("2")}},
		"one less":         {"s", Files{"a": []byte("1")}},
		"other settings":   {"S", Files{"a": []byte("1"), "b": []byte("2")}},
	} {
		sum := fingerprintOf([]byte(tt.settings), tt.access)
		if other, taken := seen[sum]; taken {
			t.Errorf("%s and %s have the same fingerprint", name, other)
		}
		seen[sum] = name
		if again := fingerprintOf([]byte(tt.settings), tt.access); again != sum {
			t.Errorf("%s has two fingerprints", name)
		}
	}
}
