package bench

// count is what has happened since the run began.
type count struct {
	sent         uint64
	expected     uint64 // deliveries of what was sent, to all who should get it
	received     uint64 // PUBLISH packets
	bytes        uint64 // of their payloads
	delivered    uint64 // messages of the run that came for the first time
	missing      uint64 // messages that were overtaken by later ones
	late         uint64 // messages that came after having been missing
	duplicates   uint64
	foreign      uint64 // messages that are not of the run
	acknowledged uint64
	refused      uint64 // acknowledged with a failure, in MQTT 5
	lateSends    uint64 // the loop saw later than lateAfter that they were due
	heldBack     uint64 // they had to wait for the broker when they were due
	opened       uint64 // connections that took part
	lostClients  uint64
}
