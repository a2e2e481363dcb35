package packet

import "testing"

// sinkBytes takes the results of benchmarks, so that no work is optimised away.
var sinkBytes []byte

func BenchmarkParseHeader(b *testing.B) {
	for name, in := range map[string][]byte{
		"1-byte length": {0x30, 0x10, 0},
		"2-byte length": {0x30, 0x90, 0x10, 0},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, n, _ := ParseHeader(in); n == 0 {
					b.Fatal("header is not parsed")
				}
			}
		})
	}
}

func BenchmarkPublishDecode(b *testing.B) {
	for _, c := range publishCases() {
		b.Run(c.name, func(b *testing.B) {
			frame := c.packet.Append(nil, c.version)
			var p Publish
			b.ReportAllocs()
			for b.Loop() {
				h, n, err := ParseHeader(frame)
				if err != nil {
					b.Fatal(err)
				}
				if err := p.Decode(c.version, h.Flags, frame[n:n+h.Length]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPublishAppend(b *testing.B) {
	for _, c := range publishCases() {
		b.Run(c.name, func(b *testing.B) {
			dst := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				sinkBytes = c.packet.Append(dst, c.version)
			}
		})
	}
}

func BenchmarkAckDecode(b *testing.B) {
	body := []byte{0x12, 0x34}
	var p Ack
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Decode(V5, TypePuback, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendAck(b *testing.B) {
	dst := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		sinkBytes = AppendAck(dst, TypePuback, 0x1234)
	}
}

// publishCases are messages of 64 bytes, as brokers see them most.
func publishCases() []struct {
	name    string
	version Version
	packet  Publish
} {
	payload := make([]byte, 64)
	topic := []byte("sensors/hall-3/temperature")
	rich := Publish{QoS: 1, ID: 7, Topic: topic, Payload: payload}
	rich.Properties.MessageExpiry = 60
	rich.Properties.Set(PropMessageExpiry)
	rich.Properties.ContentType = []byte("application/json")
	rich.Properties.Set(PropContentType)
	rich.Properties.AddUserProperty([]byte("trace"), []byte("4bf92f3577b34da6"))
	return []struct {
		name    string
		version Version
		packet  Publish
	}{
		{"v3.1.1 QoS 0", V311, Publish{Topic: topic, Payload: payload}},
		{"v3.1.1 QoS 1", V311, Publish{QoS: 1, ID: 7, Topic: topic, Payload: payload}},
		{"v5 QoS 1", V5, Publish{QoS: 1, ID: 7, Topic: topic, Payload: payload}},
		{"v5 QoS 1 three properties", V5, rich},
	}
}
