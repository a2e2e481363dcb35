// Package server is the broker's engine: it speaks MQTT to the clients, and
// lets package router do the rest.
//
// It runs one event loop a processor, and several of them on one goroutine while
// there is little to do. A connection belongs to one loop, which reads it and
// handles its packets; any loop may append to its outbound buffer and flush it.
// Nothing on the way of a message waits, takes a goroutine of its own or hands
// over to another one. What is slow does: a TLS handshake, the check of a
// password, a commit.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/router"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// Options of a Server. All are needed but Version and Memory.
type Options struct {
	Config  *config.Config
	Logger  *slog.Logger
	Metrics *metrics.Metrics
	// Store is closed when Serve returns.
	Store   store.Store
	Version string // for $SYS
	// Memory that the process had better not go beyond, in bytes; see MemoryLimit. 0
	// is no limit.
	Memory int64
	// OpenFiles is how many files the process may have open; 0 is as many as the
	// system allows.
	OpenFiles int
}

// Server is one broker.
type Server struct {
	log           *slog.Logger
	ctx           context.Context // for logging
	metrics       *metrics.Metrics
	store         store.Store
	version       string
	started       time.Time
	router        *router.Router
	authenticator *auth.Authenticator
	quotas        quotas
	denials       *rate.Limiter // what is logged of them
	refusals      *rate.Limiter // what is logged of connections that are not taken
	rejections    *rate.Limiter // what is logged of CONNECTs that are refused
	faults        *rate.Limiter // what is logged of clients that break a protocol
	draining      atomic.Bool   // no client is taken any more
	logins        *logins
	loops         []*loop
	groups        []*loopGroup          // of all loops
	turn          int                   // the loop that got the last connection; owned by the first loop
	broken        chan struct{}         // closed with failed
	failed        atomic.Pointer[error] // why the store has failed
	refusing      bool                  // the store takes nothing new, as far as is known; owned by keepTime

	limitOfMemory int64        // bytes; 0 is no limit
	queueRoom     atomic.Int64 // bytes that may wait to be written for one client; see judgeRoom
	short         bool         // no new session begins; owned by watchMemory, like shed
	shed          time.Time

	config atomic.Pointer[config.Config] // defaulted
	access atomic.Pointer[auth.Snapshot]

	table      *table
	files      files
	open       atomic.Int64 // connections, of all listeners
	newcomers  *newcomers
	handshakes *handshakes

	applying sync.Mutex     // serialises Apply; comes before mu
	enforced *config.Config // whose users and rules are in force; guarded by applying

	mu    sync.Mutex       // guards what follows, to ended, and is held while it is applied
	ports map[string]*port // nil once they are closed for good
	ended bool             // nothing is applied any more
	byFD  atomic.Pointer[map[int]*port]
}

// New opens a broker: it loads the store and binds the listeners. Clients are
// served once Serve runs.
func New(o Options) (*Server, error) {
	s := &Server{
		log:           o.Logger,
		ctx:           context.Background(),
		metrics:       o.Metrics,
		store:         o.Store,
		version:       o.Version,
		started:       time.Now(),
		authenticator: auth.NewAuthenticator(auth.Options{}),
		denials:       newSample(),
		refusals:      newSample(),
		rejections:    newSample(),
		faults:        newSample(),
		logins:        newLogins(computing.atOnce()),
		handshakes:    newHandshakes(computing.atOnce()),
		ports:         map[string]*port{},
		broken:        make(chan struct{}),
		limitOfMemory: o.Memory,
	}
	s.queueRoom.Store(math.MaxInt64)
	s.share(o.OpenFiles)
	access, err := auth.Compile(o.Config)
	if err != nil {
		return nil, fmt.Errorf("compile access rules: %w", err)
	}
	s.access.Store(access)
	s.enforced = o.Config
	s.setConfig(o.Config)
	s.router = router.New(o.Store, o.Metrics, access, s.routerLimits())
	if err := s.router.Load(s.started); err != nil {
		return nil, fmt.Errorf("%w: load store: %w", ErrStorage, err)
	}
	if err := s.openLoops(); err != nil {
		return nil, err
	}
	s.watchStore()
	s.metrics.SetGauges(s.gauges())
	if err := s.applyListeners(o.Config.Settings.Listeners); err != nil {
		s.closePorts()
		s.closeLoops()
		return nil, err
	}
	return s, nil
}

// share has clients take no more of a limit of open files than is theirs.
func (s *Server) share(limit int) {
	allowed := openFiles()
	s.files = shareOut(cmp.Or(limit, allowed))
	s.table = newTable(allowed)
	s.newcomers = newNewcomers(s.files.newcomers)
	s.log.Info("connections are limited by the open files of the process",
		"openFiles", s.files.limit, "connections", s.files.connections, "beforeConnect", s.files.newcomers)
}

func (s *Server) openLoops() error {
	for range computing.processors() {
		l, err := newLoop(s)
		if err != nil {
			s.closeLoops()
			return fmt.Errorf("open event loop: %w", err)
		}
		s.loops = append(s.loops, l)
	}
	s.groups = groupLoops(s, s.loops)
	return nil
}

// closeLoops releases loops that have never run.
func (s *Server) closeLoops() {
	for _, l := range s.loops {
		_ = l.poller.close()
	}
}

func (s *Server) setConfig(c *config.Config) {
	full := *c
	full.Settings = c.Settings.Defaulted()
	s.config.Store(&full)
}

// settings in force, with every default spelled out.
func (s *Server) settings() *config.Settings { return &s.config.Load().Settings }

func (s *Server) routerLimits() router.Limits {
	m := s.settings().MQTT
	return router.Limits{
		RetainedMessages:    m.MaxRetainedMessages,
		RetainedBytes:       m.MaxRetainedBytes,
		SharedSubscriptions: m.MaxSharedSubscriptionsPerClient,
		Sessions:            m.MaxSessions,
		MaxQoS:              *m.MaxQoS,
		Queue:               queueLimits(&m),
		Overflow:            overflow(m.Overflow),
		Backlog:             mostBacklog,
	}
}

func (s *Server) gauges() metrics.Gauges {
	return metrics.Gauges{
		Connections:       func() float64 { return float64(s.router.Connected()) },
		Sessions:          func() float64 { return float64(s.router.Sessions()) },
		Subscriptions:     func() float64 { return float64(s.router.Subscriptions()) },
		Retained:          func() float64 { n, _ := s.router.Retained(); return float64(n) },
		RetainedBytes:     func() float64 { _, n := s.router.Retained(); return float64(n) },
		StoredMessages:    func() float64 { return float64(s.router.Listed()) },
		StoreHealthy:      s.storeHealthy,
		StoreFree:         func() float64 { return float64(s.store.Health().Free) },
		StoreBacklog:      func() float64 { return float64(s.store.Backlog()) },
		StoreDamaged:      func() float64 { return float64(s.store.Health().Damaged) },
		StoreBytes:        func() float64 { return float64(s.store.Health().Disk) },
		HandshakesWaiting: func() float64 { return float64(s.handshakes.waits()) },
		LoginsWaiting:     func() float64 { return float64(s.logins.waits()) },
	}
}

// Serve serves clients until ctx ends. It then disconnects them at the
// configured pace, closes the store and returns. It ends by itself, soon and with
// ErrStorage, where the store has failed.
func (s *Server) Serve(ctx context.Context) error {
	for _, l := range s.loops {
		l.beat.Store(time.Now().UnixNano())
	}
	for _, g := range s.groups {
		go g.run()
	}
	ticking, stopTicking := context.WithCancel(context.Background())
	var clock sync.WaitGroup
	clock.Go(func() { s.keepTime(ticking) })
	clock.Go(func() { s.watchMemory(ticking) })
	select {
	case <-ctx.Done():
	case <-s.broken:
	}
	s.draining.Store(true)
	s.closePorts()
	s.drain()
	s.end()
	stopTicking()
	clock.Wait()
	for _, g := range s.groups {
		g.halt()
	}
	s.router.Close()
	err := s.store.Close()
	if failure := s.storageFailure(); failure != nil {
		return failure
	}
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// keepTime wakes the loops once a second until ctx ends.
func (s *Server) keepTime(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-second.C:
		}
		s.watchStore()
		for _, l := range s.loops {
			l.post(l.tick)
		}
		first := s.loops[0]
		first.post(first.worker.Tick)
		first.post(s.acceptAgain)
		if every := time.Duration(s.settings().MQTT.SysInterval); every > 0 && n%max(int(every/time.Second), 1) == 0 {
			first.post(func() { s.publishSys(first.worker) })
		}
	}
}

// ready handles one event of a loop.
func (s *Server) ready(l *loop, e event) {
	c := s.table.at(e.fd)
	if c == nil {
		if p := (*s.byFD.Load())[e.fd]; p != nil {
			p.accept(l)
		}
		return
	}
	if c.loop != l { // the event is of one that had this descriptor before
		return
	}
	defer c.recoverPanic()
	if e.write {
		c.writable()
	}
	if e.readable && !c.paused && c.state != stateClosed {
		c.readable()
	}
}

// recoverPanic keeps a fault in the handling of one client from the others.
func (c *conn) recoverPanic() {
	if r := recover(); r != nil {
		c.server.log.Error("panic while handling a client", "client", c.clientID(), "panic", r, "stack", stack())
		c.loop.guard(c.close)
	}
}

func stack() string {
	b := make([]byte, 16<<10)
	return string(b[:runtime.Stack(b, false)])
}

// nextLoop takes the loops in turn.
func (s *Server) nextLoop() *loop {
	s.turn = (s.turn + 1) % len(s.loops)
	return s.loops[s.turn]
}

// Sessions returns the number of sessions, connected or not.
func (s *Server) Sessions() int { return s.router.Sessions() }

// Status is what a broker says of itself.
type Status struct {
	// Revision of the configuration in force.
	Revision  string
	Clients   int
	Listeners []ListenerStatus
}

// stuckAfter is how long an event loop may be silent that ticks every second.
const stuckAfter = 30 * time.Second

// Alive returns why the process had better be replaced: an event loop that does
// not turn leaves its connections dead. It is nil where all is well.
func (s *Server) Alive(now time.Time) error {
	for i, l := range s.loops {
		silent := now.Sub(time.Unix(0, l.beat.Load()))
		if l.beat.Load() > 0 && silent > stuckAfter {
			return fmt.Errorf("event loop %d has not turned for %s", i, silent.Round(time.Second))
		}
	}
	return nil
}

// ErrClosed is returned by Apply once the broker has ended.
var ErrClosed = errors.New("the broker has ended")

// Addr returns the address of a listener, nil if there is none of that name.
func (s *Server) Addr(name string) net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.ports[name]; p != nil {
		return p.addr
	}
	return nil
}
