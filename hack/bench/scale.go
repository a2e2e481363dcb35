package main

import (
	"fmt"
	"slices"
)

// scaleScenarios show how cost grows with what there is of something.
var scaleScenarios = slices.Concat(
	scale("connections", "idle --connections %d --keep-alive 10s", scaleConnections, 1000, 5000, 10000, 15000),
	scale("tls-connections", "idle --connections %d --keep-alive 10s --insecure", scaleConnections, 1000, 5000),
	scale("spread", "pair --connections %d --qos 1 --rate 10000", scaleSpread, 50, 500, 5000, 7500),
	scale("subscriptions", "wildcard --connections 100 --filters %d", scaleSubscriptions, 1000, 10000, 100000, 1000000),
	scale("durable-subscriptions", "wildcard --connections 100 --filters %d --persistent", scaleSubscriptions, 100000),
	scale("fanout", "fanout --subscribers %d --window 50", scaleFanOut, 10, 100, 1000, 10000),
	scale("fanout-single", "fanout --subscribers %d --window 1", scaleFanOutSingle, 10, 100, 1000, 10000),
	scale("retained", "retained --messages %d", scaleRetained, 1000, 10000, 100000, 1000000),
	scale("offline", "offline --messages %d", scaleOffline, 1000, 10000, 100000, 1000000),
	scale("login", "idle --connections %d "+credentials+firstLogin, scaleLogin, 2000, 10000),
	scale("login-again", "idle --connections %d "+credentials, scaleLoginAgain, 2000, 10000),
)

// Usernames and the password of clients that log in, and the rate at which they do
// for the first time: hashes are slow, and a client waits for ten seconds.
const (
	credentials     = "--username device-%%i --password " + password + " "
	password        = "correct-horse"
	firstLogin      = "--connect-rate " + firstLoginRate
	firstLoginRate  = "50"
	usernamePattern = "device-%d"
)

// Seconds between two PINGREQ of a client, with the keep alive of 10 seconds.
const pingInterval = 5

// scale makes a scenario of each size.
func scale(name, args string, k kind, sizes ...int) (all []scenario) {
	for _, n := range sizes {
		s := scenario{name: fmt.Sprintf("%s-%d", name, n), title: thousands(n), kind: k, args: fmt.Sprintf(args, n), size: float64(n)}
		if s.secure() {
			s.title += ", TLS"
		}
		if s.persistent() {
			s.title += ", persistent sessions"
		}
		all = append(all, s)
	}
	return all
}
