package mosquitto

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/cmd/dev/manifest"
)

var update = flag.Bool("update", false, "write the expected files anew")

// golden is the file with what is expected of a directory.
const golden = "expected.yaml"

func TestConvert(t *testing.T) {
	for _, dir := range []string{"everything", "rules", "certificates", "open"} {
		t.Run(dir, func(t *testing.T) {
			t.Chdir(filepath.Join("testdata", dir))
			out, err := Convert(inputHere(t))
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(golden, out.Join(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got := out.Join(); !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			mustBeAccepted(t, out)
		})
	}
}

// inputHere takes the files of the working directory that are there.
func inputHere(t *testing.T) Input {
	t.Helper()
	in := Input{Broker: "edge", Namespace: "iot"}
	if _, err := os.Stat("mosquitto.conf"); err == nil {
		if in.Config, err = ReadConfig("mosquitto.conf"); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]**Source{"passwd": &in.Passwd, "acl": &in.ACL} {
		if content, err := os.ReadFile(name); err == nil {
			*to = &Source{name, content}
		}
	}
	return in
}

// mustBeAccepted fails where an API server would refuse the manifests, or where
// one that it takes is not in them.
func mustBeAccepted(t *testing.T, out *Output) {
	t.Helper()
	set, err := manifest.Source{Paths: []string{"-"}, Stdin: bytes.NewReader(out.Join())}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(out.Join(), []byte("\nkind: ")); n != len(set.Brokers)+len(set.Users)+len(set.ACLs)+len(set.Secrets) {
		t.Errorf("%d objects were written, %+v was read", n, set)
	}
}

func TestNotesStandInTheManifestsToo(t *testing.T) {
	t.Chdir("testdata/everything")
	out, err := Convert(inputHere(t))
	if err != nil {
		t.Fatal(err)
	}
	comments := strings.Join(strings.Fields(strings.ReplaceAll(string(out.Join()), "\n# ", " ")), " ")
	for _, note := range out.Notes {
		if !strings.Contains(comments, note) {
			t.Errorf("no comment says %q", note)
		}
	}
	if len(out.Notes) < 10 {
		t.Errorf("%d notes", len(out.Notes))
	}
}

func TestManyTopicsAreSplit(t *testing.T) {
	var acl bytes.Buffer
	const topics = maxTopics*maxRules + maxTopics + 1 // one TopicACL, two rules of the next
	acl.WriteString("user a\n")
	for i := range topics {
		fmt.Fprintf(&acl, "topic read t/%d\n", i)
	}
	out, err := Convert(Input{ACL: &Source{"acl", acl.Bytes()}, Broker: "edge"})
	if err != nil {
		t.Fatal(err)
	}
	mustBeAccepted(t, out)
	set, _ := manifest.Source{Paths: []string{"-"}, Stdin: bytes.NewReader(out.Join())}.Load()
	if len(set.ACLs) != 2 || len(set.ACLs[0].Spec.Rules) != maxRules || len(set.ACLs[1].Spec.Rules) != 2 {
		t.Errorf("%d TopicACLs", len(set.ACLs))
	}
	found := 0
	for _, a := range set.ACLs {
		for _, r := range a.Spec.Rules {
			found += len(r.Topics)
		}
	}
	if found != topics {
		t.Errorf("%d topics of %d", found, topics)
	}
}

func TestWhatCannotBeSaidDeniesMoreAndAllowsNothing(t *testing.T) {
	long := strings.Repeat("x", 600)
	for name, tc := range map[string]struct {
		acl   string
		rules []string // in force, in their order
		note  string
	}{
		"a client within a level": {"pattern readwrite x/#\npattern deny x/%c-secret/#",
			[]string{"Allow [x/#]", "Deny [x/+/#]"}, `acl:2: deny "x/%c-secret/#" denies "x/+/#" here, which is more: %u and %c stand for whole levels`},
		"a client within a level is not allowed": {"pattern read a\npattern read x/%c-mine",
			[]string{"Allow [a]"}, `acl:2: read "x/%c-mine" is left out`},
		"a user within a level, for users that come later": {"user known\ntopic read in/#\npattern deny in/dev-%u",
			[]string{"Allow [in/#]", "Deny [in/+]"}, `denies "in/+" here`},
		"a whole level stays": {"pattern deny %u/x-%c/%c", []string{"Deny [%u/+/%c]"}, `denies "%u/+/%c" here`},
		"the same twice":      {"pattern deny a/x%u\npattern deny a/%uy", []string{"Deny [a/+]"}, `denies "a/+" here`},
		"a topic line": {"user u\ntopic read #\ntopic deny a/%u/b",
			[]string{"Allow [#]", "Deny [a/+/b]"}, `acl:3: deny "a/%u/b" denies "a/+/b" here, which is more: a topic line takes %u`},
		"a topic that is too long": {"topic deny " + long + "/b/" + long + "/c\ntopic read " + long + "/" + long,
			[]string{"Deny [" + long + "/b/#]"}, "at most 1024 bytes"},
		"a first level that is too long": {"topic deny " + long + long + "/b", []string{"Deny [#]"}, `denies "#" here`},
		"a group":                        {"topic read a\ntopic deny $share/g%c/a", []string{"Allow [a]"}, "says nothing in Mosquitto"},
		"what nothing covers": {"topic read a\ntopic read $ready\npattern deny $x%c/a\npattern read $SYS/#",
			[]string{"Allow [a]"}, `acl:2: read "$ready" is left out: line 3 denies topics that begin with '$'`},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := Convert(Input{ACL: &Source{"acl", []byte(tc.acl)}, Broker: "edge"})
			if err != nil {
				t.Fatal(err)
			}
			mustBeAccepted(t, out)
			set, _ := manifest.Source{Paths: []string{"-"}, Stdin: bytes.NewReader(out.Join())}.Load()
			var rules []string
			for _, a := range set.ACLs {
				for _, r := range a.Spec.Rules {
					rules = append(rules, fmt.Sprint(r.Effect, " ", r.Topics))
				}
			}
			if !slices.Equal(rules, tc.rules) {
				t.Errorf("rules %q, want %q", rules, tc.rules)
			}
			if notes := strings.Join(out.Notes, "\n"); !strings.Contains(notes, tc.note) {
				t.Errorf("notes %s, want %q", notes, tc.note)
			}
		})
	}
}

func TestValuesOfUnknownSettingsAreNotRepeated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mosquitto.conf")
	settings := "auth_opt_pg_password hunter2\nbridge_psk hunter2\npassword hunter2\nremote_password hunter2\n" +
		"auth_opt_x=hunter2\nauth_opt_y\thunter2\n"
	if err := os.WriteFile(path, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := Convert(Input{Config: c, Broker: "edge"})
	if err != nil {
		t.Fatal(err)
	}
	said := string(out.Join()) + strings.Join(out.Notes, "\n")
	if strings.Contains(said, "hunter2") {
		t.Errorf("a value is repeated: %s", said)
	}
	for _, key := range []string{"auth_opt_pg_password", "bridge_psk", "password", "auth_opt_x", "auth_opt_y"} {
		if !strings.Contains(said, " "+key+": there is nothing like it") {
			t.Errorf("nothing is said of %s: %s", key, said)
		}
	}
}

func TestACLFileIsRefusedAsMosquittoRefusesIt(t *testing.T) {
	for name, tc := range map[string]struct{ line, err string }{
		"a comment":                     {"# topic", ""},
		"an empty line":                 {"  ", ""},
		"a comment that is indented":    {" # topic", `acl:1: "#" is not known`},
		"no access":                     {"topic a", ""},
		"a topic called read":           {"topic read", ""},
		"spaces before and after":       {"  topic  read   a  ", ""},
		"a topic with a space":          {"topic read a b", ""},
		"a space and no access":         {"topic a b", `acl:1: "a" is no access`},
		"no topic":                      {"topic", "acl:1: "},
		"a bad wildcard":                {"topic read a+/b", "acl:1: "},
		"tabs are no spaces":            {"topic\tread\ta", `is not known`},
		"upper case":                    {"Topic read a", `acl:1: "Topic" is not known`},
		"a user without a name":         {"user", "acl:1: user: the name is missing"},
		"a pattern without placeholder": {"pattern read abc", ""},
		"a pattern that denies":         {"pattern deny a/%u", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseACL(&Source{"acl", []byte(tc.line + "\n")})
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error = %v, want %q", err, tc.err)
			}
		})
	}
}

func TestReadConfig(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"main.conf": "port 1884\ninclude_dir conf.d\nallow_anonymous true\n", "conf.d/b.conf": "acl_file b\n",
		"conf.d/a.conf": "acl_file a\npassword_file a\n", "conf.d/c.txt": "acl_file c\n",
		"each.conf": "# x\nper_listener_settings true\n", "gone.conf": "include_dir nowhere\n",
		"loop.conf": "include_dir loop.d\n", "loop.d/x.conf": "include_dir loop.d\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := ReadConfig("main.conf")
	if err != nil {
		t.Fatal(err)
	}
	if c.ACLFile() != "b" || c.PasswdFile() != "a" || !c.allowsAnonymous() {
		t.Errorf("%+v", c)
	}
	for file, want := range map[string]string{
		"each.conf": "each.conf:2: per_listener_settings", "gone.conf": "gone.conf:1: ", "loop.conf": "nested too deep", "no.conf": "no.conf",
	} {
		if _, err := ReadConfig(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error = %v, want one that says %q", file, err, want)
		}
	}
}

func TestNamesOfObjectsDiffer(t *testing.T) {
	n := names{}
	for _, tc := range []struct{ username, want string }{
		{"sensor", "sensor"}, {"Gate_Way", "gate-way"}, {"gate-way", "gate-way-2"}, {"gate_way", "gate-way-3"},
		{"a@b.example", "a-b.example"}, {"x..y_.", "x.y"}, {"Gate_Way", "gate-way"},
		{strings.Repeat("x", 128), strings.Repeat("x", 128)},
	} {
		if got := n.of(tc.username); got != tc.want {
			t.Errorf("%s is named %s, want %s", tc.username, got, tc.want)
		}
	}
}

func FuzzConvert(f *testing.F) {
	f.Add("a:$7$101$x$y\n", "topic read a\nuser a\ntopic deny b\npattern %u/x-%u/%c\n")
	f.Fuzz(func(t *testing.T, passwd, acl string) {
		out, err := Convert(Input{Passwd: &Source{"passwd", []byte(passwd)}, ACL: &Source{"acl", []byte(acl)}, Broker: "edge"})
		if err == nil {
			mustBeAccepted(t, out)
		}
	})
}
