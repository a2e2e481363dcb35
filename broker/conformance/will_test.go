package conformance

import (
	"fmt"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// willDelay sets a will delay interval in seconds.
func willDelay(seconds uint32) func(*packet.Will) {
	return func(w *packet.Will) {
		w.Properties.WillDelay = seconds
		w.Properties.Set(packet.PropWillDelay)
	}
}

//mqtt:3.1.1 3.1.2-8 3.1.2-10
//mqtt:5.0 3.1.2-7 3.1.2-8 3.1.2-10
func TestWillIsPublishedOnce(t *testing.T) {
	ends := map[string]func(*brokertest.Client){
		"the connection breaks":         drop,
		"the client breaks the rules":   func(c *brokertest.Client) { c.Send(message(qos1, 0, "t", "m")) },
		"another connection takes over": nil,
	}
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		observer := b.Connect(t, v, "observer")
		observer.Subscribe("will", qos2)
		for name, end := range ends {
			for _, q := range []packet.QoS{qos0, qos1, qos2} {
				t.Run(fmt.Sprintf("%s, QoS %d", name, q), func(t *testing.T) {
					c := b.Connect(t, v, "c", brokertest.Persistent,
						brokertest.Will("will", "gone", func(w *packet.Will) { w.QoS = q }))
					if end != nil {
						end(c)
					} else {
						b.Connect(t, v, "c", brokertest.Persistent).Disconnect()
					}
					observer.Acknowledge(expectDelivery(t, observer, "will", "gone", q))
					drop(b.Connect(t, v, "c", brokertest.Persistent))
					b.Connect(t, v, "c", brokertest.Persistent).Disconnect() // the drop was seen
					observer.ExpectSilence()
				})
			}
		}
	})
}

//mqtt:3.1.1 3.1.2-10 3.14.4-3 3.14.4-1 3.14.4-2
//mqtt:5.0 3.1.2-8 3.1.2-10 3.14.4-3
func TestDisconnectDeletesTheWill(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		observer := b.Connect(t, v, "observer")
		observer.Subscribe("#", qos0)
		c := b.Connect(t, v, "c", brokertest.Persistent, brokertest.Will("will", "not gone"))
		c.Send(&packet.Disconnect{}, brokertest.NewPublish("t", "behind the good-bye"))
		c.ExpectClosed()
		drop(b.Connect(t, v, "c", brokertest.Persistent))
		b.Connect(t, v, "c", brokertest.Persistent).Disconnect()
		observer.ExpectSilence()
	})
}

// TestOnlyANormalDisconnectDeletesTheWill: any other reason code leaves it.
//
//mqtt:5.0 3.1.2-8 3.1.2-10
func TestOnlyANormalDisconnectDeletesTheWill(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	observer := b.Connect(t, v5, "observer")
	observer.Subscribe("will", qos0)
	for _, reason := range []packet.ReasonCode{
		packet.ReasonDisconnectWithWill, packet.ReasonUnspecifiedError,
		packet.ReasonMalformedPacket, packet.ReasonQuotaExceeded,
	} {
		c := b.Connect(t, v5, "c", brokertest.Will("will", reason.String()))
		c.Send(&packet.Disconnect{Reason: reason})
		c.ExpectClosed()
		observer.ExpectPublish("will", reason.String())
	}
}

//mqtt:3.1.1 3.1.2-12
func TestWithoutWillNothingIsPublished(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		observer := b.Connect(t, v, "observer")
		observer.Subscribe("#", qos0)
		drop(b.Connect(t, v, "c", brokertest.Persistent, brokertest.Will("will", "of the first connection")))
		observer.ExpectPublish("will", "of the first connection")
		drop(b.Connect(t, v, "c", brokertest.Persistent))
		b.Connect(t, v, "c", brokertest.Persistent).Disconnect()
		observer.ExpectSilence()
	})
}

//mqtt:3.1.1 3.1.2-16 3.1.2-17
//mqtt:5.0 3.1.2-14 3.1.2-15
func TestWillRetain(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for topic, retain := range map[string]bool{"retained": true, "fleeting": false} {
			observer := b.Connect(t, v, "observer")
			observer.Subscribe(topic, qos0)
			drop(b.Connect(t, v, "c", brokertest.Will(topic, "gone", func(w *packet.Will) { w.Retain = retain })))
			observer.ExpectPublish(topic, "gone")

			late := b.Connect(t, v, "late")
			late.Subscribe(topic, qos0)
			if retain && !late.ExpectPublish(topic, "gone").Retain {
				t.Error("the will of a new subscription is not marked as retained")
			}
			late.ExpectSilence()
		}
	})
}

// TestWillDelay: the will of a client that came back in time, and has left again
// without one, would have been due before that of one that did not.
//
//mqtt:5.0 3.1.2-8 3.1.3-9
func TestWillDelay(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	observer := b.Connect(t, v5, "observer")
	observer.Subscribe("will/+", qos0)
	back := brokertest.Will("will/back", "not to be sent", willDelay(2))
	away := brokertest.Will("will/away", "due", willDelay(3))
	drop(b.Connect(t, v5, "back", brokertest.Persistent, back))
	drop(b.Connect(t, v5, "back", brokertest.Persistent))
	drop(b.Connect(t, v5, "away", brokertest.Persistent, away))
	observer.ExpectSilence()
	observer.ExpectPublish("will/away", "due")
	observer.ExpectSilence()
}

// TestWillDelayEndsWithTheSession: a clean start ends a session, and so does its
// expiry.
//
//mqtt:5.0 3.1.2-8 3.1.3-9
func TestWillDelayEndsWithTheSession(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	observer := b.Connect(t, v5, "observer")
	observer.Subscribe("will", qos0)
	will := brokertest.Will("will", "gone", willDelay(1000))
	for name, end := range map[string]func(){
		"no expiry":    func() { drop(b.Connect(t, v5, "c", will)) },
		"short expiry": func() { drop(b.Connect(t, v5, "c", expiry(1), will)) },
		"clean start": func() {
			drop(b.Connect(t, v5, "c", brokertest.Persistent, will))
			b.Connect(t, v5, "c").Disconnect()
		},
		"clean start beside the connection": func() {
			b.Connect(t, v5, "c", brokertest.Persistent, will)
			b.Connect(t, v5, "c").Disconnect()
		},
	} {
		t.Run(name, func(t *testing.T) {
			end()
			observer.ExpectPublish("will", "gone")
			observer.ExpectSilence()
		})
	}
}

//mqtt:5.0 3.1.3-10 3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20
func TestWillKeepsItsProperties(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	observer := b.Connect(t, v5, "observer")
	observer.Subscribe("will", qos0)
	properties := everyProperty()
	drop(b.Connect(t, v5, "c", brokertest.Will("will", "gone", func(w *packet.Will) { w.Properties = properties })))
	observer.Expect(message(qos0, 0, "will", "gone", func(p *packet.Publish) { p.Properties = properties }))
}

// everyProperty holds each property that a message takes along to its
// subscribers, and user properties whose order shows.
func everyProperty() packet.Properties {
	p := packet.Properties{
		PayloadFormat: 1, ContentType: []byte("text/plain"),
		ResponseTopic: []byte("answer/to"), CorrelationData: []byte{0, 1, 0xff},
	}
	for _, id := range []packet.PropertyID{
		packet.PropPayloadFormat, packet.PropContentType, packet.PropResponseTopic, packet.PropCorrelationData,
	} {
		p.Set(id)
	}
	for _, kv := range []string{"b1", "a1", "b1", "a2", "b0"} {
		p.AddUserProperty([]byte(kv[:1]), []byte(kv[1:]))
	}
	return p
}
