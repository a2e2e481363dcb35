package server_test

import (
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
)

func TestABrokerIsAliveWhileItsLoopsTurn(t *testing.T) {
	b := brokertest.Start(t)
	if err := b.Alive(time.Now()); err != nil {
		t.Error(err)
	}
	brokertest.WaitFor(t, "loops that did not turn for a minute to be missed", func() bool {
		return b.Alive(time.Now().Add(time.Minute)) != nil
	})
}
