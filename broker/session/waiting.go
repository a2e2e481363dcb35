package session

import "time"

// Waiting is a delivery that waits in a store: what is to be known of it while
// its body is not in memory.
type Waiting struct {
	Seq     uint64
	Message uint64 // Message.ID
	Size    uint32 // Delivery.Size
	// Expires is when it loses its worth, in seconds since 1970 and rounded up; 0
	// is never.
	Expires uint32
}

// Expired reports whether w must no longer be delivered [MQTT-3.3.2-5].
func (w Waiting) Expired(now time.Time) bool {
	return w.Expires != 0 && now.Unix() >= int64(w.Expires)
}

// Waiting returns what is to be known of d while only a store has its body.
func (d *Delivery) Waiting() Waiting {
	return Waiting{Seq: d.Seq, Message: d.ID, Size: uint32(d.Size()), Expires: Seconds(d.Expires)}
}

// Seconds returns t in seconds since 1970, rounded up; 0 for the zero time.
func Seconds(t time.Time) uint32 {
	if t.IsZero() {
		return 0
	}
	return uint32(min(max(t.Add(time.Second-1).Unix(), 1), 1<<32-1))
}
