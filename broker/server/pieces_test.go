package server_test

import (
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

func willOf(n int) func(*packet.Connect) {
	return brokertest.Will("w", strings.Repeat("x", n))
}

// TestCONNECTIsBounded: what it can reasonably hold is taken, whatever packets the
// broker takes from clients that it knows.
func TestCONNECTIsBounded(t *testing.T) {
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t)
		long := strings.Repeat("p", 32<<10)
		c := b.Dial(t, v)
		c.Send(brokertest.NewConnect("large", brokertest.Login("u", long), willOf(60<<10)))
		brokertest.Expect[*packet.Connack](c)
		c = b.Dial(t, v)
		c.Send(brokertest.NewConnect("larger", brokertest.Login(long+long[:16<<10], long), willOf(63<<10)))
		c.ExpectClosed()
		brokertest.WaitFor(t, "the log says what was wrong", func() bool { return strings.Contains(b.Log(), "131072") })
	})
}

// TestAWillIsNoLargerThanWhatItsUserMayPublish: it is a message like any other.
func TestAWillIsNoLargerThanWhatItsUserMayPublish(t *testing.T) {
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t, users, func(c *config.Config) { c.Access.Users[0].Limits.MaxPacketSize = 200 }, rules(allow("w")))
		ann := brokertest.Login("ann", secret)
		b.Connect(t, v, "fits", ann, willOf(100)).ExpectSilence()
		c := b.Dial(t, v)
		c.Send(brokertest.NewConnect("does-not", ann, willOf(200)))
		if v == v5 {
			if got := brokertest.Expect[*packet.Connack](c).Reason; got != packet.ReasonPacketTooLarge {
				t.Errorf("answered %v", got)
			}
		}
		c.ExpectClosed()
	})
}
