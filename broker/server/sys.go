package server

import (
	"strconv"
	"time"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/router"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// publishSys publishes the broker's state below $SYS/broker, retained, under the
// names that are common to brokers.
func (s *Server) publishSys(w *router.Worker) {
	m := s.metrics
	received := m.Total(metrics.PublishReceivedQoS0) + m.Total(metrics.PublishReceivedQoS1) + m.Total(metrics.PublishReceivedQoS2)
	sent := m.Total(metrics.PublishSentQoS0) + m.Total(metrics.PublishSentQoS1) + m.Total(metrics.PublishSentQoS2)
	dropped := m.Total(metrics.DroppedQueueFull) + m.Total(metrics.DroppedSlowConsumer) + m.Total(metrics.DroppedTooLarge) +
		m.Total(metrics.DroppedExpired) + m.Total(metrics.DroppedUnauthorized) + m.Total(metrics.DroppedRetainedFull)
	retained, _ := s.router.Retained()
	connected, sessions := s.router.Connected(), s.router.Sessions()
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	for _, t := range [...]struct{ name, value string }{
		{"version", "godwit " + s.version},
		{"uptime", number(uint64(time.Since(s.started)/time.Second)) + " seconds"},
		{"clients/connected", strconv.Itoa(connected)},
		{"clients/disconnected", strconv.Itoa(max(sessions-connected, 0))},
		{"clients/total", strconv.Itoa(sessions)},
		{"subscriptions/count", strconv.Itoa(s.router.Subscriptions())},
		{"retained messages/count", strconv.Itoa(retained)},
		{"messages/received", number(m.Total(metrics.PacketsReceived))},
		{"messages/sent", number(m.Total(metrics.PacketsSent))},
		{"publish/messages/received", number(received)},
		{"publish/messages/sent", number(sent)},
		{"publish/messages/dropped", number(dropped)},
		{"bytes/received", number(m.Total(metrics.BytesReceived))},
		{"bytes/sent", number(m.Total(metrics.BytesSent))},
	} {
		w.PublishMessage(&session.Message{
			Topic: "$SYS/broker/" + t.name, Payload: []byte(t.value), QoS: packet.QoS0, Retain: true,
		})
	}
}
