package session

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// costly makes messages that take much memory for the bytes that they carry.
var costly = map[string]func(p *packet.Publish){
	"tiny payloads": func(*packet.Publish) {},
	"many tiny user properties": func(p *packet.Publish) {
		for range 1000 {
			p.Properties.AddUserProperty([]byte("k"), nil)
		}
	},
	"empty user properties": func(p *packet.Publish) {
		for range 1000 {
			p.Properties.AddUserProperty(nil, nil)
		}
	},
	"a few user properties": func(p *packet.Publish) {
		p.Properties.AddUserProperty([]byte("unit"), []byte("kelvin"))
		p.Properties.AddUserProperty([]byte("site"), []byte("north"))
	},
	"every other property": func(p *packet.Publish) {
		for _, id := range []packet.PropertyID{packet.PropContentType, packet.PropResponseTopic, packet.PropCorrelationData} {
			p.Properties.Set(id)
		}
		p.Properties.ContentType, p.Properties.ResponseTopic = []byte("text/plain"), []byte("answers/here")
		p.Properties.CorrelationData = []byte(strings.Repeat("c", 500))
	},
}

// TestWhatASessionHoldsIsCounted: the memory that is really taken is not far from
// what the limit says, whatever the messages are made of.
func TestWhatASessionHoldsIsCounted(t *testing.T) {
	const limit = 1 << 20
	for name, make := range costly {
		for _, ids := range []int{0, 200} {
			t.Run(fmt.Sprintf("%s, %d subscription identifiers", name, ids), func(t *testing.T) {
				s := &Session{Window: 1, Limits: Limits{QueuedBytes: limit}}
				before := heapInUse()
				fits := true
				for fits {
					fits = s.Enqueue(copyOf(make, ids), nil) == Queued
				}
				taken := int64(heapInUse() - before)
				if _, counted := s.Queue(); taken > 2*limit || counted > limit || counted < limit/2 {
					t.Errorf("%d bytes of memory are taken, %d counted of %d", taken, counted, limit)
				}
				runtime.KeepAlive(s)
			})
		}
	}
}

// TestBodiesInFlightAreCounted: a member of a shared subscription that never
// acknowledges holds no more than others do.
func TestBodiesInFlightAreCounted(t *testing.T) {
	const limit = 100_000
	s := &Session{Window: MaxWindow, Limits: Limits{QueuedBytes: limit}}
	sent := 0
	for ; s.Ready() && sent < MaxWindow; sent++ {
		s.Send(packet.QoS1, heavy())
	}
	size := heavy().Size()
	if sent*size > limit+size {
		t.Fatalf("%d messages of %d bytes are in flight, of %d bytes", sent, size, limit)
	}
	if got := s.Enqueue(heavy(), nil); got != QueueFull {
		t.Errorf("one more: %v", got)
	}
	s.Acknowledge(packet.TypePuback, 1, packet.ReasonSuccess)
	if !s.Ready() {
		t.Error("there is no room after an acknowledgement")
	}
}

func copyOf(make func(*packet.Publish), ids int) *Delivery {
	p := &packet.Publish{Topic: []byte("t"), Payload: []byte("m"), QoS: packet.QoS1}
	make(p)
	d := &Delivery{Message: NewMessage(p, time.Time{}), QoS: packet.QoS1}
	for id := range ids {
		d.IDs = append(d.IDs, uint32(id+1))
	}
	return d
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func heavy() *Delivery {
	return &Delivery{Message: &Message{Topic: "t", Payload: make([]byte, 1000)}, QoS: packet.QoS1, Shared: "$share/g/t"}
}
