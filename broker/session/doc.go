// Package session is the session state machine of MQTT: packet identifiers,
// the inflight window of each direction, the queue of messages that wait, and
// subscriptions. It is pure: no I/O, no locks, no clock. Time is an argument,
// and whoever owns a Session serialises the calls to it.
//
// A message that a connected client's window has room for passes through as a
// packet identifier alone; its body is kept only where the session outlives the
// connection and would have to send it again [MQTT-4.4.0-1].
package session
