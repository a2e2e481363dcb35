package auth

import (
	"errors"
	"testing"

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
		if _, err := converse(t, a, s, Credentials{}, "dev", "guess"); !errors.Is(err, ErrBadCredentials) {
			t.Fatal(err)
		}
	}
	if a.Stats().Throttled == 0 {
		t.Error("no guess was throttled")
	}
}
