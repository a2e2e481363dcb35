package router

import "sync"

// readers run what waits for the disk, so that no event loop does: some at a
// time, each on a goroutine that ends when there is nothing left to run.
type readers struct {
	mu      sync.Mutex
	rest    sync.Cond // running has become 0
	queue   []func()
	running int
	closed  bool
}

// mostReaders run at a time.
const mostReaders = 8

func (r *readers) init() { r.rest.L = &r.mu }

// run has f run soon, on another goroutine, unless the readers are closed.
func (r *readers) run(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.queue = append(r.queue, f)
	if r.running < mostReaders {
		r.running++
		go r.read()
	}
}

// read is the goroutine of a reader.
func (r *readers) read() {
	for f := r.next(); f != nil; f = r.next() {
		f()
	}
}

// next returns nil when the reader is to end.
func (r *readers) next() (f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		if r.running--; r.running == 0 {
			r.rest.Broadcast()
		}
		return nil
	}
	f, r.queue[0] = r.queue[0], nil
	if r.queue = r.queue[1:]; len(r.queue) == 0 {
		r.queue = nil
	}
	return f
}

// close runs nothing more and waits for those that run.
func (r *readers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed, r.queue = true, nil
	r.wait()
}

// wait returns when none runs. mu is held.
func (r *readers) wait() {
	for r.running > 0 {
		r.rest.Wait()
	}
}
