package server

import (
	"sync"
	"sync/atomic"
	"time"
)

// loopGroup is some event loops that share goroutines. While one processor is
// enough for what they have to do, one goroutine runs them all: it is woken once
// where each of them would be, and finds more to do at a time. When it gets no
// rest, each loop is run by a goroutine of its own, until there is little to do.
type loopGroup struct {
	server *Server
	pace   pace
	loops  []*loop
	first  *loop   // of loops; its poller attends to the others while one goroutine runs all
	ready  []*loop // have something to do in this round

	apart  atomic.Bool // each loop has a goroutine of its own
	looked time.Time   // when the load was looked at last
	worked int64       // of all loops, by then

	end  sync.Once
	stop chan struct{}
	done chan struct{}
}

// pace says when the loops of a group part and when they come together: at so
// much load, as a share of one processor, over so long a time.
type pace struct {
	crowded, calm           float64
	crowdedAfter, calmAfter time.Duration
}

var usualPace = pace{crowded: 0.9, crowdedAfter: 100 * time.Millisecond, calm: 0.6, calmAfter: time.Second}

// groupPace is the pace of new groups.
var groupPace = usualPace

// groupLoops divides loops into groups.
func groupLoops(s *Server, loops []*loop) (groups []*loopGroup) {
	for len(loops) > 0 {
		n := min(len(loops), groupSize)
		groups = append(groups, &loopGroup{
			server: s,
			pace:   groupPace,
			loops:  loops[:n],
			first:  loops[0],
			stop:   make(chan struct{}),
			done:   make(chan struct{}),
		})
		loops = loops[n:]
	}
	return groups
}

// run is the group's goroutine. It ends after halt, and the connections with it.
func (g *loopGroup) run() {
	defer close(g.done)
	for !g.halted() {
		g.runTogether()
		g.runApart()
	}
	for _, l := range g.loops {
		l.closeAll()
	}
}

// runTogether runs all loops on this goroutine, for as long as it gets some rest.
func (g *loopGroup) runTogether() {
	for _, l := range g.loops[1:] {
		g.check(g.first.poller.attend(l.poller))
	}
	g.looked, g.worked = time.Now(), g.work()
	for !g.halted() && !g.crowded() {
		g.check(g.round())
	}
	for _, l := range g.loops[1:] {
		g.check(g.first.poller.leave(l.poller))
	}
}

// round is a turn of all loops: what they make for one connection is written
// together.
func (g *loopGroup) round() error {
	for _, l := range g.loops {
		l.rest()
	}
	events, err := g.first.poller.wait(g.first.events[:0])
	if err != nil {
		return err
	}
	now := time.Now()
	g.ready = append(g.ready[:0], g.first)
	own := events[:0]
	for _, e := range events {
		if l := g.attended(e.fd); l != nil {
			g.ready = append(g.ready, l)
		} else {
			own = append(own, e)
		}
	}
	g.first.serve(own, now)
	for _, l := range g.ready[1:] {
		if events, err = l.poller.peek(l.events[:0]); err != nil {
			return err
		}
		l.serve(events, now)
	}
	for _, l := range g.ready {
		l.endRound()
	}
	g.first.count(time.Since(now))
	return nil
}

// attended returns the loop whose poller the first one has reported, or nil.
func (g *loopGroup) attended(fd int) *loop {
	for _, l := range g.loops[1:] {
		if l.poller.fd() == fd {
			return l
		}
	}
	return nil
}

// runApart runs each loop on a goroutine of its own, until there is little to do.
func (g *loopGroup) runApart() {
	g.apart.Store(true)
	var others sync.WaitGroup
	for _, l := range g.loops[1:] {
		others.Go(func() {
			for !g.halted() && g.apart.Load() {
				g.check(l.turn())
			}
		})
	}
	for !g.halted() && !g.calm() {
		g.check(g.first.turn())
	}
	g.apart.Store(false)
	for _, l := range g.loops[1:] {
		l.poller.wake()
	}
	others.Wait()
}

// crowded reports whether one goroutine is not enough for the loops.
func (g *loopGroup) crowded() bool {
	load, ok := g.load(g.pace.crowdedAfter)
	return ok && load > g.pace.crowded && len(g.loops) > 1
}

// calm reports whether one goroutine will be enough.
func (g *loopGroup) calm() bool {
	load, ok := g.load(g.pace.calmAfter)
	return ok && load < g.pace.calm
}

// load returns the share of one processor that the loops have taken since it was
// looked at last; ok is false before that was so long ago.
func (g *loopGroup) load(after time.Duration) (share float64, ok bool) {
	passed := g.first.worker.Now.Sub(g.looked)
	if passed < after {
		return 0, false
	}
	worked := g.work()
	share = float64(worked-g.worked) / float64(passed)
	g.looked, g.worked = g.first.worker.Now, worked
	return share, true
}

// work is the time that the loops have taken, in nanoseconds.
func (g *loopGroup) work() (sum int64) {
	for _, l := range g.loops {
		sum += l.worked.Load()
	}
	return sum
}

// check ends a group whose pollers do not work.
func (g *loopGroup) check(err error) {
	if err != nil {
		g.server.log.Error("event loops end", "error", err)
		g.quit()
	}
}

func (g *loopGroup) halted() bool {
	select {
	case <-g.stop:
		return true
	default:
		return false
	}
}

// quit has the loops end.
func (g *loopGroup) quit() {
	g.end.Do(func() { close(g.stop) })
	for _, l := range g.loops {
		l.poller.wake()
	}
}

// halt ends the loops, waits for that and closes their pollers.
func (g *loopGroup) halt() {
	g.quit()
	<-g.done
	for _, l := range g.loops {
		_ = l.poller.close()
	}
}
