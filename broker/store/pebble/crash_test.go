package pebble_test

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/storetest"
)

// The power is cut again and again while groups are written: a copy of the disk
// is taken that has all that was synced and an arbitrary part of what was not.
func TestAPowerCutCostsNothingThatWasReported(t *testing.T) {
	script := storetest.NewScript(4, 300)
	for seed := range 10 {
		disk := vfs.NewCrashableMem()
		s, err := openSmall(disk)
		if err != nil {
			t.Fatal(err)
		}
		storetest.Read(t, s)
		r := play(t, s, script)
		for cut := 0; cut < 6 && int(r.durable.Load()) < r.batches; cut++ {
			checkRemains(t, disk, seed+cut, script, int(r.durable.Load()))
		}
		r.wait(t, s)
		closeStore(t, s)
	}
}

func TestAnEmptyCommitWaitsForThoseBefore(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s := open(t, disk, "store")
	defer closeStore(t, s)
	storetest.Read(t, s)
	s.Commit(&store.Batch{Sessions: []store.Session{{ID: 1}}}, nil)
	s.Commit(addTo(1, 1), nil)
	if _, err := s.Deliveries(1, 0, 1, 1); err != nil { // they are applied, and not synced
		t.Fatal(err)
	}
	storetest.Commit(t, s, &store.Batch{})
	after := open(t, remains(disk, 0, 0), "store")
	defer closeStore(t, after)
	if c := storetest.Read(t, after); len(c.Waiting[1]) != 1 {
		t.Errorf("after the power cut: %v", c)
	}
}

// files returns the names of the files of a kind, in order.
func files(t testing.TB, fs vfs.FS, extension string) (names []string) {
	t.Helper()
	all, err := fs.List("store")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if filepath.Ext(name) == extension {
			names = append(names, fs.PathJoin("store", name))
		}
	}
	slices.Sort(names)
	return names
}

// rewrite replaces a file by what change makes of it.
func rewrite(t testing.TB, fs vfs.FS, name string, change func([]byte) []byte) {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if f, err = fs.Create(name, vfs.WriteCategoryUnspecified); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(change(b)); err != nil {
		t.Fatal(err)
	}
	_ = f.Sync()
	_ = f.Close()
}

// played returns a disk with a script of which all was reported, and nothing of
// which is in a table.
func played(t testing.TB, script *storetest.Script) *vfs.MemFS {
	t.Helper()
	disk := vfs.NewCrashableMem()
	s := open(t, disk, "store")
	storetest.Read(t, s)
	for i, b := range script.Batches {
		if i%10 == 9 {
			storetest.Commit(t, s, b)
		} else {
			s.Commit(b, nil)
		}
	}
	closeStore(t, s)
	return disk
}

func TestATornTailOfTheLogIsCutOff(t *testing.T) {
	script := storetest.NewScript(5, 100)
	disk := played(t, script)
	logs := files(t, disk, ".log")
	last := logs[len(logs)-1]
	info, err := disk.Stat(last)
	if err != nil {
		t.Fatal(err)
	}
	for size := int64(0); size < info.Size(); size += info.Size()/40 + 1 {
		torn := remains(disk, 0, 0) // without a mark of what was durable
		rewrite(t, torn, last, func(b []byte) []byte { return b[:size] })
		s := open(t, torn, "store")
		script.Check(t, storetest.Read(t, s), 0)
		closeStore(t, s)
	}
}

// A log that is damaged, or gone, has lost what was reported.
func TestALogThatIsDamagedIsNotOpened(t *testing.T) {
	script := storetest.NewScript(6, 100)
	disk := played(t, script)
	logs := files(t, disk, ".log")
	last := logs[len(logs)-1]
	info, err := disk.Stat(last)
	if err != nil {
		t.Fatal(err)
	}
	gone := remains(disk, 100, 0)
	if err := gone.Remove(last); err != nil {
		t.Fatal(err)
	}
	if s, err := openQuietly(gone); err == nil {
		t.Error("a store without its log is opened")
		closeStore(t, s)
	}
	for at := int64(100); at < info.Size(); at += info.Size()/12 + 1 {
		damaged := remains(disk, 100, 0)
		rewrite(t, damaged, last, func(b []byte) []byte {
			b[at] ^= 0xff
			return b
		})
		s, err := openQuietly(damaged)
		if err == nil { // what was hit does not matter
			script.Check(t, storetest.Read(t, s), len(script.Batches))
			closeStore(t, s)
		} else if !strings.Contains(err.Error(), "store") {
			t.Errorf("the error does not name the directory: %v", err)
		}
	}
}

func TestADamagedTableIsNotPassedOver(t *testing.T) {
	script := storetest.NewScript(7, 100)
	disk := played(t, script)
	closeStore(t, open(t, disk, "store")) // which makes a table of the log
	tables := files(t, disk, ".sst")
	if len(tables) == 0 {
		t.Fatal("there are no tables")
	}
	for _, table := range tables {
		info, err := disk.Stat(table)
		if err != nil {
			t.Fatal(err)
		}
		for at := int64(10); at < info.Size(); at += info.Size()/20 + 1 {
			damaged := disk.CrashClone(vfs.CrashCloneCfg{})
			rewrite(t, damaged, table, func(b []byte) []byte {
				b[at] ^= 0xff
				return b
			})
			s, err := openQuietly(damaged)
			if err != nil {
				continue
			}
			c, err := storetest.TryRead(s)
			if err == nil {
				script.Check(t, c, len(script.Batches)) // what was hit does not matter
			} else if !strings.Contains(err.Error(), "read store") {
				t.Errorf("the error does not say what was done: %v", err)
			}
			_ = s.Close()
		}
	}
}

func TestAStoreWithoutItsManifestIsNotBegunAnew(t *testing.T) {
	disk := played(t, storetest.NewScript(8, 20))
	names, err := disk.List("store")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "marker.manifest") {
			if err := disk.Remove(disk.PathJoin("store", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s, err := openQuietly(disk); err == nil {
		closeStore(t, s)
		t.Error("a store without manifest is opened")
	} else if !strings.Contains(err.Error(), "restore the directory") {
		t.Errorf("the error does not say what to do: %v", err)
	}
}

func TestASharedMessageIsStoredOnceAndGoesWithItsLastDelivery(t *testing.T) {
	disk := vfs.NewMem()
	s := open(t, disk, "store")
	storetest.Read(t, s)
	m := &session.Message{ID: 7, Topic: "t", Payload: []byte(strings.Repeat("x", 10_000)), QoS: packet.QoS2}
	b := &store.Batch{}
	const many = 100
	for id := range uint64(many) {
		b.Sessions = append(b.Sessions, store.Session{ID: id})
		d := &session.Delivery{Message: m, QoS: packet.QoS2, Seq: 1}
		b.Deliveries = append(b.Deliveries, store.Delivery{Session: id, Delivery: d})
	}
	storetest.Commit(t, s, b)
	want := func(n int) {
		t.Helper()
		if have := s.Messages(); have != n {
			t.Fatalf("%d messages have keys of their own, want %d", have, n)
		}
	}
	want(1)
	for id := range uint64(many - 3) {
		storetest.Commit(t, s, &store.Batch{Done: []store.Done{{Session: id, Seq: 1, Message: 7}}})
	}
	closeStore(t, s)
	s = open(t, disk, "store")
	defer closeStore(t, s)
	if c := storetest.Read(t, s); len(c.Waiting) != 3 {
		t.Fatalf("messages wait for %d sessions", len(c.Waiting))
	}
	want(1)
	storetest.Commit(t, s, &store.Batch{Ended: []uint64{many - 3}})
	want(1)
	storetest.Commit(t, s, &store.Batch{Sent: []store.Sent{{Session: many - 2, Seq: 1, Message: 7, ID: 1, Released: true}}})
	want(1)
	storetest.Commit(t, s, &store.Batch{Ended: []uint64{many - 2, many - 1}})
	want(0)
	if n := s.Shared(); n != 0 {
		t.Errorf("%d messages are counted", n)
	}
}
