package conformance

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

//mqtt:5.0 3.3.4-9 3.3.4-10 4.9.0-1 4.9.0-2 4.9.0-3
func TestReceiveMaximumOfTheClient(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub := b.Connect(t, v5, "pub")
	for _, most := range []uint16{1, 3} {
		c := b.Connect(t, v5, "c", receiveMaximum(most))
		c.Subscribe("t", qos2)
		for i := range int(most) + 3 {
			pub.Publish("t", fmt.Sprint(i), qos2)
		}
		var inFlight []*packet.Publish
		for i := range int(most) {
			inFlight = append(inFlight, c.ExpectPublish("t", fmt.Sprint(i)))
		}
		// The quota is used up, and everything else is answered.
		c.ExpectSilence()
		c.Subscribe("u", qos0)
		c.Publish("elsewhere", "m", qos2)
		c.Unsubscribe("u")

		// PUBREC alone makes no room.
		c.Send(ack(packet.TypePubrec, inFlight[0].ID))
		c.ExpectAck(packet.TypePubrel, inFlight[0].ID)
		c.ExpectSilence()
		c.Send(ack(packet.TypePubcomp, inFlight[0].ID))
		next := c.ExpectPublish("t", fmt.Sprint(most))
		c.ExpectSilence()
		// A refusal does.
		c.Send(refusal(packet.TypePubrec, next.ID, packet.ReasonUnspecifiedError))
		c.ExpectPublish("t", fmt.Sprint(most+1))
		c.ExpectSilence()
		drop(c)
		b.Connect(t, v5, "c").Disconnect()
	}
}

// TestReceiveMaximumOfTheNextConnection: what is sent again counts too, and
// PUBREL does not wait for room.
//
//mqtt:5.0 3.3.4-9 3.3.4-10 4.9.0-2 4.9.0-3
func TestReceiveMaximumOfTheNextConnection(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub := b.Connect(t, v5, "pub")
	c := b.Connect(t, v5, "c", brokertest.Persistent)
	c.Subscribe("t", qos2)
	var sent []*packet.Publish
	for i := range 4 {
		pub.Publish("t", fmt.Sprint(i), qos2)
		sent = append(sent, c.ExpectPublish("t", fmt.Sprint(i)))
	}
	c.Send(ack(packet.TypePubrec, sent[3].ID))
	c.ExpectAck(packet.TypePubrel, sent[3].ID)
	drop(c)

	c = b.Connect(t, v5, "c", brokertest.Persistent, receiveMaximum(1))
	c.ExpectAck(packet.TypePubrel, sent[3].ID)
	c.Send(ack(packet.TypePubcomp, sent[3].ID))
	for _, p := range sent[:3] {
		p.Dup = true
		c.Expect(p)
		c.ExpectSilence()
		c.Acknowledge(p)
	}
	c.ExpectSilence()
}

//mqtt:5.0 3.3.4-7 4.13.1-1 3.14.2-1
func TestReceiveMaximumOfTheServer(t *testing.T) {
	t.Parallel()
	const most = 3
	b := limits(t, func(m *config.MQTT) { m.ReceiveMaximum = most })
	c := b.Dial(t, v5)
	if ack := c.Connect("c"); ack.Properties.ReceiveMaximum != most {
		t.Errorf("receive maximum %d", ack.Properties.ReceiveMaximum)
	}
	for id := range uint16(most) {
		c.Send(message(qos2, id+1, "t", "m"))
		brokertest.Expect[*packet.Ack](c)
	}
	c.Send(ack(packet.TypePubrel, 1)) // makes room for one
	c.ExpectAck(packet.TypePubcomp, 1)
	c.Send(message(qos2, 7, "t", "m"))
	brokertest.Expect[*packet.Ack](c)
	c.Send(message(qos2, 8, "t", "m"))
	c.ExpectDisconnect(packet.ReasonReceiveMaximumExceeded)
}

//mqtt:5.0 3.1.2-24 3.1.2-25
func TestMessageThatIsTooLargeCountsAsDelivered(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub := b.Connect(t, v5, "pub")
	pub.Publish("t", strings.Repeat("x", 100), qos1, brokertest.Retained)
	for q := range qos2 + 1 {
		c := b.Connect(t, v5, "c", brokertest.Persistent, maximumPacketSize(60), receiveMaximum(2))
		c.Subscribe("t", q) // the retained message is too large
		for range 5 {       // more than may be in flight
			pub.Publish("t", strings.Repeat("x", 100), qos2)
		}
		fits := message(q, 0, "t", "")
		fits.Payload = []byte(strings.Repeat("x", 60-fits.Size(v5)))
		pub.Publish("t", string(fits.Payload), qos2)
		c.Acknowledge(c.ExpectPublish("t", string(fits.Payload)))
		c.Disconnect()
		pub.Publish("t", strings.Repeat("x", 100), qos2) // waits
		pub.Publish("t", "small", qos2)
		c = b.Connect(t, v5, "c", brokertest.Persistent, maximumPacketSize(60))
		if q > qos0 {
			c.Acknowledge(c.ExpectPublish("t", "small"))
		}
		c.ExpectSilence()
		drop(c)
		b.Connect(t, v5, "c").Disconnect()
	}
	dropped := b.Metrics.Total(metrics.DroppedTooLarge)
	if want := uint64(3*6 + 2); dropped != want {
		t.Errorf("%d messages counted as too large, want %d", dropped, want)
	}
}

// TestPacketsKeepToTheClientsMaximumSize lets all kinds of packets come, with
// failures that could be explained at length.
//
//mqtt:5.0 3.1.2-24 3.1.2-29 3.2.2-19 3.2.2-20 3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3
//mqtt:5.0 3.9.2-1 3.9.2-2 3.11.2-1 3.11.2-2 3.14.2-2 3.14.2-3 3.14.2-4
func TestPacketsKeepToTheClientsMaximumSize(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, func(c *config.Config) {
		c.Access.Policies = []config.Policy{{Anonymous: true, Rules: []config.Rule{{
			Effect: config.Deny, Actions: []config.Action{config.ActionAll}, Topics: []string{"secret/#"},
		}}}}
	})
	const most = 21 // no more than CONNACK takes
	small := b.Connect(t, v5, "c", maximumPacketSize(most))
	quiet := b.Connect(t, v5, "d", func(p *packet.Connect) { p.Properties.Set(packet.PropRequestProblemInfo) })
	for _, c := range []*brokertest.Client{small, quiet} {
		c.Send(
			message(qos1, 1, "secret/t", "m"), message(qos2, 2, "secret/t", "m"),
			ack(packet.TypePubrec, 9), ack(packet.TypePubrel, 9),
			subscribe(3, "secret/t", "t"), unsubscribe(4, "nothing"),
		)
		c.Expect(
			refusal(packet.TypePuback, 1, packet.ReasonNotAuthorized),
			refusal(packet.TypePubrec, 2, packet.ReasonNotAuthorized),
			refusal(packet.TypePubrel, 9, packet.ReasonPacketIdentifierNotFound),
			refusal(packet.TypePubcomp, 9, packet.ReasonPacketIdentifierNotFound),
			&packet.Suback{ID: 3, Reasons: []packet.ReasonCode{packet.ReasonNotAuthorized, packet.ReasonGrantedQoS2}},
			&packet.Unsuback{ID: 4, Reasons: []packet.ReasonCode{packet.ReasonNoSubscriptionExisted}},
		)
		c.Send(message(qos0, 0, "#", "m"))
	}
	bye := brokertest.Expect[*packet.Disconnect](small)
	if bye.Size(v5) > most || bye.Reason != packet.ReasonTopicNameInvalid {
		t.Errorf("DISCONNECT with %v and %d bytes for a client that takes %d", bye.Reason, bye.Size(v5), most)
	}
	if bye = brokertest.Expect[*packet.Disconnect](quiet); bye.Properties.Has(packet.PropReasonString) {
		t.Error("a reason string, which the client did not want")
	}
	// The test can fail: a client without such limits is told.
	open := b.Connect(t, v5, "e")
	open.Send(message(qos0, 0, "#", "m"))
	bye = brokertest.Expect[*packet.Disconnect](open)
	if !bye.Properties.Has(packet.PropReasonString) || bye.Size(v5) <= most {
		t.Errorf("DISCONNECT with the reason string %q", bye.Properties.ReasonString)
	}
	if bye.Properties.Has(packet.PropSessionExpiry) {
		t.Error("DISCONNECT of the server has a session expiry interval")
	}
}

// TestAnswerThatIsTooLargeEndsTheConnection: a client that takes less than the
// answer to its request cannot be served.
//
//mqtt:5.0 3.1.2-24
func TestAnswerThatIsTooLargeEndsTheConnection(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Dial(t, v5)
	c.Send(brokertest.NewConnect("c", maximumPacketSize(18)))
	c.ExpectClosed()

	many := make([]string, 30)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for _, request := range []brokertest.Packet{subscribe(1, many...), unsubscribe(1, many...)} {
		c = b.Connect(t, v5, "c", maximumPacketSize(30))
		c.Send(request)
		bye := brokertest.Expect[*packet.Disconnect](c)
		if bye.Reason != packet.ReasonPacketTooLarge || bye.Size(v5) > 30 {
			t.Errorf("DISCONNECT with %v and %d bytes", bye.Reason, bye.Size(v5))
		}
		c.ExpectClosed()
	}
}

// faulty is a store in which nothing can be made durable while it is full.
type faulty struct {
	store.Store
	full atomic.Bool
}

func (s *faulty) Commit(b *store.Batch, done func(error)) {
	switch {
	case !s.full.Load():
		s.Store.Commit(b, done)
	case done != nil:
		done(errors.New("no space left"))
	}
}

//mqtt:3.1.1 4.8.0-2 3.1.2-8
//mqtt:5.0 3.4.2-1 3.5.2-1 3.14.2-1
func TestTransientErrorIsNoSuccess(t *testing.T) {
	t.Parallel()
	for _, v := range everyVersion {
		t.Run(v.String(), func(t *testing.T) {
			st := &faulty{Store: memory.New()}
			b := brokertest.Open(t, brokertest.Options{Store: st})
			observer, durable := b.Connect(t, v, "observer"), b.Connect(t, v, "durable", brokertest.Persistent)
			observer.Subscribe("will", qos0)
			st.full.Store(true)
			for q, answer := range map[packet.QoS]packet.Type{qos1: packet.TypePuback, qos2: packet.TypePubrec} {
				c := b.Connect(t, v, "c")
				c.Send(message(q, 7, "t", "m", brokertest.Retained))
				if v == v5 {
					c.Expect(refusal(answer, 7, packet.ReasonQuotaExceeded))
				} else {
					c.ExpectClosed()
				}
			}
			durable.Send(subscribe(1, "t"))
			durable.ExpectDisconnect(packet.ReasonQuotaExceeded)
			c := b.Dial(t, v)
			c.Send(brokertest.NewConnect("refused", brokertest.Persistent, brokertest.Will("will", "of nobody")))
			c.ExpectRefused(packet.ReasonServerUnavailable)
			observer.ExpectSilence()
		})
	}
}

//mqtt:5.0 3.14.0-1 3.14.2-1 3.14.4-1 3.14.4-2
func TestServerSaysGoodBye(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	silent := b.Dial(t, v5) // has not connected, and is told nothing
	c, old := b.Connect(t, v5, "c"), b.Connect(t, v311, "old")
	done := make(chan struct{})
	go func() { b.Stop(); close(done) }()
	c.ExpectDisconnect(packet.ReasonServerShuttingDown)
	old.ExpectClosed()
	silent.ExpectClosed()
	for _, conn := range []*brokertest.Client{c, old, silent} {
		drop(conn)
	}
	<-done
}
