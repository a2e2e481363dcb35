package server

// wheel holds connections by the second in which they are to be looked at. What
// a connection does between two looks costs nothing here.
type wheel struct {
	slots [512][]*conn
	now   uint32 // seconds since the loop began
}

// add has c looked at in after seconds, or earlier.
func (w *wheel) add(c *conn, after uint32) {
	after = min(max(after, 1), uint32(len(w.slots)-1))
	slot := &w.slots[(w.now+after)%uint32(len(w.slots))]
	*slot = append(*slot, c)
}

// tick goes on by a second and returns whom to look at.
func (w *wheel) tick() []*conn {
	w.now++
	slot := &w.slots[w.now%uint32(len(w.slots))]
	due := *slot
	*slot = nil
	return due
}
