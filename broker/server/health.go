package server

import (
	"errors"
	"fmt"
)

// mostBacklog is how much may wait in memory for the store, in bytes: what a slow
// disk has to catch up with, from everybody. Beyond it the connections are not
// read that would add to it.
const mostBacklog = 32 << 20

// ErrStorage is wrapped by errors of the storage itself: another start, or a
// person, has to help.
var ErrStorage = errors.New("the storage does not work")

// watchStore has what the store could not keep refused while it takes nothing
// new, and tells the log when that begins and when it is over. A store that has
// failed ends the broker. One goroutine calls it, about once a second.
func (s *Server) watchStore() {
	h := s.store.Health()
	if h.Failed && s.failed.CompareAndSwap(nil, &h.Err) {
		close(s.broken)
	}
	if disk := s.disk(); h.Err == nil && disk.above(fullFrom) {
		h.Err = fmt.Errorf("the volume is nearly full: %d MiB of %d MiB are used", disk.used>>20, disk.limit>>20)
	}
	if (h.Err != nil) == s.refusing {
		return
	}
	s.refusing = h.Err != nil
	s.router.Refuse(s.refusing)
	switch {
	case h.Failed:
		s.log.Error("the storage has failed: the broker ends, to be started again", "error", h.Err)
	case s.refusing:
		s.log.Error("the store takes nothing new: new sessions, subscriptions and what would have to be stored of messages "+
			"are refused; clients may take what waits for them. Make the volume larger, or have that taken", "error", h.Err)
	default:
		s.log.Info("the store takes new messages and sessions again")
	}
}

// storageFailure returns why the broker ends by itself, nil where it does not.
func (s *Server) storageFailure() error {
	if err := s.failed.Load(); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, *err)
	}
	return nil
}

// Ready returns why clients had better go elsewhere; nil if they may come. They
// may where the disk is full: those that have a session take what waits for them,
// which gives space back.
func (s *Server) Ready() error {
	if h := s.store.Health(); h.Failed {
		return fmt.Errorf("%w: %w", ErrStorage, h.Err)
	}
	return nil
}

func (s *Server) storeHealthy() float64 {
	if s.store.Health().Err != nil {
		return 0
	}
	return 1
}
