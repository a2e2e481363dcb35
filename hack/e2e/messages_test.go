//go:build e2e

package e2e

import (
	"path/filepath"
	"strconv"
	"testing"
)

// passMessages publishes and subscribes at each quality of service, and with all protocol versions
// that mosquitto_pub speaks.
func (s *story) passMessages(t *testing.T) {
	const topic = "telemetry/sensor/temperature"
	for qos := range 3 {
		sub := s.broker.subscribe(t, dashboard, "telemetry/#", qos)
		for _, version := range []string{"31", "311", "5"} {
			s.broker.mustPublish(t, sensor, topic, "by version "+version, "-V", version, "-q", strconv.Itoa(qos))
			sub.awaitMessage(t, message(topic, "by version "+version, qos, 0))
		}
		sub.stop()
	}
}

// retainMessage leaves a message for who comes later, and takes it away again.
func (s *story) retainMessage(t *testing.T) {
	const state, marker = "telemetry/sensor/state", "telemetry/sensor/marker"
	s.broker.mustPublish(t, sensor, state, "on", "-q", "1", "-r")
	sub := s.broker.subscribe(t, dashboard, state, 1)
	sub.awaitMessage(t, message(state, "on", 1, 1))
	s.broker.mustPublish(t, sensor, state, "off", "-q", "1", "-r")
	sub.awaitMessage(t, message(state, "off", 1, 0))

	s.broker.mustPublish(t, sensor, state, "", "-q", "1", "-r")
	sub = s.broker.subscribe(t, dashboard, "telemetry/#", 1)
	s.broker.mustPublish(t, sensor, marker, "after", "-q", "1")
	sub.awaitMessage(t, message(marker, "after", 1, 0)) // and nothing retained before it
}

// listenWithPaho runs connect(host, 1883, 60), subscribe, loop_forever.
func (s *story) listenWithPaho(t *testing.T) {
	b := s.broker
	listener := start(t, python, filepath.Join("clients", "listen.py"), b.plainHost, strconv.Itoa(b.plainPort),
		dashboard.username, dashboard.password, "telemetry/#")
	listener.await(t, patience, "it is subscribed", containing("subscribed: (0,)"))
	b.mustPublish(t, sensor, "telemetry/sensor/humidity", "40 %")
	listener.await(t, patience, "it receives", containing("received: telemetry/sensor/humidity 40 %"))
}

// startBystander starts the client whose connection every later step looks at.
func (s *story) startBystander(t *testing.T) {
	s.witness = s.broker.startWitness(t, s.whole)
	s.mustHaveWitness(t)
}
