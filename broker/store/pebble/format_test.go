package pebble_test

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	driver "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/storetest"
)

// fill1 writes what a release with format 1 would have left.
func fill1(t testing.TB, fs vfs.FS, want *storetest.Content) {
	t.Helper()
	message := func(m *session.Message) []byte {
		p := packet.Publish{QoS: m.QoS, Retain: m.Retain, ID: 1, Topic: []byte(m.Topic), Payload: m.Payload}
		return p.Append(make([]byte, 8), packet.V5)
	}
	u64 := func(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }
	records := map[string]string{"\x00version": "\x00\x00\x00\x01"}
	shared := &session.Message{ID: 40, Topic: "t", Payload: []byte("shared"), QoS: packet.QoS2}
	records["m"+u64(40)] = string(message(shared))
	next := uint64(40)
	for _, name := range []string{"", "a", "b"} {
		at := time.Unix(1700000000, 5)
		body := "\x01u" + "\x00" + u64(uint64(time.Hour)) + u64(uint64(at.UnixNano())) +
			"\x01" + "\x03t/#" + "\x02\x01\x01\x00\x00" + "\x09" + "\x00"
		records["s"+name+"\x00\x00"] = body
		records["s"+name+"\x00\x01\x00\x07"] = ""
		records["s"+name+"\x00\x02"+u64(3)] = "\x01\x02\x01" + "\x01\x09" + "\x00" + u64(40)
		own := &session.Message{Topic: "t", Payload: []byte("own of " + name), QoS: packet.QoS1}
		records["s"+name+"\x00\x02"+u64(4)] = "\x00\x01\x00" + "\x00" + "\x02gr" + string(message(own))

		next++
		id := next
		want.Sessions[id] = store.Session{
			ID: id, ClientID: name, Username: "u", Expiry: time.Hour, Disconnected: at,
		}
		want.Subscriptions[id] = []session.Subscription{{Filter: "t/#", Requested: 2, QoS: 1, NoLocal: true, ID: 9}}
		want.Received[id] = []uint16{7}
		next++
		own.ID = next
		want.Deliveries[id] = []*session.Delivery{
			{Message: shared, QoS: packet.QoS2, Retain: true, IDs: []uint32{9}, Seq: 3},
			{Message: own, QoS: packet.QoS1, Shared: "gr", Seq: 4},
		}
		for _, d := range want.Deliveries[id] {
			want.Waiting[id] = append(want.Waiting[id], d.Waiting())
		}
	}
	retained := &session.Message{Topic: "r/1", Payload: []byte("kept"), Retain: true}
	records["tr/1"] = string(message(retained))
	want.Stubs["r/1"] = store.Retained{Topic: "r/1", Size: retained.Size()}
	want.Retained["r/1"] = retained
	put(t, fs, records)
}

// fill2 writes what a release with format 2 would have left.
func fill2(t testing.TB, fs vfs.FS, want *storetest.Content) {
	t.Helper()
	u64 := func(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }
	message := func(m *session.Message) string {
		p := packet.Publish{QoS: m.QoS, Retain: m.Retain, ID: 1, Topic: []byte(m.Topic), Payload: m.Payload}
		return string(p.Append(make([]byte, 8), packet.V5))
	}
	shared := &session.Message{ID: 40, Topic: "t", Payload: []byte("shared"), QoS: packet.QoS2}
	will := &session.Message{Topic: "w", Payload: []byte("gone"), QoS: packet.QoS1}
	retained := &session.Message{Topic: "r/1", Payload: []byte("kept"), Retain: true}
	records := map[string]string{
		"\x00version": "\x00\x00\x00\x02", "\x00numbers": u64(48),
		"b" + u64(40): message(shared), "er/1": message(retained),
	}
	at := time.Unix(1700000000, 5)
	for id, name := range map[uint64]string{41: "", 42: "a", 43: "b"} {
		want.Sessions[id] = store.Session{
			ID: id, ClientID: name, Username: "u", Expiry: time.Hour, Disconnected: at,
			Will: &store.Will{Message: will, At: at, Delay: time.Minute},
		}
		want.Subscriptions[id] = []session.Subscription{
			{Filter: "$share/g/t", QoS: 1, Requested: 1, RetainAsPublished: true, Suspended: true},
			{Filter: "t/#", Requested: 2, QoS: 1, NoLocal: true, ID: 9},
		}
		records["c"+u64(id)] = string(rune(len(name))) + name + "\x01u" + "\x00" + u64(uint64(time.Hour)) + u64(uint64(at.UnixNano())) +
			"\x02" + "\x0a$share/g/t" + "\x01\x01\x00\x01\x01" + "\x00" + "\x03t/#" + "\x02\x01\x01\x00\x00" + "\x09" +
			"\x01" + u64(uint64(at.UnixNano())) + u64(uint64(time.Minute)) + message(will)
		records["d"+u64(id)+"\x01\x00\x07"] = ""
		records["d"+u64(id)+"\x02"+u64(3)] = "\x00\x05\x00"
		want.Received[id] = []uint16{7}
		want.Sent[id] = []store.Sent{{Session: id, Seq: 3, Message: 40, ID: 5}}
		own := &session.Message{ID: id + 4, Topic: "t", Payload: []byte("own of " + name), QoS: packet.QoS1}
		want.Deliveries[id] = []*session.Delivery{
			{Message: shared, QoS: packet.QoS2, Retain: true, IDs: []uint32{9}, Seq: 3},
			{Message: own, QoS: packet.QoS1, Shared: "gr", Seq: 4},
		}
		size := func(i int) string { return string(binary.AppendUvarint(nil, uint64(want.Deliveries[id][i].Size()))) }
		records["d"+u64(id)+"\x03"+u64(3)] = "\x0e" + "\x28" + size(0) + "\x00" + "\x01\x09" + "\x00"
		records["d"+u64(id)+"\x03"+u64(4)] = "\x01" + string(rune(id+4)) + size(1) + "\x00" + "\x00" + "\x02gr" + message(own)
		want.Waiting[id] = []session.Waiting{want.Deliveries[id][1].Waiting()}
	}
	want.Stubs["r/1"] = store.Retained{Topic: "r/1", Size: retained.Size()}
	want.Retained["r/1"] = retained
	put(t, fs, records)
}

// put writes records behind the store's back.
func put(t testing.TB, fs vfs.FS, records map[string]string) {
	t.Helper()
	raw(t, fs, func(db *driver.DB) (err error) {
		for key, value := range records {
			err = errors.Join(err, db.Set([]byte(key), []byte(value), driver.Sync))
		}
		return err
	})
}

// formats of earlier releases, what these leave, and the keys that are theirs
// alone.
var formats = map[string]struct {
	fill     func(testing.TB, vfs.FS, *storetest.Content)
	prefixes []string
}{
	"format 1": {fill1, []string{"m", "s", "t"}},
	"format 2": {fill2, []string{"c"}},
}

func TestAnOlderFormatIsConverted(t *testing.T) {
	for name, format := range formats {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			want := storetest.NewContent()
			format.fill(t, fs, want)
			wantConverted(t, fs, want)
			for _, prefix := range format.prefixes {
				wantNoKeys(t, fs, prefix)
			}
		})
	}
}

func wantConverted(t *testing.T, fs vfs.FS, want *storetest.Content) {
	t.Helper()
	for range 2 {
		s := open(t, fs, "store")
		if c := storetest.Read(t, s); c.String() != want.String() {
			t.Errorf("got  %s\nwant %s", c, want)
		}
		if id := s.NextID(); want.Sessions[id].ID != 0 || id <= 40 {
			t.Errorf("number %d is given again", id)
		}
		if n := s.Health().Damaged; n != 0 {
			t.Errorf("%d records are left out", n)
		}
		closeStore(t, s)
	}
}

func wantNoKeys(t *testing.T, fs vfs.FS, prefix string) {
	t.Helper()
	raw(t, fs, func(db *driver.DB) error {
		it, err := db.NewIter(&driver.IterOptions{LowerBound: []byte(prefix), UpperBound: []byte{prefix[0] + 1}})
		if err != nil {
			return err
		}
		if it.First() {
			t.Errorf("key %q is left", it.Key())
		}
		return it.Close()
	})
}

func TestAConversionThatIsCutOffBeginsAnew(t *testing.T) {
	for name, format := range formats {
		t.Run(name, func(t *testing.T) {
			before := vfs.NewCrashableMem()
			want := storetest.NewContent()
			format.fill(t, before, want)
			for number := 1; cutOff(t, before, number, want); number++ {
				if t.Failed() {
					t.Fatalf("cut off at call %d", number)
				}
			}
		})
	}
}

// cutOff converts a copy of a disk, of which one call fails, and what is left
// then. It reports whether the call was met.
func cutOff(t *testing.T, before *vfs.MemFS, number int, want *storetest.Content) (met bool) {
	t.Helper()
	disk := before.CrashClone(vfs.CrashCloneCfg{})
	faulty := newFaultAt(disk, number, 5)
	if s, err := openQuietly(faulty); err == nil {
		_ = s.Close()
	}
	for _, percent := range []int{0, 50, 100} {
		s := open(t, remains(disk, percent, uint64(number)), "store")
		if c := storetest.Read(t, s); c.String() != want.String() {
			t.Errorf("got  %s\nwant %s", c, want)
		}
		closeStore(t, s)
	}
	return faulty.met.Load() != nil
}

func TestADamagedRecordOfAnOlderFormatIsLeftOut(t *testing.T) {
	u64 := func(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }
	for name, tc := range map[string]struct {
		format, key                 string
		damaged                     int
		sessions, waiting, retained int
	}{
		"a session of 1":                 {"format 1", "sa\x00\x00", 1, 2, 4, 1},
		"a delivery of 1":                {"format 1", "sa\x00\x02" + u64(4), 1, 3, 5, 1},
		"a message of 1 of all sessions": {"format 1", "m" + u64(40), 4, 3, 3, 1},
		"a retained message of 1":        {"format 1", "tr/1", 1, 3, 6, 0},
		"a key of no session of 1":       {"format 1", "s?", 1, 3, 6, 1},
		"a part of 1 that is not known":  {"format 1", "sb\x00\x05", 1, 3, 6, 1},
		"a session of 2":                 {"format 2", "c" + u64(42), 1, 2, 4, 1},
		"a key of no session of 2":       {"format 2", "c?", 1, 3, 6, 1},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			formats[tc.format].fill(t, fs, storetest.NewContent())
			put(t, fs, map[string]string{tc.key: "?"})
			s := open(t, fs, "store")
			defer closeStore(t, s)
			c := storetest.Read(t, s)
			waiting := 0
			for id := range c.Sessions {
				waiting += len(c.Waiting[id]) + len(c.Sent[id])
			}
			if len(c.Sessions) != tc.sessions || waiting != tc.waiting || len(c.Retained) != tc.retained || s.Health().Damaged != tc.damaged {
				t.Errorf("%+v: %v", s.Health(), c)
			}
		})
	}
}
