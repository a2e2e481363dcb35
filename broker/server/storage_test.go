package server_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/server"
)

// A store that has failed reports that to whoever waits, and ends the broker.
func TestABrokerWhoseStorageHasFailedEnds(t *testing.T) {
	t.Parallel()
	st := newCut()
	b, err := server.New(server.Options{
		Config: &config.Config{Settings: config.Settings{
			Name: "test/broker", Anonymous: true, DefaultEffect: config.Allow,
			Listeners: []config.Listener{{Name: "mqtt", Address: "127.0.0.1"}},
			Drain:     config.Drain{DisconnectRate: 1, Timeout: config.Duration(brokertest.Patience)},
		}},
		Logger: slog.New(slog.DiscardHandler), Metrics: metrics.New(), Store: st, Version: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Serve(t.Context()) }()
	var clients []*brokertest.Client
	for _, id := range []string{"a", "b", "c"} {
		conn, err := net.Dial("tcp", b.Addr("mqtt").String())
		if err != nil {
			t.Fatal(err)
		}
		c := brokertest.NewClient(t, conn, v5)
		c.Connect(id, brokertest.Persistent)
		c.Subscribe("t", qos1)
		clients = append(clients, c)
	}
	st.set(true)
	clients[0].Send(brokertest.NewPublish("t", "m", atQoS(qos1, 1)))
	brokertest.WaitFor(t, "the message", func() bool {
		st.mu.Lock()
		defer st.mu.Unlock()
		return len(st.waiting) > 0
	})
	st.fail(syscall.EIO)
	for i, c := range clients {
		sawAck := false
		for {
			p := c.Next()
			if ack, ok := p.(*packet.Ack); ok {
				sawAck = true
				if ack.Reason != packet.ReasonQuotaExceeded {
					t.Errorf("the message is acknowledged with %v", ack.Reason)
				}
			}
			if d, ok := p.(*packet.Disconnect); ok {
				if d.Reason != packet.ReasonServerShuttingDown {
					t.Errorf("disconnected with %v", d.Reason)
				}
				break
			}
		}
		if sawAck != (i == 0) {
			t.Errorf("client %d: acknowledged %t", i, sawAck)
		}
	}
	if err := b.Ready(); !errors.Is(err, server.ErrStorage) {
		t.Errorf("ready: %v", err)
	}
	if err := <-ended; !errors.Is(err, server.ErrStorage) || !errors.Is(err, syscall.EIO) {
		t.Errorf("it ends with %v", err)
	}
}

// waitForRefusals waits until b has seen that its store takes nothing new.
func waitForRefusals(t *testing.T, b *brokertest.Broker) {
	t.Helper()
	tries := 0
	brokertest.WaitFor(t, "new sessions to be refused", func() bool {
		tries++
		c := b.Dial(t, v5)
		defer func() { _ = c.Close() }()
		c.Send(brokertest.NewConnect(fmt.Sprint("new ", tries), brokertest.Persistent))
		return brokertest.Expect[*packet.Connack](c).Reason == packet.ReasonQuotaExceeded
	})
}

func TestSessionsGoOnWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	b, st, c := toDurable(t, v5)
	_ = c.Close()
	pub := b.Connect(t, v5, "pub")
	pub.Publish("t", "before", qos1)
	st.ail(errors.New("the disk is full"))
	waitForRefusals(t, b)
	for _, clean := range []bool{false, true} {
		c = b.Dial(t, v5)
		ack := c.Connect("c", brokertest.Persistent, func(p *packet.Connect) { p.CleanStart = clean })
		if ack.SessionPresent == clean {
			t.Errorf("session present %t with a clean start %t", ack.SessionPresent, clean)
		}
		if !clean {
			c.Acknowledge(c.ExpectPublish("t", "before"))
			c.Subscribe("t", qos2) // as most clients do
		}
		c.Disconnect()
	}
	if waiting, err := st.Deliveries(1, 0, 10, 1<<20); err != nil || len(waiting) > 0 {
		t.Errorf("%d messages are left: %v", len(waiting), err)
	}
}

func TestAWillIsNotStoredOnAFullDisk(t *testing.T) {
	t.Parallel()
	b, st, _ := toDurable(t, v5)
	dying := b.Connect(t, v5, "dying", brokertest.Will("w", "gone", func(w *packet.Will) { w.Retain = true }))
	st.ail(errors.New("the disk is full"))
	waitForRefusals(t, b)
	_ = dying.Close()
	brokertest.WaitFor(t, "the will to be refused", func() bool { return b.Metrics.Total(metrics.PublishRefused) == 1 })
	if n, _ := st.Retained([]string{"w"}); n[0] != nil {
		t.Error("the will is stored")
	}
}
