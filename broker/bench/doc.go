// Package bench puts load on an MQTT broker and measures what comes of it. It
// knows the broker only through the protocol: any broker will do.
//
//	result, err := bench.Run(ctx, bench.Options{Scenario: bench.Pair, URL: "mqtt://localhost:1883"}, nil)
//
// # One loop
//
// All state belongs to the goroutine of one event loop (run): it connects,
// decides what is to be sent, parses what arrives and counts. A network moves
// the bytes: on Linux, for plain TCP, by epoll on the loop's own thread, and
// otherwise (TLS, WebSocket, other systems) by goroutines that hand over what
// they read. A loop that is at the limit of its core measures itself, so the
// result says how near it was.
//
// # Two ways of sending
//
// Without a rate each publisher keeps Window messages on their way and sends
// more as they arrive or are acknowledged: a closed loop, which finds the
// highest throughput, and whose latency is that of a full house. With a rate
// message k is due at start + k/rate whatever the broker does, and its latency
// counts from then, so that a broker that stalls cannot hide the messages which
// had to wait (coordinated omission).
//
// Retained and Offline send a number of messages in a closed loop that nobody
// receives yet, and then let subscribers read them.
//
// # What is counted
//
// Each payload begins with a stamp: run, publisher, sequence number and time.
// Every subscriber checks the sequence of every publisher that it hears, which
// tells a loss from a duplicate and from a message that came late.
//
// # What is left
//
// Nothing: sessions that outlive their connections are taken over by clean ones,
// and what Retained has stored is removed, also where a run is stopped.
package bench
