package storetest

import (
	"errors"
	"sync"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/store"
)

var commits = map[string]func(*testing.T, *place){
	"nothing is loaded from an empty store":       emptyLoad,
	"loading ends at the first error":             loadError,
	"commits are reported once and in order":      commitsInOrder,
	"what nobody waits for is stored too":         unattended,
	"a batch may be used again at once":           batchReused,
	"sessions are committed from many goroutines": manyCommitters,
	"a store that is open is well":                healthy,
	"scripted commits leave what they say":        scripted,
}

func emptyLoad(t *testing.T, p *place) {
	if c := p.after(t); c.String() != "" {
		t.Errorf("loaded %v", c)
	}
}

func commitsInOrder(t *testing.T, p *place) {
	p.reopen(t)
	const most = 500
	reported := make(chan int, 2*most)
	for i := range most {
		b := waits(1, uint64(i+1))
		if i == 0 {
			b = begin(1)
		}
		if i%7 == 3 {
			b = &store.Batch{} // somebody only waits for those before
		}
		p.st.Commit(b, func(err error) {
			if err != nil {
				t.Errorf("commit %d: %v", i, err)
			}
			reported <- i
		})
	}
	p.close(t)
	close(reported)
	want := 0
	for i := range reported {
		if i != want {
			t.Fatalf("commit %d is reported, want %d", i, want)
		}
		want++
	}
	if want != most {
		t.Errorf("%d commits are reported at Close, want %d", want, most)
	}
}

func batchReused(t *testing.T, p *place) {
	p.reopen(t)
	b := begin(1)
	b.Deliveries = waits(1, 1).Deliveries
	b.Retained = retain("r", "1").Retained
	b.Received = []store.Identifier{{Session: 1, ID: 1}}
	var wg sync.WaitGroup
	wg.Add(1)
	p.st.Commit(b, func(error) { wg.Done() })
	b.Reset()
	b.Sessions = append(b.Sessions, begin(2).Sessions...)
	b.Deliveries = append(b.Deliveries, waits(2, 2).Deliveries...)
	b.Retained = append(b.Retained, retain("q", "2").Retained...)
	b.Received = append(b.Received, store.Identifier{Session: 2, ID: 2})
	wg.Wait()
	Commit(t, p.st, b)
	c := p.reopen(t)
	wantSessions(t, c, 1, 2)
	wantSeqs(t, c, 1, 1)
	wantSeqs(t, c, 2, 2)
	wantRetained(t, c, map[string]string{"r": "1", "q": "2"})
	if len(c.Received[1]) != 1 || len(c.Received[2]) != 1 || c.Received[1][0] != 1 || c.Received[2][0] != 2 {
		t.Errorf("received %v", c.Received)
	}
}

func unattended(t *testing.T, p *place) {
	p.reopen(t)
	p.st.Commit(begin(1), nil)
	p.st.Commit(waits(1, 1, 2), nil)
	p.st.Commit(done(1), nil)
	wantSeqs(t, p.reopen(t), 1, 2)
}

func manyCommitters(t *testing.T, p *place) {
	p.reopen(t)
	const committers, each = 8, 50
	var wg sync.WaitGroup
	for id := range uint64(committers) {
		wg.Go(func() {
			Commit(t, p.st, begin(id))
			for seq := range uint64(each) {
				Commit(t, p.st, waits(id, seq+1))
			}
		})
	}
	wg.Wait()
	c := p.reopen(t)
	for id := range uint64(committers) {
		if n := len(c.Deliveries[id]); n != each {
			t.Errorf("%d messages wait for %d, want %d", n, id, each)
		}
	}
}

func healthy(t *testing.T, p *place) {
	p.after(t, begin(1), waits(1, 1))
	if h := p.st.Health(); h.Err != nil || h.Damaged != 0 {
		t.Errorf("got %+v", h)
	}
}

var errEnough = errors.New("enough")

// fussy is a loader that takes no session.
type fussy struct{ *Content }

// LoadSession implements store.Loader.
func (fussy) LoadSession(store.Session) error { return errEnough }

func loadError(t *testing.T, p *place) {
	p.after(t, begin(1), retain("a", "1"))
	p.close(t)
	p.st = p.open(t)
	if err := p.st.Load(fussy{}); !errors.Is(err, errEnough) {
		t.Errorf("load returns %v", err)
	}
}

func scripted(t *testing.T, p *place) {
	for seed := range uint64(5) {
		s := NewScript(seed, 100)
		p.reopen(t)
		Commit(t, p.st, s.Clear())
		for _, b := range s.Batches {
			p.st.Commit(b, nil)
		}
		s.Check(t, p.reopen(t), len(s.Batches))
	}
}
