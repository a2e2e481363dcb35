package server

// wheel holds connections by the second in which they are to be looked at. What
// a connection does between two looks costs nothing here. A connection stands in
// one place at most.
type wheel struct {
	slots [512]*conn
	now   uint32 // seconds since the loop began
}

// spoke is the place of a connection in a wheel.
type spoke struct {
	slot       **conn // nil while it stands nowhere
	prev, next *conn
}

// add has c looked at in after seconds, or earlier, instead of when it was to be
// looked at before.
func (w *wheel) add(c *conn, after uint32) {
	w.remove(c)
	after = min(max(after, 1), uint32(len(w.slots)-1))
	slot := &w.slots[(w.now+after)%uint32(len(w.slots))]
	c.spoke = spoke{slot: slot, next: *slot}
	if *slot != nil {
		(*slot).spoke.prev = c
	}
	*slot = c
}

// remove forgets c, which may stand nowhere.
func (w *wheel) remove(c *conn) {
	at := c.spoke
	if at.slot == nil {
		return
	}
	if at.prev == nil {
		*at.slot = at.next
	} else {
		at.prev.spoke.next = at.next
	}
	if at.next != nil {
		at.next.spoke.prev = at.prev
	}
	c.spoke = spoke{}
}

// tick goes on by a second. due then returns whom to look at, one by one.
func (w *wheel) tick() { w.now++ }

func (w *wheel) due() *conn {
	c := w.slots[w.now%uint32(len(w.slots))]
	if c != nil {
		w.remove(c)
	}
	return c
}
