package auth

import (
	"github.com/xdg-go/scram"

	"github.com/godwit-mqtt/godwit/broker/auth/password"
)

// MethodSCRAM is the authentication method that an Exchange speaks.
const MethodSCRAM = "SCRAM-SHA-256"

// Exchange is an enhanced authentication that is under way: one for a CONNECT,
// and one for each time that the client authenticates again. It computes no slow
// hash, the client does. It is under way until Step says that it is done or has
// failed: one that the client does not finish has to be abandoned. It belongs to
// one goroutine at a time.
type Exchange struct {
	a            *Authenticator
	snapshot     *Snapshot // nil once the user was looked up
	credentials  Credentials
	conversation *scram.ServerConversation
	attempt      attempt
	underWay     bool  // attempt was admitted and has not ended
	refusal      error // why it was not

	// What a client that proves itself is told, by the rules of Begin.
	exists    bool
	principal Principal
	admission error
}

// Begin starts an exchange. Of c, the client identifier, the address and, if the
// CONNECT had one, the username are used: the client has to prove that it is
// that user. Whether it still may be when it has done so is another question: see
// Snapshot.Valid.
func (a *Authenticator) Begin(s *Snapshot, c Credentials) *Exchange {
	e := &Exchange{a: a, snapshot: s, credentials: c}
	// The constructor fails for no hash that the library offers.
	server, _ := scram.SHA256.NewServer(e.lookUp)
	e.conversation = server.NewConversation()
	return e
}

// Step takes what the client sent. While done is false, reply has to be answered
// by the client. Then p is who it is, and reply is the server's proof in turn.
// The error is an *Error.
func (e *Exchange) Step(data []byte) (reply []byte, p Principal, done bool, err error) {
	out, err := e.conversation.Step(string(data))
	switch {
	case e.refusal != nil:
		return nil, Principal{}, false, e.a.refused(e.refusal)
	case err == nil && !e.conversation.Done():
		return []byte(out), Principal{}, false, nil
	case err != nil || !e.conversation.Valid() || !e.exists:
		e.end(true)
		e.a.failed.Add(1)
		return nil, Principal{}, false, ErrBadCredentials
	}
	e.end(false)
	e.a.succeeded.Add(1)
	return []byte(out), e.principal, e.admission == nil, e.admission
}

// Abandon ends an exchange that the client does not finish, which costs what a
// wrong password does. It does nothing to one that has ended.
func (e *Exchange) Abandon() { e.end(true) }

func (e *Exchange) end(failed bool) {
	if e.underWay {
		e.underWay = false
		e.a.throttle.end(e.attempt, failed)
	}
}

// lookUp finds what the exchange is verified with. A user who does not exist, or
// has no SCRAM verifier, gets made-up parameters and fails like one with a wrong
// password; they are made up for everybody, so that it takes the same time.
func (e *Exchange) lookUp(username string) (scram.StoredCredentials, error) {
	claimed := e.credentials.Username
	if e.credentials.HasUsername && claimed != username && password.Prepare(claimed) != username {
		return scram.StoredCredentials{}, ErrBadCredentials
	}
	if e.attempt, e.refusal = e.a.throttle.admit(e.credentials.RemoteAddr, username); e.refusal != nil {
		return scram.StoredCredentials{}, e.refusal
	}
	e.underWay = true
	s := e.snapshot
	e.snapshot = nil
	v := s.madeUp(e.a.key, username)
	if u := s.scramUser(username, e.credentials); u != nil {
		e.exists = true
		e.principal, e.admission = u.admit(e.credentials.ClientID, u.scramProof)
		v = *u.scram
	}
	return stored(v), nil
}

// scramUser returns the user with a verifier that a client means by a username, nil
// for none. Clients prepare usernames by SASLprep (RFC 5802, 5.1), which several may
// have in common: then the username of the CONNECT decides.
func (s *Snapshot) scramUser(username string, c Credentials) *user {
	if c.HasUsername {
		username = c.Username
	}
	u := s.users[username]
	if u == nil {
		u = s.preparedNames[username]
	}
	if u == nil || u.scram == nil {
		return nil
	}
	return u
}

// prepareName notes what clients make of the name of a user with a verifier, where
// that is another name. One that is ambiguous is nobody's.
func (s *Snapshot) prepareName(u *user) {
	name := password.Prepare(u.Username)
	if name == u.Username {
		return
	}
	if _, taken := s.preparedNames[name]; taken {
		u = nil
	}
	s.preparedNames[name] = u
}

func stored(v password.SCRAM) scram.StoredCredentials {
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations},
		StoredKey:  v.StoredKey,
		ServerKey:  v.ServerKey,
	}
}
