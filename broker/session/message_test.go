package session

import (
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

var now = time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)

func TestMessageSharesNothingWithItsPacket(t *testing.T) {
	buf := []byte("topicpayloadtext/plain")
	p := &packet.Publish{Topic: buf[:5], Payload: buf[5:12], QoS: packet.QoS1, Retain: true}
	p.Properties.ContentType = buf[12:]
	p.Properties.Set(packet.PropContentType)
	m := NewMessage(p, now)
	for i := range buf {
		buf[i] = 'x'
	}
	if m.Topic != "topic" || string(m.Payload) != "payload" || string(m.Properties.ContentType) != "text/plain" {
		t.Errorf("%+v", m)
	}
	if m.QoS != packet.QoS1 || !m.Retain || m.Expired(now.Add(1000*time.Hour)) {
		t.Errorf("%+v", m)
	}
}

func TestMessageDropsWhatIsNotForwarded(t *testing.T) {
	p := &packet.Publish{Topic: []byte("a")}
	p.Properties.TopicAlias = 3
	p.Properties.Set(packet.PropTopicAlias)
	p.Properties.AddSubscriptionID(7)
	p.Properties.AddUserProperty([]byte("k"), []byte("v"))
	m := NewMessage(p, now)
	if m.Properties.Has(packet.PropTopicAlias) || m.Properties.Has(packet.PropSubscriptionID) || !m.Properties.Has(packet.PropUser) {
		t.Errorf("properties %+v", m.Properties)
	}
}

func TestMessageExpiryCountsDown(t *testing.T) { // [MQTT-3.3.2-5], [MQTT-3.3.2-6]
	p := &packet.Publish{Topic: []byte("a")}
	p.Properties.MessageExpiry = 10
	p.Properties.Set(packet.PropMessageExpiry)
	m := NewMessage(p, now)
	for _, tc := range []struct {
		after   time.Duration
		left    uint32
		expired bool
	}{
		{0, 10, false}, {4 * time.Second, 6, false}, {9500 * time.Millisecond, 0, false},
		{10 * time.Second, 0, true}, {time.Hour, 0, true},
	} {
		var out packet.Publish
		m.Fill(&out, now.Add(tc.after))
		if out.Properties.MessageExpiry != tc.left || !out.Properties.Has(packet.PropMessageExpiry) {
			t.Errorf("after %v: %d s left, want %d", tc.after, out.Properties.MessageExpiry, tc.left)
		}
		if m.Expired(now.Add(tc.after)) != tc.expired {
			t.Errorf("after %v: expired is %t", tc.after, !tc.expired)
		}
	}
}
