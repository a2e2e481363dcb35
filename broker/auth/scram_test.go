package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
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

// verifier is a SCRAM verifier of nobody's password.
func verifier(iterations, saltLength int, fill byte) string {
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, n)) }
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(saltLength), b64(32), b64(32))
}

// enumerable knows users whose verifiers are of two kinds, and users that have none.
func enumerable(t *testing.T, more ...config.User) *Snapshot {
	t.Helper()
	access := config.Access{DecoyKey: []byte("a secret of the configuration"), Users: more}
	for i := range 40 {
		hash := verifier(15_000, 16, byte(i))
		if i%2 == 0 {
			hash = verifier(4096, 12, byte(i))
		}
		access.Users = append(access.Users,
			config.User{Username: fmt.Sprint("real-", i), PasswordHashes: []string{hash}},
			config.User{Username: fmt.Sprint("other-", i), PasswordHashes: []string{quickHash}})
	}
	return compile(t, config.Config{Access: access})
}

// told is what the first answer of an exchange tells: the salt and the iterations.
func told(t *testing.T, a *Authenticator, s *Snapshot, username string) (salt string, iterations int) {
	t.Helper()
	e := a.Begin(s, Credentials{RemoteAddr: netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, rand.Uint32())))})
	defer e.Abandon()
	reply, _, _, err := e.Step([]byte("n,,n=" + username + ",r=nonce"))
	if err != nil {
		t.Fatalf("%s: %v", username, err)
	}
	fields := strings.Split(string(reply), ",")
	iterations, err = strconv.Atoi(strings.TrimPrefix(fields[2], "i="))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(fields[1], "s="), iterations
}

// TestUsernamesOfNobodyAreNotToldFromOthers: what an exchange tells of them are the
// parameters that users have, and they are the same for another process.
func TestUsernamesOfNobodyAreNotToldFromOthers(t *testing.T) {
	s, restarted := enumerable(t), enumerable(t)
	a, b := NewAuthenticator(Options{}), NewAuthenticator(Options{})
	salts, kinds := map[string]bool{}, map[string]int{}
	for _, stem := range []string{"nobody-", "other-", "real-"} {
		for i := range 40 {
			name := fmt.Sprint(stem, i)
			salt, iterations := told(t, a, s, name)
			if again, same := told(t, b, restarted, name); again != salt || same != iterations {
				t.Errorf("%s is told %s, %d, and %s, %d after a restart", name, salt, iterations, again, same)
			}
			if salts[salt] {
				t.Errorf("%s has the salt of another", name)
			}
			salts[salt] = true
			kinds[fmt.Sprintf("%s%d, %d characters of salt", stem, iterations, len(salt))]++
		}
	}
	for _, stem := range []string{"nobody-", "other-", "real-"} {
		for _, kind := range []string{"4096, 16 characters of salt", "15000, 24 characters of salt"} {
			if kinds[stem+kind] == 0 {
				t.Errorf("no %s has %s: %v", stem, kind, kinds)
			}
		}
	}
	if len(kinds) != 6 {
		t.Errorf("parameters that no user has: %v", kinds)
	}
}

// TestUsernamesOfNobodyChangeAsSeldomAsOthers when users come.
func TestUsernamesOfNobodyChangeAsSeldomAsOthers(t *testing.T) {
	a := NewAuthenticator(Options{})
	before, after := enumerable(t), enumerable(t, config.User{Username: "new", PasswordHashes: []string{verifier(15_000, 16, 99)}})
	changed := 0
	for i := range 200 {
		name := fmt.Sprint("nobody-", i)
		salt, iterations := told(t, a, before, name)
		again, same := told(t, a, after, name)
		if (again != salt) != (same != iterations) {
			t.Errorf("%s: the iterations change without the salt, or the salt alone: %d and %d", name, iterations, same)
		}
		if again != salt {
			changed++
		}
	}
	if changed > 40 {
		t.Errorf("%d of 200 usernames of nobody change with one user", changed)
	}
}

// TestFailedExchangesAreAlike for users, for such without a verifier and for nobody:
// so many answers, then the same refusal.
func TestFailedExchangesAreAlike(t *testing.T) {
	s := enumerable(t)
	for _, name := range []string{"real-1", "other-1", "nobody-1"} {
		e := NewAuthenticator(Options{}).Begin(s, Credentials{})
		reply, _, done, err := e.Step([]byte("n,,n=" + name + ",r=nonce"))
		if done || err != nil {
			t.Fatalf("%s: %t, %v", name, done, err)
		}
		nonce, _, _ := strings.Cut(string(reply), ",")
		proof := base64.StdEncoding.EncodeToString(make([]byte, 32))
		reply, p, done, err := e.Step([]byte("c=biws," + nonce + ",p=" + proof))
		if done || !errors.Is(err, ErrBadCredentials) || len(reply) > 0 || p != (Principal{}) {
			t.Errorf("%s: %q, %+v, %t, %v", name, reply, p, done, err)
		}
	}
}

func TestExchangeTakesEveryUsername(t *testing.T) {
	verifier, err := password.HashSCRAM([]byte("pencil"))
	if err != nil {
		t.Fatal(err)
	}
	names := append(slices.Clone(firmwareNames), "a,b=c", "=2C", "\u2168", "non\u00a0breaking")
	var users []config.User
	for _, name := range names {
		users = append(users, config.User{Username: name, PasswordHashes: []string{verifier}})
	}
	s := compile(t, config.Config{Access: config.Access{Users: users}})
	for _, name := range names {
		for _, c := range []Credentials{{}, {HasUsername: true, Username: name}} {
			if p, err := converse(t, NewAuthenticator(Options{}), s, c, name, "pencil"); err != nil || p.Username != name {
				t.Errorf("%q: %+v, %v", name, p, err)
			}
		}
	}
}

// TestUsernamesThatClientsPrepareAlike are told apart by the username in CONNECT.
func TestUsernamesThatClientsPrepareAlike(t *testing.T) {
	names := []string{"\u2168", "\uff29X"} // both become "IX"
	var users []config.User
	for _, name := range names {
		verifier, err := password.HashSCRAM([]byte("pencil of " + name))
		if err != nil {
			t.Fatal(err)
		}
		users = append(users, config.User{Username: name, PasswordHashes: []string{verifier}})
	}
	s := compile(t, config.Config{Access: config.Access{Users: users}})
	for _, name := range names {
		named := Credentials{HasUsername: true, Username: name}
		if p, err := converse(t, NewAuthenticator(Options{}), s, named, name, "pencil of "+name); err != nil || p.Username != name {
			t.Errorf("%q: %+v, %v", name, p, err)
		}
		if _, err := converse(t, NewAuthenticator(Options{}), s, Credentials{}, name, "pencil of "+name); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("%q without a username in CONNECT: %v", name, err)
		}
	}
}
