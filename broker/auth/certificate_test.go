package auth

import (
	"testing"

	"github.com/godwit-mqtt/godwit/broker/config"
)

// TestACommonNameCountsFromOneCA: the same name, signed by the CA of another
// listener, is nobody's.
func TestACommonNameCountsFromOneCA(t *testing.T) {
	s := compile(t, config.Config{Access: config.Access{Users: []config.User{
		{Username: "any", CommonName: "shared"},
		{Username: "strong", CommonName: "device", ClientCA: "strong-ca"},
		{Username: "weak", CommonName: "device", ClientCA: "weak-ca"},
	}}})
	a := NewAuthenticator(Options{})
	for _, tc := range []struct {
		commonName, ca string
		want           string // empty if refused
	}{
		{"shared", "", "any"},
		{"shared", "strong-ca", ""},
		{"shared", "weak-ca", ""},
		{"device", "strong-ca", "strong"},
		{"device", "weak-ca", "weak"},
		{"device", "other-ca", ""},
		{"device", "", ""},
	} {
		for _, username := range []string{"", "any", "strong", "weak"} {
			want := tc.want
			if username != "" && username != want {
				want = ""
			}
			p, err := a.Authenticate(s, Credentials{
				ClientID: "c", Username: username, HasUsername: username != "", HasCertificate: true, CommonName: tc.commonName, ClientCA: tc.ca,
			})
			if p.Username != want || (err == nil) != (want != "") {
				t.Errorf("%q of %q as %q: %+v, %v; want %q", tc.commonName, tc.ca, username, p, err, want)
			}
		}
	}
}

func TestACertificateLogin(t *testing.T) {
	users := func(u ...config.User) config.Config { return config.Config{Access: config.Access{Users: u}} }
	user := config.User{Username: "u", CommonName: "device", ClientCA: "a"}
	p, err := NewAuthenticator(Options{}).Authenticate(compile(t, users(user)), Credentials{ClientID: "c", HasCertificate: true, CommonName: "device", ClientCA: "a"})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(u *config.User)
		valid  bool
	}{
		"stays valid while nothing of it changes": {func(u *config.User) { u.ClientIDs = []string{"c"} }, true},
		"ends where another CA counts":            {func(u *config.User) { u.ClientCA = "b" }, false},
		"ends where no CA is named any more":      {func(u *config.User) { u.ClientCA = "" }, false},
		"ends with the common name":               {func(u *config.User) { u.CommonName = "b" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			changed := user
			tc.change(&changed)
			if got := compile(t, users(changed)).Valid(p); got != tc.valid {
				t.Errorf("valid: %t", got)
			}
		})
	}
}
