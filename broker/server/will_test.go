package server_test

import (
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

func delay(seconds uint32) func(*packet.Will) {
	return func(w *packet.Will) {
		w.Properties.WillDelay = seconds
		w.Properties.Set(packet.PropWillDelay)
	}
}

func willQoS(q packet.QoS) func(*packet.Will) { return func(w *packet.Will) { w.QoS = q } }
func willRetained(w *packet.Will)             { w.Retain = true }

// watcher subscribes to everything.
func watcher(t *testing.T, b *brokertest.Broker) *brokertest.Client {
	t.Helper()
	c := b.Connect(t, v5, "watcher")
	c.Subscribe("#", qos2)
	return c
}

func TestWillIsPublished(t *testing.T) { // [MQTT-3.1.2-8], [MQTT-3.14.4-3]
	t.Parallel()
	for name, tc := range map[string]struct {
		end  func(*testing.T, *brokertest.Broker, *brokertest.Client)
		will bool
	}{
		"when the connection is lost": {func(_ *testing.T, _ *brokertest.Broker, c *brokertest.Client) { _ = c.Close() }, true},
		"when the client breaks the protocol": {func(_ *testing.T, _ *brokertest.Broker, c *brokertest.Client) {
			c.SendBytes([]byte{0, 0})
		}, true},
		"when the session is taken over": {func(t *testing.T, b *brokertest.Broker, c *brokertest.Client) {
			b.Connect(t, c.Version, "c")
		}, true},
		"when the client asks for it": {func(_ *testing.T, _ *brokertest.Broker, c *brokertest.Client) {
			c.Send(&packet.Disconnect{Reason: packet.ReasonDisconnectWithWill})
		}, true},
		"when the client ends for another reason": {func(_ *testing.T, _ *brokertest.Broker, c *brokertest.Client) {
			c.Send(&packet.Disconnect{Reason: packet.ReasonUnspecifiedError})
		}, true},
		"not after a normal end": {func(_ *testing.T, _ *brokertest.Broker, c *brokertest.Client) {
			c.Disconnect()
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, v := range []packet.Version{v311, v5} {
				if v == v311 && (name == "when the client asks for it" || name == "when the client ends for another reason") {
					continue // there are no reasons
				}
				b := brokertest.Start(t)
				w := watcher(t, b)
				c := b.Connect(t, v, "c", brokertest.Will("will", "gone", willQoS(qos1)))
				tc.end(t, b, c)
				if tc.will {
					if p := w.ExpectPublish("will", "gone"); p.QoS != qos1 || p.Retain {
						t.Errorf("got %+v", p)
					}
				}
				w.ExpectSilence()
			}
		})
	}
}

func TestWillKeepsItsProperties(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	w := watcher(t, b)
	c := b.Connect(t, v5, "c", brokertest.Will("will", "gone", willRetained, func(w *packet.Will) {
		w.Properties.ContentType = []byte("text")
		w.Properties.Set(packet.PropContentType)
		w.Properties.MessageExpiry = 5
		w.Properties.Set(packet.PropMessageExpiry)
		w.Properties.AddUserProperty([]byte("k"), []byte("v"))
	}))
	// The lifetime of the message begins when it is published.
	b.Connect(t, v5, "clock", expiry(1)).Disconnect()
	brokertest.WaitFor(t, "time", func() bool { return b.Sessions() == 2 })
	_ = c.Close()
	p := w.ExpectPublish("will", "gone")
	if string(p.Properties.ContentType) != "text" || p.Properties.MessageExpiry != 5 || len(p.Properties.UserProperties) != 1 {
		t.Errorf("got %+v", p.Properties)
	}
	later := b.Connect(t, v5, "later")
	later.Subscribe("will", qos0)
	if !later.ExpectPublish("will", "gone").Retain {
		t.Error("the will was not retained")
	}
}

func TestWillDelay(t *testing.T) { // [MQTT-3.1.3-9]
	t.Parallel()
	will := brokertest.Will("will", "gone", delay(1))
	for name, tc := range map[string]struct {
		connect []func(*packet.Connect)
		then    func(*testing.T, *brokertest.Broker)
		early   bool // long before the delay
		will    bool
	}{
		"the will comes after the delay":             {[]func(*packet.Connect){expiry(1000), will}, nil, false, true},
		"a session that ends with its connection":    {[]func(*packet.Connect){expiry(0), brokertest.Will("will", "gone", delay(1000))}, nil, true, true},
		"the end of the session comes first":         {[]func(*packet.Connect){expiry(1), brokertest.Will("will", "gone", delay(1000))}, nil, false, true},
		"a client that is back in time":              {[]func(*packet.Connect){expiry(1000), will}, back, false, false},
		"a client that begins anew ends the session": {[]func(*packet.Connect){expiry(1000), brokertest.Will("will", "gone", delay(1000))}, anew, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t)
			w := watcher(t, b)
			c := b.Connect(t, v5, "c", tc.connect...)
			offline(t, b, c)
			if tc.then != nil {
				tc.then(t, b)
			}
			if !tc.early {
				w.ExpectSilence()
			}
			if tc.will {
				w.ExpectPublish("will", "gone")
			} else {
				b.Connect(t, v5, "clock", expiry(2)).Disconnect()
				brokertest.WaitFor(t, "time", func() bool { return b.Sessions() == 2 })
			}
			w.ExpectSilence()
		})
	}
}

func back(t *testing.T, b *brokertest.Broker) { b.Connect(t, v5, "c", expiry(1000)) }
func anew(t *testing.T, b *brokertest.Broker) { b.Connect(t, v5, "c") }

func TestDelayedWillSurvivesARestart(t *testing.T) {
	t.Parallel()
	st := memory.New()
	b := brokertest.Open(t, brokertest.Options{Store: st})
	offline(t, b, b.Connect(t, v5, "c", expiry(1000), brokertest.Will("will", "gone", delay(2))))
	b.Stop()
	b = brokertest.Open(t, brokertest.Options{Store: st})
	watcher(t, b).ExpectPublish("will", "gone")
}
