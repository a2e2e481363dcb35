package server_test

import (
	"fmt"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/server"
)

func TestLoopsPartAndComeTogetherUnderTheirClients(t *testing.T) {
	if server.GroupSize == 1 {
		t.Skip("loops are never together here")
	}
	b := brokertest.Start(t)
	var clients []*brokertest.Client
	for i := range 8 { // so that every loop has some
		c := b.Connect(t, v311, fmt.Sprint("c", i))
		c.Subscribe(fmt.Sprint("t/", i), qos1)
		clients = append(clients, c)
	}
	for range 3 {
		for _, apart := range []bool{true, false} {
			brokertest.WaitFor(t, "the loops to change how they run", func() bool {
				for i, c := range clients {
					next := (i + 1) % len(clients)
					c.Publish(fmt.Sprint("t/", next), "x", qos1)
					clients[next].Acknowledge(clients[next].ExpectPublish(fmt.Sprint("t/", next), "x"))
				}
				return b.Apart() == apart
			})
		}
	}
}
