package brokertest_test

import (
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

func TestMessagesTravel(t *testing.T) {
	b := brokertest.Start(t)
	for _, v := range []packet.Version{packet.V31, packet.V311, packet.V5} {
		for _, q := range []packet.QoS{packet.QoS0, packet.QoS1, packet.QoS2} {
			t.Run(v.String()+" QoS "+string('0'+rune(q)), func(t *testing.T) {
				sub := b.Connect(t, v, "sub")
				sub.Subscribe("a/#", q)
				pub := b.DialTLS(t, v)
				pub.Connect("pub")
				pub.Publish("a/b", "hello", q)
				sub.Acknowledge(sub.ExpectPublish("a/b", "hello"))
				sub.ExpectSilence()
				sub.Disconnect()
				pub.Disconnect()
			})
		}
	}
}

func TestStopDisconnectsClients(t *testing.T) {
	b := brokertest.Start(t)
	c := b.Connect(t, packet.V5, "c")
	done := make(chan struct{})
	go func() { b.Stop(); close(done) }()
	c.ExpectDisconnect(packet.ReasonServerShuttingDown)
	_ = c.Close()
	<-done
}
