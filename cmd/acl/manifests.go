package acl

import (
	"github.com/godwit-mqtt/godwit/cmd/dev/manifest"
)

// FromManifests reads the objects of one Broker, "name" or "namespace/name",
// from files. An empty name is the only Broker that they hold.
func FromManifests(source manifest.Source, broker string) (Objects, error) {
	set, err := source.Load()
	if err != nil {
		return Objects{}, err
	}
	b, err := set.Broker(broker)
	if err != nil {
		return Objects{}, err
	}
	return Objects{Broker: b, Users: set.Users, ACLs: set.ACLs, Namespaces: set.Namespaces, Notes: set.Strays()}, nil
}
