package server_test

import (
	"sync"
	"time"

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
