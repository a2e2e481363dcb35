package server

import "sync"

// Bounds on the clients that wait for a password to be checked.
const (
	maxVerifications        = 4096
	maxVerificationsOfAUser = maxVerifications / 4
)

// logins are the password checks that wait, and those that run: few at a time,
// since each takes long on purpose. The usernames that clients come with take
// turns, so that many logins of one do not keep the others waiting.
type logins struct {
	mu      sync.Mutex
	atOnce  int // how many may run
	running int
	waiting int
	byUser  map[string][]func() // that wait
	turns   []string            // the usernames of byUser, the next one first
}

func newLogins(atOnce int) *logins { return &logins{atOnce: atOnce, byUser: map[string][]func(){}} }

// add has check run in its turn, on another goroutine. It reports false where too
// many wait.
func (l *logins) add(username string, check func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.byUser[username]
	if l.waiting >= maxVerifications || len(before) >= maxVerificationsOfAUser {
		return false
	}
	if len(before) == 0 {
		l.turns = append(l.turns, username)
	}
	l.byUser[username] = append(before, check)
	l.waiting++
	if l.running < l.atOnce {
		l.running++
		go l.run()
	}
	return true
}

// run is a goroutine that runs one check after the other until none waits.
func (l *logins) run() {
	for check := l.next(); check != nil; check = l.next() {
		check()
	}
}

// next takes the check whose turn it is. It is nil, and a place is free again, where
// none waits.
func (l *logins) next() func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == 0 {
		l.running--
		return nil
	}
	username := l.turns[0]
	l.turns = l.turns[1:]
	all := l.byUser[username]
	check := all[0]
	all[0] = nil
	l.waiting--
	if len(all) == 1 {
		delete(l.byUser, username)
	} else {
		l.byUser[username] = all[1:]
		l.turns = append(l.turns, username)
	}
	return check
}
