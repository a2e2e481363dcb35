package listener

import (
	"crypto/tls"

	"golang.org/x/crypto/cryptobyte"
)

// ClientHello is what a TLS client said of itself, as far as it matters here:
// crypto/tls tells of extensions that it does not know no more than that they are
// there, and nothing where the handshake fails.
type ClientHello struct {
	// Versions and CipherSuites that the client offers, in its order, without
	// those that only keep servers tolerant (RFC 8701).
	Versions, CipherSuites []uint16

	maxFragment int // of max_fragment_length, in bytes; 0: not asked for
	recordLimit int // of record_size_limit, in bytes; 0: not asked for
}

// Numbers of TLS.
const (
	recordHandshake    = 22
	recordHeader       = 5
	messageClientHello = 1

	extensionMaxFragmentLength = 1  // RFC 6066, section 4
	extensionRecordSizeLimit   = 28 // RFC 8449
	extensionSupportedVersions = 43
)

// MaxRecord is the largest plaintext that TLS has room for in one record, in bytes.
const MaxRecord = 16384

// minRecordLimit is the least that a client may ask for (RFC 8449).
const minRecordLimit = 64

// ParseClientHello reads the message that the records begin with. ok is false
// where that is no ClientHello, or not the whole of one.
func ParseClientHello(records []byte) (hello ClientHello, ok bool) {
	body, ok := clientHello(records)
	if !ok {
		return ClientHello{}, false
	}
	var legacyVersion uint16
	var session, suites, compression, extensions cryptobyte.String
	if !body.ReadUint16(&legacyVersion) || !body.Skip(32) ||
		!body.ReadUint8LengthPrefixed(&session) || !body.ReadUint16LengthPrefixed(&suites) ||
		!body.ReadUint8LengthPrefixed(&compression) {
		return ClientHello{}, false
	}
	if hello.CipherSuites, ok = numbers(suites); !ok {
		return ClientHello{}, false
	}
	if !body.Empty() && (!body.ReadUint16LengthPrefixed(&extensions) || !hello.readExtensions(extensions)) {
		return ClientHello{}, false
	}
	if hello.Versions == nil {
		hello.Versions = []uint16{legacyVersion}
	}
	return hello, true
}

// clientHello returns the body of the message, which may be in several records.
func clientHello(records cryptobyte.String) (body cryptobyte.String, ok bool) {
	var message []byte
	for {
		var kind uint8
		var version uint16
		var fragment cryptobyte.String
		if !records.ReadUint8(&kind) || kind != recordHandshake || !records.ReadUint16(&version) || !records.ReadUint16LengthPrefixed(&fragment) {
			return nil, false
		}
		message = append(message, fragment...)
		var messageType uint8
		s := cryptobyte.String(message)
		if s.ReadUint8(&messageType) && messageType != messageClientHello {
			return nil, false
		}
		if s.ReadUint24LengthPrefixed(&body) {
			return body, true
		}
	}
}

func (h *ClientHello) readExtensions(extensions cryptobyte.String) bool {
	for !extensions.Empty() {
		var number uint16
		var data cryptobyte.String
		if !extensions.ReadUint16(&number) || !extensions.ReadUint16LengthPrefixed(&data) || !h.readExtension(number, data) {
			return false
		}
	}
	return true
}

func (h *ClientHello) readExtension(number uint16, data cryptobyte.String) bool {
	switch number {
	case extensionMaxFragmentLength:
		var code uint8
		if !data.ReadUint8(&code) {
			return false
		}
		if code >= 1 && code <= 4 { // 512, 1024, 2048, 4096
			h.maxFragment = 256 << code
		}
	case extensionRecordSizeLimit:
		var limit uint16
		if !data.ReadUint16(&limit) {
			return false
		}
		if limit >= minRecordLimit {
			h.recordLimit = int(limit)
		}
	case extensionSupportedVersions:
		var list cryptobyte.String
		if !data.ReadUint8LengthPrefixed(&list) {
			return false
		}
		var ok bool
		h.Versions, ok = numbers(list)
		return ok
	}
	return true
}

// MaxRecord is the largest plaintext that the client takes in one record of this
// version of TLS, in bytes; 0 where it has asked for no bound.
func (h *ClientHello) MaxRecord(version uint16) int {
	if h.recordLimit == 0 {
		return h.maxFragment
	}
	limit := h.recordLimit
	if version >= tls.VersionTLS13 {
		limit-- // the type of the content counts
	}
	return limit
}

// numbers reads a list of 16-bit numbers, and leaves out those of RFC 8701.
func numbers(list cryptobyte.String) (all []uint16, ok bool) {
	for !list.Empty() {
		var n uint16
		if !list.ReadUint16(&n) {
			return nil, false
		}
		if n&0x0f0f != 0x0a0a || n>>8 != n&0xff {
			all = append(all, n)
		}
	}
	return all, true
}
