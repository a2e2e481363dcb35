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
	if err := b.Alive(time.Now().Add(time.Minute)); err == nil {
		t.Error("loops that did not turn for a minute are alive")
	}
}
