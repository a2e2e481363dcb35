package server_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// seconds is a keep alive.
func seconds(n uint16) func(*packet.Connect) {
	return func(p *packet.Connect) { p.KeepAlive = n }
}

// TestAClientThatTakesNothingEnds: it sends PINGREQ in time, and reads nothing of
// what waits for it. Its will comes all the same.
func TestAClientThatTakesNothingEnds(t *testing.T) {
	t.Parallel()
	for _, dial := range []func(testing.TB, *brokertest.Broker) *brokertest.Client{
		func(t testing.TB, b *brokertest.Broker) *brokertest.Client { return b.Dial(t, v5) },
		func(t testing.TB, b *brokertest.Broker) *brokertest.Client { return b.DialTLS(t, v5) },
	} {
		b := brokertest.Start(t)
		watcher := b.Connect(t, v5, "watcher")
		watcher.Subscribe("will", qos0)
		deaf := dial(t, b)
		deaf.Connect("deaf", seconds(1), brokertest.Will("will", "gone"))
		deaf.Subscribe("much", qos0)
		var pings sync.WaitGroup
		pings.Go(func() { // all the time, so that it is never silent
			for err := error(nil); err == nil; {
				_, err = deaf.Write([]byte{0xc0, 0})
			}
		})
		publisher := b.Connect(t, v5, "publisher")
		for range 200 { // more than the buffers of the kernel
			publisher.Publish("much", strings.Repeat("x", 200<<10), qos1)
		}
		watcher.ExpectPublish("will", "gone")
		_ = deaf.Close()
		pings.Wait()
	}
}

// TestTheLongestKeepAliveHoldsForAll: also for clients of MQTT 3, whatever they
// ask for.
func TestTheLongestKeepAliveHoldsForAll(t *testing.T) {
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.KeepAliveMax = config.Duration(1e9) }))
		for _, asked := range []uint16{0, 65535} {
			b.Connect(t, v, "c", seconds(asked)).ExpectDisconnect(packet.ReasonKeepAliveTimeout)
		}
	})
}
