package password

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// Hashes made by mosquitto_passwd 2.0.11, argon2 20171227, htpasswd 2.4.67 and
// crypt(3) of libxcrypt 4.4.33.
var vectors = []struct {
	name, hash, password string
}{
	{"mosquitto_passwd", "$7$101$nmU2V8AOZ2UUEZU2$O5qZVMsanhb57D5OHC0BGCaIplxWGVikULZcwp8Da6cYBnF6cE4c1OoViPnohqlvC9tb2bKAVUgOkrKyaZigGQ==", "correct horse"},
	{"mosquitto_passwd of UTF-8", "$7$101$urOneMRoiJXnU7TX$f9pppHzFyAAZWtGPSPewNSQ+bkjXmEIt6JdBi4ecjXBYaxOP52Ob5oRXOcjMr8cUsdvWqgXfWUVXH9QrSGloFA==", "pässwörd"},
	{"mosquitto_passwd -I 50000", "$7$50000$QY+42Zwvi/RQCiBj$QmBVlyM4ktNKsrqu2vvTmG/jVOeDGY0Zly0U/hljvyhYmxdLV9tV5dScqH5DTh00vtqtcEnOxoWH6HKApWqErg==", "pässwörd"},
	{"mosquitto_passwd -U", "$7$101$j47KgjUBo19gozQA$LLAiR7moh9f6NXyT+SE2/Tednn+ulDrhJTkKyQDSKF4niPzDoB4o/jT5kI4Wvnh7Vth9daMYLD54r29lNM1jfA==", "correct horse"},
	{"argon2 -id", "$argon2id$v=19$m=7168,t=5,p=1$c29tZXNhbHRzb21lc2FsdA$Ab6+sBE+Tsn+6D2ktLNSwf7zGnZPIzn8umPKJj3WcwM", "correct horse"},
	{"argon2 -id with two lanes", "$argon2id$v=19$m=8192,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$aTzCkPdCFrgpUot/dSSp/E1ALSTN/aa5Rq+czt48+vs", "correct horse"},
	{"htpasswd -B", "$2y$05$ZFqpouGmTacS0afMPRkgg.W6gSQMHNsqlhKopxCFcR8ecz7B7zNWO", "correct horse"},
	{"htpasswd -B of UTF-8", "$2y$04$4mOtpQ/UbQFourD1Ln0/rua3FE3.u2.NIyoYZ..BN8HFaDY1jHw/2", "pässwörd"},
	{"htpasswd -B of 72 bytes", "$2y$04$/5uibEi6jqtwHDW3ZljrBeKUP1vt80rX3YwaxpW1BPmxe4sqPNVZW", strings.Repeat("x", 72)},
	{"the example of RFC 7677", "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", "pencil"},
	{"crypt 2b", "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", "correct horse"},
	{"crypt 2a", "$2a$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", "correct horse"},
}

func TestVerifyHashesOfOtherTools(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			for pass, want := range map[string]bool{
				v.password: true, v.password + "x": false, v.password[1:]: false, "": false, "wrong": false,
			} {
				if got, err := Verify(v.hash, []byte(pass)); got != want || err != nil {
					t.Errorf("Verify(%q) = %t, %v", pass, got, err)
				}
			}
		})
	}
}

func TestHashVerifies(t *testing.T) {
	pass := []byte("s3cr3t")
	one, err := Hash(pass)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Hash(pass)
	if err != nil {
		t.Fatal(err)
	}
	if one == two {
		t.Error("two hashes share a salt")
	}
	if !strings.HasPrefix(one, "$argon2id$v=19$m=7168,t=5,p=1$") {
		t.Errorf("parameters of %s", one)
	}
	if ok, err := Verify(one, pass); !ok || err != nil {
		t.Errorf("Verify = %t, %v", ok, err)
	}
	if ok, _ := Verify(one, []byte("s3cr3T")); ok {
		t.Error("another password verifies")
	}
}

func TestLengthOfPasswords(t *testing.T) {
	if _, err := Hash(nil); !errors.Is(err, ErrEmpty) {
		t.Errorf("empty: %v", err)
	}
	if _, err := Hash(make([]byte, MaxLength+1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
	long := bytes.Repeat([]byte("a"), MaxLength)
	hash, err := Hash(long)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := Verify(hash, long); !ok || err != nil {
		t.Errorf("the longest password: %t, %v", ok, err)
	}
	if ok, err := Verify(hash, append(long, 'a')); ok || err != nil {
		t.Errorf("too long a password: %t, %v", ok, err)
	}
}

func TestValidate(t *testing.T) {
	const (
		salt = "c29tZXNhbHRzb21lc2FsdA"
		key  = "Ab6+sBE+Tsn+6D2ktLNSwf7zGnZPIzn8umPKJj3WcwM"
		key7 = "O5qZVMsanhb57D5OHC0BGCaIplxWGVikULZcwp8Da6cYBnF6cE4c1OoViPnohqlvC9tb2bKAVUgOkrKyaZigGQ=="
		bc   = "ZFqpouGmTacS0afMPRkgg.W6gSQMHNsqlhKopxCFcR8ecz7B7zNWO"
	)
	for _, v := range vectors {
		if err := Validate(v.hash); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
	}
	for _, tc := range []struct{ name, hash, want string }{
		{"empty", "", "empty"},
		{"plain password", "hunter2", "plain password"},
		{"line of a password file", "u:$7$101$nmU2V8AOZ2UUEZU2$" + key7, "after the colon"},
		{"line break", vectors[0].hash + "\n", "line break"},
		{"very long", "$7$" + strings.Repeat("1", 1000), "longer than"},
		{"unknown kind", "$1$abc$def", "unknown kind"},
		{"nothing but a sign", "$", "unknown kind"},
		{"mosquitto's SHA-512", "$6$0AbJmt8I1tXwXNeR$4Fa8dIoY0IJB9SCq", "sha512-pbkdf2"},
		{"argon2i", "$argon2i$v=19$m=4096,t=3,p=1$" + salt + "$" + key, "argon2i is not supported"},
		{"argon2id of version 16", "$argon2id$v=16$m=4096,t=3,p=1$" + salt + "$" + key, "version 19"},
		{"argon2id without version", "$argon2id$m=4096,t=3,p=1$" + salt + "$" + key, "form"},
		{"argon2id with a key ID", "$argon2id$v=19$m=4096,t=3,p=1,keyid=x$" + salt + "$" + key, "m=memory,t=passes,p=lanes"},
		{"argon2id in another order", "$argon2id$v=19$t=3,m=4096,p=1$" + salt + "$" + key, "m=memory,t=passes,p=lanes"},
		{"argon2id: much memory", "$argon2id$v=19$m=4294967295,t=1,p=1$" + salt + "$" + key, "1 to 65536"},
		{"argon2id: memory beyond 32 bits", "$argon2id$v=19$m=4294967296,t=1,p=1$" + salt + "$" + key, "1 to 65536"},
		{"argon2id: many passes", "$argon2id$v=19$m=8,t=4294967295,p=1$" + salt + "$" + key, `"t"`},
		{"argon2id: no pass", "$argon2id$v=19$m=8,t=0,p=1$" + salt + "$" + key, `"t"`},
		{"argon2id: both", "$argon2id$v=19$m=65536,t=64,p=1$" + salt + "$" + key, "smaller parameters"},
		{"argon2id: many lanes", "$argon2id$v=19$m=4096,t=1,p=255$" + salt + "$" + key, `"p"`},
		{"argon2id: little memory", "$argon2id$v=19$m=8,t=1,p=2$" + salt + "$" + key, "less than 8"},
		{"argon2id: sign", "$argon2id$v=19$m=+8,t=1,p=1$" + salt + "$" + key, `"m"`},
		{"argon2id: short salt", "$argon2id$v=19$m=4096,t=1,p=1$c29t$" + key, "salt"},
		{"argon2id: no hash", "$argon2id$v=19$m=4096,t=1,p=1$" + salt + "$", "hash is not"},
		{"argon2id: padded", "$argon2id$v=19$m=4096,t=1,p=1$" + salt + "==$" + key, "salt"},
		{"bcrypt cut", "$2y$05$" + bc[1:], "60 characters"},
		{"bcrypt: high cost", "$2y$31$" + bc, "4 to 14"},
		{"bcrypt: low cost", "$2y$03$" + bc, "4 to 14"},
		{"bcrypt: no cost", "$2y$xx$" + bc, "4 to 14"},
		{"bcrypt: alphabet", "$2y$05$*" + bc[1:], "alphabet"},
		{"bcrypt of crypt_blowfish's bug", "$2x$05$" + bc, "unknown kind"},
		{"PBKDF2: many iterations", "$7$1000001$nmU2V8AOZ2UUEZU2$" + key7, "1 to 1000000"},
		{"PBKDF2: no iterations", "$7$0$nmU2V8AOZ2UUEZU2$" + key7, "iterations"},
		{"PBKDF2: negative iterations", "$7$-1$nmU2V8AOZ2UUEZU2$" + key7, "iterations"},
		{"PBKDF2: empty iterations", "$7$$nmU2V8AOZ2UUEZU2$" + key7, "iterations"},
		{"PBKDF2: no salt", "$7$101$$" + key7, "salt"},
		{"PBKDF2: short hash", "$7$101$nmU2V8AOZ2UUEZU2$AAAA", "64 bytes"},
		{"PBKDF2: another field", "$7$101$nmU2V8AOZ2UUEZU2$" + key7 + "$x", "form"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := Validate(tc.hash)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Validate = %v, want %q", err, tc.want)
			}
			if ok, verr := Verify(tc.hash, []byte("x")); ok || verr == nil || verr.Error() != err.Error() {
				t.Errorf("Verify = %t, %v, want %v", ok, verr, err)
			}
			leaksNothing(t, tc.hash, err)
		})
	}
}

// leaksNothing checks that an error does not hold any part of the hash beyond
// the names of its form.
func leaksNothing(t *testing.T, hash string, err error) {
	t.Helper()
	for part := range strings.SplitSeq(hash, "$") {
		if len(part) > len("argon2id") && strings.Contains(err.Error(), part) {
			t.Errorf("%q echoes the hash", err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%q echoes the password", err)
	}
}

func TestBcryptTellsLongPasswordsApart(t *testing.T) {
	hash := "$2y$04$/5uibEi6jqtwHDW3ZljrBeKUP1vt80rX3YwaxpW1BPmxe4sqPNVZW"
	if ok, err := Verify(hash, []byte(strings.Repeat("x", 73))); ok || err != nil {
		t.Errorf("73 bytes verify against the hash of their first 72: %t, %v", ok, err)
	}
}

// worst are the most expensive hashes that are accepted.
var worst = map[string]string{
	"argon2id": "$argon2id$v=19$m=65536,t=8,p=1$c29tZXNhbHRzb21lc2FsdA$Ab6+sBE+Tsn+6D2ktLNSwf7zGnZPIzn8umPKJj3WcwM",
	"PBKDF2":   strings.Replace(vectors[0].hash, "$101$", "$1000000$", 1),
	"bcrypt":   "$2y$14$" + vectors[6].hash[7:],
}

func TestValidateAcceptsTheBounds(t *testing.T) {
	for name, hash := range worst {
		if err := Validate(hash); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkVerifyWorst(b *testing.B) {
	for name, hash := range worst {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = Verify(hash, []byte("y"))
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.hash, []byte(v.password))
	}
	f.Add("$7$1$AAAAAAAAAAAA$", []byte(""))
	f.Fuzz(func(t *testing.T, hash string, pass []byte) {
		err := Validate(hash)
		if err != nil {
			leaksNothing(t, hash, err)
		}
		v, parseErr := parse(hash)
		if (parseErr == nil) != (err == nil) || (v == nil) != (err != nil) {
			t.Fatalf("Validate = %v, parse = %v, %v", err, v, parseErr)
		}
		if err == nil && cheap(v) {
			if _, err := Verify(hash, pass); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// cheap keeps the fuzzer fast: the cost of the others is within bounds, but it
// is a cost.
func cheap(v verifier) bool {
	switch h := v.(type) {
	case *argon2idHash:
		return h.memory*h.passes <= 1024
	case *pbkdf2Hash:
		return h.iterations <= 1000
	case bcryptHash:
		return h[4:6] == "04"
	}
	return false
}

func BenchmarkVerify(b *testing.B) {
	own, err := Hash([]byte("x"))
	if err != nil {
		b.Fatal(err)
	}
	for name, hash := range map[string]string{
		"argon2id": own, "mosquitto": vectors[0].hash, "bcrypt05": vectors[6].hash,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = Verify(hash, []byte("y"))
			}
		})
	}
}
