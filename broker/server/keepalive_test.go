package server

import "testing"

func TestAClientThatTakesNothing(t *testing.T) {
	for _, tc := range []struct {
		name  string
		ended uint32                       // second in which it is found to take nothing, 0 if never
		then  func(c *conn, second uint32) // what becomes of it
	}{
		{"takes nothing", 11, func(*conn, uint32) {}},
		{"takes something", 16, func(c *conn, second uint32) {
			if second == 6 {
				c.blocks++
			}
		}},
		{"takes all, for a while", 19, func(c *conn, second uint32) { c.blocked = second < 5 || second > 8 }},
		{"takes all", 0, func(c *conn, second uint32) { c.blocked = second < 9 }},
		{"has turned keep alive off", 0, func(c *conn, _ uint32) { c.patience = 0 }},
	} {
		c := &conn{loop: new(loop), fd: -1, patience: 10, blocked: true, blocks: 1}
		var ended uint32
		for second := uint32(1); second < 30 && ended == 0; second++ {
			c.loop.wheel.now = second
			if tc.then(c, second); c.takesNothing() == 0 {
				ended = second
			}
		}
		if ended != tc.ended {
			t.Errorf("%s: ended in second %d, want %d", tc.name, ended, tc.ended)
		}
	}
}
