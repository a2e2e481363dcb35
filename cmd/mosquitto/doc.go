// Package mosquitto turns the files of a Mosquitto broker into manifests: its
// password file into MQTTUsers and Secrets, its ACL file into TopicACLs, its
// mosquitto.conf into a Broker.
//
// The files are read as Mosquitto 2.0 reads them. What cannot be expressed never
// widens access: what allows is left out, and what denies denies more. Either is said
// in a comment of the manifest and as a note.
package mosquitto

import (
	"bytes"
	"fmt"
)

// Source is a file of Mosquitto.
type Source struct {
	Name    string // as messages call it
	Content []byte
}

// Input is what is to be converted.
type Input struct {
	Passwd, ACL *Source // nil where there is none
	Config      *Config // nil where there is none
	// Broker is the name of the Broker that users and ACLs are for.
	Broker string
	// Namespace of all objects; empty leaves it to kubectl.
	Namespace string
}

// Output are manifests.
type Output struct {
	Files []File
	// Notes say what was left out or is different, and what to do about it. They
	// stand in the manifests as well.
	Notes []string
}

// File is one file of manifests.
type File struct {
	Name    string
	Content []byte
}

// Convert makes manifests of the files. An error is one that Mosquitto would have
// with them.
func Convert(in Input) (*Output, error) {
	c := &converter{Input: in, names: names{}}
	if err := c.read(); err != nil {
		return nil, err
	}
	out := &Output{}
	for _, f := range []struct {
		name string
		docs []*document
	}{
		{"broker.yaml", c.broker()},
		{"users.yaml", c.users()},
		{"acls.yaml", c.acls()},
	} {
		if len(f.docs) == 0 {
			continue
		}
		content, err := encode(f.docs)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", f.name, err)
		}
		out.Files = append(out.Files, File{f.name, content})
		for _, d := range f.docs {
			out.Notes = append(out.Notes, d.notes...)
		}
	}
	return out, nil
}

// Join returns the files as one stream of documents.
func (o *Output) Join() []byte {
	var parts [][]byte
	for _, f := range o.Files {
		parts = append(parts, f.Content)
	}
	return bytes.Join(parts, []byte("---\n"))
}

// converter holds what the files say and the names that are given.
type converter struct {
	Input
	names       names
	credentials []credential
	rules       *aclFile // nil without an ACL file
	undeniable  int      // line of a denial of the ACL file, see aclFile.undeniable
}

func (c *converter) read() (err error) {
	if c.Passwd != nil {
		c.credentials = parsePasswd(c.Passwd)
	}
	if c.ACL == nil {
		return nil
	}
	if c.rules, err = parseACL(c.ACL); err != nil {
		return err
	}
	c.undeniable = c.rules.undeniable()
	return nil
}

// usernames are those of both files, in their order, each once.
func (c *converter) usernames() []string {
	var all []string
	seen := map[string]bool{}
	add := func(username string) {
		if !seen[username] {
			seen[username] = true
			all = append(all, username)
		}
	}
	for _, cred := range c.credentials {
		add(cred.username)
	}
	if c.rules != nil {
		for _, s := range c.rules.users {
			add(s.username)
		}
	}
	return all
}

// admitsAnonymous says that clients without credentials may come, as far as is
// known.
func (c *converter) admitsAnonymous() bool { return c.Config == nil || c.Config.allowsAnonymous() }

// namesByCertificate says that the names of clients come from their certificates.
func (c *converter) namesByCertificate() bool {
	return c.Config != nil && c.Config.namesByCertificate()
}
