// Package pebble is the store.Store that survives the process and the machine:
// a log-structured key-value store on disk.
//
// Commits that come while an earlier one is being synced go to disk together,
// with one sync. The keys:
//
//	0x00 "last"                  number of the last group of commits
//	0x00 "numbers"               NextID has returned nothing from here on
//	0x00 "version"               format of the store
//	'b' message                  a message that several deliveries share, or a large one
//	'd' session 0x01 packet id   a QoS 2 identifier that was not released
//	'd' session 0x02 seq         the exchange of a delivery of QoS 2
//	'd' session 0x03 seq         a delivery: the message itself, or its number
//	'd' session 0x04 filter      a subscription
//	'e' topic                    a retained message
//	'f' session                  a session
//
// Numbers are big endian, so that keys sort by them: the numbers of messages,
// sessions and deliveries have 8 bytes, packet identifiers 2.
//
// A message with a key of its own goes with the last delivery that refers to it.
// How many do is counted in memory, one number for each such message.
//
// Beside the database a file says up to which group all is durable, as of a
// second ago: what is behind that in a log may be torn, and what is before it
// must be there; see mark.go.
//
// The formats of earlier releases are converted when they are opened; see
// format1.go and format2.go.
package pebble
