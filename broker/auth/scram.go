package auth

import (
	"github.com/xdg-go/scram"

	"github.com/godwit-mqtt/godwit/broker/auth/password"
)

// MethodSCRAM is the authentication method that an Exchange speaks.
const MethodSCRAM = "SCRAM-SHA-256"

// Exchange is an enhanced authentication that is under way: one for a CONNECT,
// and one for each time that the client authenticates again. It computes no slow
// hash, the client does. It belongs to one goroutine at a time.
type Exchange struct {
	a            *Authenticator
	snapshot     *Snapshot
	credentials  Credentials
	conversation *scram.ServerConversation
	user         *user
	proof        proof
	attempt      attempt
}

// Begin starts an exchange. Of c, the client identifier, the address and, if the
// CONNECT had one, the username are used: the client has to prove that it is
// that user.
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
	case err != nil || e.conversation.Done() && !e.conversation.Valid():
		e.a.failed.Add(1)
		return nil, Principal{}, false, ErrBadCredentials
	case !e.conversation.Done():
		return []byte(out), Principal{}, false, nil
	case e.user == nil:
		return nil, Principal{}, false, ErrBadCredentials
	}
	e.a.throttle.succeed(e.attempt)
	e.a.succeeded.Add(1)
	p, err = e.user.admit(e.credentials.ClientID, e.proof)
	return []byte(out), p, err == nil, err
}

// lookUp finds what the exchange is verified with. A user who does not exist, or
// has no SCRAM verifier, gets made-up parameters, always the same ones, and
// fails like one with a wrong password.
func (e *Exchange) lookUp(username string) (scram.StoredCredentials, error) {
	if e.credentials.HasUsername && e.credentials.Username != username {
		return scram.StoredCredentials{}, ErrBadCredentials
	}
	var ok bool
	if e.attempt, ok = e.a.throttle.admit(e.credentials.RemoteAddr, username); !ok {
		e.a.throttled.Add(1)
		return scram.StoredCredentials{}, ErrThrottled
	}
	if u := e.snapshot.users[username]; u != nil {
		for i, hash := range u.PasswordHashes {
			if v, ok := password.ParseSCRAM(hash); ok {
				e.user, e.proof = u, u.proofs[i]
				return stored(v), nil
			}
		}
	}
	return stored(e.a.madeUp(username)), nil
}

func stored(v password.SCRAM) scram.StoredCredentials {
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(v.Salt), Iters: v.Iterations},
		StoredKey:  v.StoredKey,
		ServerKey:  v.ServerKey,
	}
}

// madeUp are the parameters of nobody.
func (a *Authenticator) madeUp(username string) password.SCRAM {
	salt := a.mac([]byte("salt"), []byte(username))
	key := a.mac([]byte("key"), []byte(username))
	return password.SCRAM{
		Iterations: password.DefaultSCRAMIterations,
		Salt:       salt[:16], StoredKey: key[:], ServerKey: key[:],
	}
}
