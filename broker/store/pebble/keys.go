package pebble

import "encoding/binary"

// The first byte of a key, and within a session the byte after its name.
const (
	prefixMessage  = 'm'
	prefixSession  = 's'
	prefixRetained = 't'

	partRecord   = 0
	partReceived = 1
	partDelivery = 2
)

var keyVersion = []byte("\x00version")

func messageKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixMessage}, id)
}

func sessionKey(clientID string, part byte) []byte {
	k := make([]byte, 0, len(clientID)+11)
	k = append(k, prefixSession)
	k = append(k, clientID...)
	return append(k, 0, part)
}

// sessionEnd is behind all keys of the session.
func sessionEnd(clientID string) []byte { return sessionKey(clientID, 0xff) }

func receivedKey(clientID string, id uint16) []byte {
	return binary.BigEndian.AppendUint16(sessionKey(clientID, partReceived), id)
}

func deliveryKey(clientID string, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(sessionKey(clientID, partDelivery), seq)
}

func retainedKey(topic string) []byte { return append([]byte{prefixRetained}, topic...) }
