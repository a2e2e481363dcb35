// Package render turns a Broker, its MQTTUsers, TopicACLs and their Secrets
// into the configuration that the engine enforces, and says of every object
// whether it is in it and why not.
//
// The package is pure: the same input gives the same bytes, whatever the order
// of its lists, so that Output.Revision changes only when the configuration
// does. What there was no time to hash (Input.Hurry) is the one exception: it
// comes with a later rendering. The operator and `godwit dev` call the same functions; they differ in
// where the files of a listener's TLS are (Paths) and in where the objects come
// from.
//
//	passwords := render.NewPasswords(password.Verify, password.Hash, password.Validate)
//	out, err := render.Render(render.Input{
//		Broker: broker, Users: users, ACLs: acls,
//		Secrets: secrets, Namespaces: labels,
//		Previous: accessFilesOfLastTime,
//		Paths: render.Paths{TLS: "/etc/godwit/tls", ClientCA: "/etc/godwit/client-ca"},
//		Passwords: passwords,
//	})
//	// write out.Settings and out.Access; the engine will answer out.Revision
//
// Default values that the API server would have filled in are filled in here
// as well, so manifests can be rendered as they stand in a file.
package render
