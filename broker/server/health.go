package server

import "fmt"

// mostBacklog is how much may wait in memory for the store, in bytes: what a slow
// disk has to catch up with, from everybody. Beyond it the connections are not
// read that would add to it.
const mostBacklog = 32 << 20

// watchStore has what the store could not keep refused while it takes nothing
// new, and tells the log when that begins and when it is over. One goroutine
// calls it, about once a second.
func (s *Server) watchStore() {
	err := s.store.Health().Err
	if (err != nil) == s.refusing {
		return
	}
	s.refusing = err != nil
	s.router.Refuse(s.refusing)
	if s.refusing {
		s.log.Error("the store takes nothing new: what would have to be stored is refused", "error", err)
	} else {
		s.log.Info("the store takes new messages and sessions again")
	}
}

// Ready returns why clients had better go elsewhere; nil if they may come.
func (s *Server) Ready() error {
	if err := s.store.Health().Err; err != nil {
		return fmt.Errorf("the store takes nothing new: %w", err)
	}
	return nil
}

func (s *Server) storeHealthy() float64 {
	if s.store.Health().Err != nil {
		return 0
	}
	return 1
}
