// Package resource builds the objects that a Broker consists of, a file a child,
// and those that hold the credentials of users. Builders are pure: a Broker
// whose defaults are filled in, and what else they need as arguments, to an
// object without owner and without status.
package resource
