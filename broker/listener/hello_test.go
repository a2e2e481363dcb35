package listener_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"net"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"

	"github.com/godwit-mqtt/godwit/broker/listener"
)

// hello makes the record of a ClientHello with extensions.
func hello(extensions ...func(*cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	b.AddUint8(22)
	b.AddUint16(tls.VersionTLS10)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint8(1)
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
			b.AddUint16(tls.VersionTLS12)
			b.AddBytes(make([]byte, 32))
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(make([]byte, 32)) })
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				b.AddUint16(0x1a1a) // tolerated, and nothing
				b.AddUint16(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
			})
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(0) })
			if len(extensions) > 0 {
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
					for _, e := range extensions {
						e(b)
					}
				})
			}
		})
	})
	return b.BytesOrPanic()
}

func extension(number uint16, data ...byte) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddUint16(number)
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(data) })
	}
}

// inRecordsOf cuts the message of one record into several.
func inRecordsOf(size int, record []byte) (out []byte) {
	for fragment := range slices.Chunk(record[5:], size) {
		out = append(out, 22, 3, 1)
		out = binary.BigEndian.AppendUint16(out, uint16(len(fragment)))
		out = append(out, fragment...)
	}
	return out
}

func TestMaxRecordIsWhatTheClientAsksFor(t *testing.T) {
	for name, tc := range map[string]struct {
		extensions   []func(*cryptobyte.Builder)
		tls12, tls13 int
	}{
		"no extension":                       {nil, 0, 0},
		"others":                             {[]func(*cryptobyte.Builder){extension(23), extension(0xffff, 1, 2, 3)}, 0, 0},
		"max_fragment_length of 512":         {[]func(*cryptobyte.Builder){extension(1, 1)}, 512, 512},
		"max_fragment_length of 4096":        {[]func(*cryptobyte.Builder){extension(23), extension(1, 4)}, 4096, 4096},
		"max_fragment_length that is none":   {[]func(*cryptobyte.Builder){extension(1, 5)}, 0, 0},
		"record_size_limit of 1025":          {[]func(*cryptobyte.Builder){extension(28, 4, 1)}, 1025, 1024},
		"record_size_limit below the least":  {[]func(*cryptobyte.Builder){extension(28, 0, 63)}, 0, 0},
		"record_size_limit before the other": {[]func(*cryptobyte.Builder){extension(1, 1), extension(28, 8, 0)}, 2048, 2047},
	} {
		t.Run(name, func(t *testing.T) {
			record := hello(tc.extensions...)
			for _, records := range [][]byte{record, append(bytes.Clone(record), 22, 3, 1), inRecordsOf(10, record), inRecordsOf(1, record)} {
				h, ok := listener.ParseClientHello(records)
				if !ok {
					t.Fatal("it is not read")
				}
				if got12, got13 := h.MaxRecord(tls.VersionTLS12), h.MaxRecord(tls.VersionTLS13); got12 != tc.tls12 || got13 != tc.tls13 {
					t.Errorf("TLS 1.2: %d, TLS 1.3: %d; want %d, %d", got12, got13, tc.tls12, tc.tls13)
				}
			}
		})
	}
}

func TestAClientHelloTellsVersionsAndCipherSuites(t *testing.T) {
	h, ok := listener.ParseClientHello(hello())
	if !ok || !slices.Equal(h.Versions, []uint16{tls.VersionTLS12}) || !slices.Equal(h.CipherSuites, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}) {
		t.Errorf("%+v, %t", h, ok)
	}
	h, ok = listener.ParseClientHello(hello(extension(43, 6, 0x7a, 0x7a, 3, 4, 3, 3)))
	if !ok || !slices.Equal(h.Versions, []uint16{tls.VersionTLS13, tls.VersionTLS12}) {
		t.Errorf("%+v, %t", h, ok)
	}
}

func TestTheClientHelloOfAClientIsRead(t *testing.T) {
	a, b := net.Pipe()
	go func() {
		_ = tls.Client(b, &tls.Config{ServerName: "localhost", MinVersion: tls.VersionTLS12}).Handshake()
	}()
	records := make([]byte, 4096)
	n, err := a.Read(records)
	_ = a.Close()
	if err != nil {
		t.Fatal(err)
	}
	h, ok := listener.ParseClientHello(records[:n])
	if !ok || !slices.Equal(h.Versions, []uint16{tls.VersionTLS13, tls.VersionTLS12}) || !slices.Contains(h.CipherSuites, tls.TLS_AES_128_GCM_SHA256) || h.MaxRecord(tls.VersionTLS13) != 0 {
		t.Errorf("%+v, %t", h, ok)
	}
}

func TestWhatIsNoClientHelloIsNotRead(t *testing.T) {
	whole := hello(extension(43, 2, 3, 3), extension(1, 1))
	for n := range whole {
		if h, ok := listener.ParseClientHello(whole[:n]); ok {
			t.Errorf("%d of %d bytes are %+v", n, len(whole), h)
		}
	}
	for name, records := range map[string][]byte{
		"MQTT":                    {0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 60, 0, 0},
		"another message":         append([]byte{22, 3, 1, 0, 4, 2, 0, 0, 0}, whole...),
		"a record of no message":  {22, 3, 1, 0, 0},
		"extensions beyond it":    hello(func(b *cryptobyte.Builder) { b.AddUint16(1); b.AddUint16(9) }),
		"an extension without it": hello(extension(1)),
		"half a number":           hello(extension(28, 1)),
		"versions beyond it":      hello(extension(43, 9, 3, 3)),
		"half a version":          hello(extension(43, 3, 3, 3, 3)),
	} {
		if h, ok := listener.ParseClientHello(records); ok {
			t.Errorf("%s is %+v", name, h)
		}
	}
}

func FuzzParseClientHello(f *testing.F) {
	f.Add(hello(extension(43, 2, 3, 3), extension(1, 1)))
	f.Add(inRecordsOf(7, hello(extension(28, 4, 0))))
	f.Fuzz(func(t *testing.T, records []byte) {
		h, ok := listener.ParseClientHello(records)
		if limit := h.MaxRecord(tls.VersionTLS13); !ok && (h.Versions != nil || limit != 0) || limit < 0 || limit > 0 && limit < 63 {
			t.Errorf("%+v, %t", h, ok)
		}
	})
}
