package cmd

import (
	"bytes"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/auth/password"
)

func TestPasswdHashesStandardInput(t *testing.T) {
	tests := map[string]struct{ in, plain, err string }{
		"a line":           {"secret\n", "secret", ""},
		"no line break":    {"secret", "secret", ""},
		"a windows line":   {"secret\r\n", "secret", ""},
		"only one is cut":  {" a b \n\n", " a b \n", ""},
		"empty":            {"\n", "", "the password is empty"},
		"longer than MQTT": {strings.Repeat("x", 65536), "", "longer than 65535 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			c := NewCommand()
			c.SetArgs([]string{"passwd"})
			c.SetIn(strings.NewReader(tt.in))
			c.SetOut(&out)
			err := c.ExecuteContext(t.Context())
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error = %v, want one that says %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := password.Verify(strings.TrimSpace(out.String()), []byte(tt.plain)); !ok || err != nil {
				t.Errorf("%q does not verify the password: %v", out.String(), err)
			}
		})
	}
}
