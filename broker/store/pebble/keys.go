package pebble

import "encoding/binary"

// The first byte of a key, and within what is kept of a session the byte after
// its number.
const (
	prefixMessage  = 'b'
	prefixPart     = 'd'
	prefixRetained = 'e'
	prefixSession  = 'f'

	partReceived     = 1
	partSent         = 2
	partDelivery     = 3
	partSubscription = 4
)

var (
	keyLast    = []byte("\x00last")
	keyNumbers = []byte("\x00numbers")
	keyVersion = []byte("\x00version")
)

func messageKey(dst []byte, id uint64) []byte { return numberKey(dst, prefixMessage, id) }

func sessionKey(dst []byte, id uint64) []byte { return numberKey(dst, prefixSession, id) }

func numberKey(dst []byte, prefix byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, prefix), n)
}

// partKey is in front of all keys of a part of a session; part 0 is in front of
// all parts, and 0xff behind them.
func partKey(dst []byte, session uint64, part byte) []byte {
	return append(numberKey(dst, prefixPart, session), part)
}

func receivedKey(dst []byte, session uint64, id uint16) []byte {
	return binary.BigEndian.AppendUint16(partKey(dst, session, partReceived), id)
}

func sentKey(dst []byte, session, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(partKey(dst, session, partSent), seq)
}

func deliveryKey(dst []byte, session, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(partKey(dst, session, partDelivery), seq)
}

func subscriptionKey(dst []byte, session uint64, filter string) []byte {
	return append(partKey(dst, session, partSubscription), filter...)
}

func retainedKey(dst []byte, topic string) []byte {
	return append(append(dst, prefixRetained), topic...)
}

// parsePart splits a key of a part of a session.
func parsePart(key []byte) (session uint64, part byte, rest []byte, ok bool) {
	if len(key) < 10 || key[0] != prefixPart {
		return 0, 0, nil, false
	}
	part, rest = key[9], key[10:]
	switch part {
	case partReceived:
		ok = len(rest) == 2
	case partSent, partDelivery:
		ok = len(rest) == 8
	case partSubscription:
		ok = len(rest) > 0
	}
	return binary.BigEndian.Uint64(key[1:]), part, rest, ok
}
