// Package pebble is the store.Store that survives the process and the machine:
// a log-structured key-value store on disk.
//
// Commits that come while an earlier one is being synced go to disk together,
// with one sync. The keys:
//
//	0x00 "version"                     format of the store
//	'm' message id                     a message that several sessions wait for
//	's' client id 0x00 0x00            a session
//	's' client id 0x00 0x01 packet id  a QoS 2 identifier that was not released
//	's' client id 0x00 0x02 sequence   a delivery: the message itself, or its id
//	't' topic                          a retained message
//
// Numbers are big endian, so that keys sort by them. Client identifiers and
// topics hold no zero byte [MQTT-1.5.4-2].
package pebble
