package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// TestSilentConnectionsMakeRoom: of 64 files 48 are for connections, and 12 of
// those for clients that have not come past CONNECT.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	b := brokertest.Open(t, brokertest.Options{OpenFiles: 64})
	before := b.Connect(t, v5, "before")
	var silent []*brokertest.Client
	for range 100 {
		silent = append(silent, b.Dial(t, v5))
	}
	b.Connect(t, v5, "after").ExpectSilence()
	before.ExpectSilence()
	for _, c := range silent[:87] {
		c.ExpectClosed()
	}
	last := silent[len(silent)-1]
	last.Connect("patient")
	last.ExpectSilence()
	brokertest.WaitFor(t, "those that made room are counted", func() bool { return b.Metrics.Total(metrics.ConnectionsDisplaced) >= 88 })
	if !strings.Contains(b.Log(), "too many have not come past CONNECT") {
		t.Error("the log does not say why connections end")
	}
}

func TestConnectionsLeaveFilesToTheStore(t *testing.T) {
	t.Parallel()
	b := brokertest.Open(t, brokertest.Options{OpenFiles: 64})
	for i := range 48 {
		b.Connect(t, v5, fmt.Sprint("c", i))
	}
	for range 5 {
		b.Dial(t, v5).ExpectClosed()
	}
	brokertest.WaitFor(t, "those that are not taken are counted", func() bool { return b.Metrics.Total(metrics.ConnectionsRefused) == 5 })
	if !strings.Contains(b.Log(), "limit of open files") {
		t.Error("the log does not say why connections are not taken")
	}
}

// TestAConnectionMakesRoomForOneOnceFilesAreUsedUp: who has not come past CONNECT
// goes first.
func TestAConnectionMakesRoomForOneOnceFilesAreUsedUp(t *testing.T) {
	t.Parallel()
	b := brokertest.Open(t, brokertest.Options{OpenFiles: 64})
	silent := b.Dial(t, v5)
	for i := range 48 {
		b.Connect(t, v5, fmt.Sprint("c", i)).ExpectSilence()
	}
	silent.ExpectClosed()
}

// TestAClientThatWasRefusedAndStaysMakesRoom: it is counted as those that have not
// sent CONNECT are.
func TestAClientThatWasRefusedAndStaysMakesRoom(t *testing.T) {
	t.Parallel()
	b := brokertest.Open(t, brokertest.Options{OpenFiles: 64})
	for range 60 {
		c := b.Dial(t, v311)
		c.Send(brokertest.NewConnect("", brokertest.Persistent)) // 3.1.1: [MQTT-3.1.3-8]
		brokertest.Expect[*packet.Connack](c)
	}
	b.Connect(t, v5, "welcome").ExpectSilence()
	if b.Metrics.Total(metrics.ConnectionsDisplaced) == 0 {
		t.Error("all of them stay")
	}
}
