package server

import (
	"context"
	"math"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/godwit-mqtt/godwit/broker/router"
)

// What is left of the memory and of the volume decides what may wait for clients.
// Each queue may take a part of what is left, so that the biggest ones find
// themselves full first, and all of them together never take all of it. Where
// little is left no new session begins. Where hardly any is left the connections go
// for which most is held.
const (
	usable    = 0.90 // of the memory, for all queues together
	storable  = 0.95 // of the volume; it takes nothing new from fullFrom on
	fullFrom  = 0.90
	fewLeft   = 0.75 // used: no new sessions
	hardlyAny = 0.90 // used: the biggest go
	shedTo    = 0.85
	queuePart = 8 // the part of what is left that one queue may take

	watchMemoryEvery = 100 * time.Millisecond
	measureEvery     = 5 * time.Second // at least, while little is left
)

// watchMemory looks at what is used until ctx ends.
func (s *Server) watchMemory(ctx context.Context) {
	tick := time.NewTicker(watchMemoryEvery)
	defer tick.Stop()
	g := gauge{read: readLive}
	for {
		s.judgeRoom(g.used(time.Now(), s.limitOfMemory), time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// judgeRoom sets how much may wait by the memory that is used.
func (s *Server) judgeRoom(used int64, now time.Time) {
	memory := share{used, s.limitOfMemory}
	disk := s.disk()
	room := memory.room(usable)
	s.queueRoom.Store(room)
	s.router.SetRoom(router.Room{
		Memory: room, Disk: disk.room(storable),
		NoSessions: memory.above(fewLeft), NoDurable: disk.above(fewLeft),
	})
	s.tellRoom(memory, disk)
	if memory.above(hardlyAny) && now.Sub(s.shed) >= lingerTimeout*time.Second {
		s.shed = now
		ended := s.router.Shed(used - int64(shedTo*float64(memory.limit)))
		s.log.Warn("memory is short: the clients are disconnected for which most is held",
			"disconnected", ended, "used", used, "limit", memory.limit)
	}
}

// disk is what the store takes of its volume.
func (s *Server) disk() share {
	if p := s.settings().Persistence; p != nil {
		return share{s.store.Health().Disk, p.Size}
	}
	return share{}
}

// tellRoom logs when new sessions are refused, and when that is over.
func (s *Server) tellRoom(memory, disk share) {
	short := memory.above(fewLeft) || disk.above(fewLeft)
	if short == s.short {
		return
	}
	s.short = short
	if short {
		s.log.Warn("memory or disk is short: no new session begins, and less may wait for clients",
			"memory", memory.used, "memoryLimit", memory.limit, "disk", disk.used, "diskLimit", disk.limit)
	} else {
		s.log.Info("there is memory and disk again: new sessions may begin")
	}
}

// share is what is used of something; a limit of 0 is none.
type share struct{ used, limit int64 }

func (x share) above(part float64) bool {
	return x.limit > 0 && float64(x.used) >= part*float64(x.limit)
}

// room is how much one queue may hold, where all together may hold a part.
func (x share) room(all float64) int64 {
	if x.limit == 0 {
		return math.MaxInt64
	}
	return max(int64(all*float64(x.limit))-x.used, 0) / queuePart
}

// gauge measures the memory that is in use.
type gauge struct {
	read     func() (live int64, cycles uint64)
	cycles   uint64
	measured time.Time
}

// used returns the memory that the last garbage collection found in use. While
// little is left, one that is long ago is repeated.
func (g *gauge) used(now time.Time, limit int64) int64 {
	live, cycles := g.read()
	if cycles != g.cycles {
		g.cycles, g.measured = cycles, now
	}
	if (share{live, limit}).above(fewLeft) && now.Sub(g.measured) >= measureEvery {
		runtime.GC()
		live, g.cycles = g.read()
		g.measured = now
	}
	return live
}

// readLive returns the memory that was in use at the end of the last garbage
// collection, with stacks, and the number of collections.
func readLive() (live int64, cycles uint64) {
	samples := [...]metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(samples[:])
	return int64(samples[0].Value.Uint64() + samples[1].Value.Uint64()), samples[2].Value.Uint64()
}
