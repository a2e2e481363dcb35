package server_test

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// delayed is a store whose commits take a while, as those to a disk do.
type delayed struct {
	store.Store
	mu   sync.Mutex
	last chan struct{} // closed when the commit before is reported
}

func slowStore() *delayed {
	done := make(chan struct{})
	close(done)
	return &delayed{Store: memory.New(), last: done}
}

// Commit implements store.Store.
func (s *delayed) Commit(b *store.Batch, done func(error)) {
	if done == nil {
		s.Store.Commit(b, nil)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, now := s.last, make(chan struct{})
	s.last = now
	s.Store.Commit(b, func(err error) {
		time.AfterFunc(2*time.Millisecond, func() {
			<-before
			done(err)
			close(now)
		})
	})
}

// TestWhatCannotBeReleasedDurablyEndsTheConnection: neither PUBREL nor PUBCOMP has a
// failure that fits, and DISCONNECT has one [MQTT-3.14.2-1].
func TestWhatCannotBeReleasedDurablyEndsTheConnection(t *testing.T) {
	t.Parallel()
	st := &failing{Store: memory.New()}
	b := brokertest.Open(t, brokertest.Options{Store: st})
	c := b.Connect(t, v5, "c", brokertest.Persistent)
	c.Send(brokertest.NewPublish("t", "m", atQoS(qos2, 7)))
	c.Expect(ackReason(packet.TypePubrec, 7, packet.ReasonNoMatchingSubscribers))
	st.set(io.ErrShortWrite)
	c.Send(ack(packet.TypePubrel, 7))
	c.ExpectDisconnect(packet.ReasonQuotaExceeded)
}
