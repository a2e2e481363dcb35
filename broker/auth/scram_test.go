package auth

import (
	"errors"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// converse runs an exchange against a client that believes in the password.
func converse(t *testing.T, a *Authenticator, s *Snapshot, c Credentials, username, pass string) (Principal, error) {
	t.Helper()
	client, err := scram.SHA256.NewClient(username, pass, "")
	if err != nil {
		t.Fatal(err)
	}
	conversation, exchange := client.NewConversation(), a.Begin(s, c)
	message, err := conversation.Step("")
	for err == nil {
		reply, p, done, failed := exchange.Step([]byte(message))
		if failed != nil {
			return Principal{}, failed
		}
		message, err = conversation.Step(string(reply))
		if done {
			if err != nil || !conversation.Valid() {
				t.Fatalf("the client does not believe the server: %v", err)
			}
			return p, nil
		}
	}
	t.Fatalf("client: %v", err)
	return Principal{}, nil
}

func TestExchange(t *testing.T) {
	verifier, err := password.HashSCRAM([]byte("pencil"))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := password.Hash([]byte("pencil"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(&config.Config{Access: config.Access{Users: []config.User{
		{Username: "dev", PasswordHashes: []string{plain, verifier}, ClientIDs: []string{"dev-*"}},
		{Username: "other", PasswordHashes: []string{plain}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		credentials    Credentials
		username, pass string
		want           error
	}{
		"the right password is admitted":            {Credentials{ClientID: "dev-1"}, "dev", "pencil", nil},
		"with the same username in CONNECT too":     {Credentials{ClientID: "dev-1", HasUsername: true, Username: "dev"}, "dev", "pencil", nil},
		"another username in CONNECT is refused":    {Credentials{ClientID: "dev-1", HasUsername: true, Username: "other"}, "dev", "pencil", ErrBadCredentials},
		"a wrong password is refused":               {Credentials{ClientID: "dev-1"}, "dev", "pen", ErrBadCredentials},
		"a user without a verifier is refused":      {Credentials{ClientID: "x"}, "other", "pencil", ErrBadCredentials},
		"an unknown user is refused just so":        {Credentials{ClientID: "x"}, "nobody", "pencil", ErrBadCredentials},
		"a client identifier of another is refused": {Credentials{ClientID: "x"}, "dev", "pencil", ErrClientID},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := converse(t, NewAuthenticator(Options{}), s, tc.credentials, tc.username, tc.pass)
			if !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want %v", err, tc.want)
			}
			if err == nil && (p.Username != tc.username || !s.Valid(p)) {
				t.Errorf("principal %+v", p)
			}
		})
	}
}

func TestExchangeRefusesGarbage(t *testing.T) {
	s, err := Compile(&config.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"", "x", "n,,n=dev", "n,,r=abc", "p=tls-unique,,n=dev,r=abc", "\xff\xfe"} {
		if _, _, done, err := NewAuthenticator(Options{}).Begin(s, Credentials{}).Step([]byte(data)); err == nil || done {
			t.Errorf("%q was taken", data)
		}
	}
}

func TestExchangeIsThrottled(t *testing.T) {
	s, err := Compile(&config.Config{})
	if err != nil {
		t.Fatal(err)
	}
	a := NewAuthenticator(Options{})
	for range 2 * perUser.burst {
		_, err := converse(t, a, s, Credentials{}, "dev", "guess")
		if !errors.Is(err, ErrBadCredentials) && !errors.Is(err, ErrThrottled) {
			t.Fatal(err)
		}
	}
	if a.Stats().Throttled == 0 {
		t.Error("no guess was throttled")
	}
}

// dev is a client that knows the password, and derives its keys once.
func dev(t *testing.T) *scram.Client {
	t.Helper()
	client, err := scram.SHA256.NewClient("dev", "pencil", "")
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// start begins an exchange and returns it with the client's last message.
func start(t *testing.T, a *Authenticator, s *Snapshot, client *scram.Client) (*Exchange, []byte, error) {
	t.Helper()
	conversation, e := client.NewConversation(), a.Begin(s, Credentials{})
	first, err := conversation.Step("")
	if err != nil {
		t.Fatal(err)
	}
	reply, _, _, err := e.Step([]byte(first))
	if err != nil {
		return e, nil, err
	}
	last, err := conversation.Step(string(reply))
	if err != nil {
		t.Fatal(err)
	}
	return e, []byte(last), nil
}

func scramUser(t *testing.T) *Snapshot {
	t.Helper()
	verifier, err := password.HashSCRAM([]byte("pencil"))
	if err != nil {
		t.Fatal(err)
	}
	return compile(t, config.Config{Access: config.Access{Users: []config.User{{Username: "dev", PasswordHashes: []string{verifier}}}}})
}

// Clients take their time, and many of one user may do so at once.
func TestExchangesUnderWayAreNoFailures(t *testing.T) {
	s, a, client := scramUser(t), NewAuthenticator(Options{}), dev(t)
	var all []*Exchange
	var last [][]byte
	for range perUser.burst + 1 {
		e, message, err := start(t, a, s, client)
		if err != nil {
			t.Fatalf("exchange %d: %v", len(all), err)
		}
		all, last = append(all, e), append(last, message)
	}
	for i, e := range all {
		if _, _, done, err := e.Step(last[i]); !done || err != nil {
			t.Errorf("exchange %d: %t, %v", i, done, err)
		}
		e.Abandon() // which is too late
	}
	if n := len(a.throttle.users.young) + len(a.throttle.users.began); n != 0 {
		t.Error("success has a cost")
	}
}

func TestExchangesThatAreAbandonedHaveFailed(t *testing.T) {
	s, a, client := scramUser(t), NewAuthenticator(Options{Now: (&clock{time.Now()}).now}), dev(t)
	for range perUser.burst {
		e, _, err := start(t, a, s, client)
		if err != nil {
			t.Fatal(err)
		}
		e.Abandon()
		e.Abandon()
	}
	if _, _, err := start(t, a, s, client); !errors.Is(err, ErrThrottled) {
		t.Errorf("error %v", err)
	}
}

func TestExchangesUnderWayAreBounded(t *testing.T) {
	s, a, client := scramUser(t), NewAuthenticator(Options{}), dev(t)
	for range perUser.underWay {
		if _, _, err := start(t, a, s, client); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := start(t, a, s, client); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v", err)
	}
}
