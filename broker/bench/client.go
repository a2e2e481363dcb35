package bench

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// client is one MQTT connection. It belongs to the loop.
type client struct {
	run     *run
	link    link
	name    string // its client identifier
	number  int    // among the publishers, or among the subscribers
	filters []string
	session session
	*publisher
	*subscriber

	state   state
	opened  int64  // when connecting began
	subacks int    // SUBACKs that have not come
	part    []byte // the beginning of a packet, whose rest has not come
	want    int    // size of that packet as far as it is known
	out     []byte // what the network has not taken yet
}

type state int

const (
	unopened   state = iota
	opening          // until CONNACK, and SUBACK where it subscribes
	ready            // it takes part
	closedDown       // by the broker, or for an error
)

// session is what a client asks for when it connects.
type session int

const (
	transient session = iota // a new one, which ends with the connection
	// A new one, which outlives the connection. MQTT 3.1.1 cannot ask for both,
	// and takes up what a client of the same name may have left.
	lasting
	resumed // the one that a lasting one's client has left
)

// sessionExpiry is how long lasting sessions stay, in seconds, if the run does
// not get to end them.
const sessionExpiry = 3600

// maxPerSubscribe bounds the filters of one SUBSCRIBE.
const maxPerSubscribe = 32

// connected is called by the network once bytes can be sent.
func (c *client) connected() {
	o := &c.run.options
	p := packet.Connect{
		CleanStart: c.session == transient || c.session == lasting && o.Version >= packet.V5,
		KeepAlive:  uint16(o.KeepAlive.Seconds()), ClientID: []byte(c.name),
		HasUsername: o.Username != "", Username: []byte(expand(o.Username, c.number)),
		HasPassword: o.Password != "", Password: []byte(expand(o.Password, c.number)),
	}
	if c.session != transient && o.Version >= packet.V5 {
		p.Properties.SessionExpiry = sessionExpiry
		p.Properties.Set(packet.PropSessionExpiry)
	}
	c.out = p.Append(c.out, o.Version)
	c.link.flush(c)
}

// drained is called by the network when it has taken all that it could not take
// at once.
func (c *client) drained() {
	if c.publisher != nil {
		c.run.touch(c)
	}
}

// lost is called by the network when the connection has ended. It may be called
// more than once.
func (c *client) lost(err error) {
	if c.state == closedDown {
		return
	}
	c.run.lost(c, err)
	c.state = closedDown
	c.part, c.out = nil, nil
	c.link.close()
}

// received is called by the network with c.part and the bytes behind it.
func (c *client) received(data []byte) {
	c.run.now = c.run.clock.now()
	n := 0
	for {
		h, size, err := packet.ParseHeader(data[n:])
		if err != nil {
			c.lost(fmt.Errorf("the broker sent nonsense: %w", err))
			return
		}
		end := n + size + h.Length
		if size == 0 || end > len(data) {
			c.want = end - n
			break
		}
		if err := c.handle(h, data[n+size:end]); err != nil {
			c.lost(err)
			return
		}
		n = end
	}
	c.part = append(c.part[:0], data[n:]...)
	if len(c.out) > 0 {
		c.link.flush(c)
	}
}

var errShort = errors.New("the broker sent a packet that is cut short")

// handle takes one packet. An error ends the connection.
func (c *client) handle(h packet.Header, body []byte) error {
	if h.Type == packet.TypePublish {
		return c.handlePublish(h.Flags, body)
	}
	switch h.Type {
	case packet.TypeConnack:
		return c.handleConnack(body)
	case packet.TypeSuback:
		return c.handleSuback(body)
	case packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp:
		return c.handleAck(h.Type, body)
	case packet.TypePingresp:
		return nil
	case packet.TypeDisconnect:
		var p packet.Disconnect
		if err := p.Decode(c.run.options.Version, body); err != nil {
			return err
		}
		return fmt.Errorf("the broker disconnected: %s", p.Reason)
	default:
		return fmt.Errorf("the broker sent %s", h.Type)
	}
}

func (c *client) handleConnack(body []byte) error {
	var p packet.Connack
	if err := p.Decode(c.run.options.Version, body); err != nil {
		return err
	}
	if p.Reason != packet.ReasonSuccess {
		return fmt.Errorf("the broker refused the connection of %s: %s", c.name, p.Reason)
	}
	c.run.connects.Record(c.run.now - c.opened)
	switch {
	case c.session == resumed && !p.SessionPresent:
		return fmt.Errorf("the broker has not kept the session of %s", c.name)
	case c.session == lasting:
		c.run.lasting = append(c.run.lasting, c)
	}
	if c.publisher != nil && p.Properties.Has(packet.PropReceiveMaximum) {
		c.receiveMaximum = int(p.Properties.ReceiveMaximum)
	}
	c.subscribe()
	if c.subacks == 0 {
		c.run.becameReady(c)
	}
	return nil
}

// subscribe sends SUBSCRIBE for all filters at once.
func (c *client) subscribe() {
	for filters := c.filters; len(filters) > 0; c.subacks++ {
		n := min(len(filters), maxPerSubscribe)
		p := packet.Subscribe{ID: uint16(c.subacks + 1)}
		for _, f := range filters[:n] {
			p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: []byte(f), QoS: c.run.options.QoS})
		}
		c.out = p.Append(c.out, c.run.options.Version)
		filters = filters[n:]
	}
	c.filters = nil
}

func (c *client) handleSuback(body []byte) error {
	var p packet.Suback
	if err := p.Decode(c.run.options.Version, body); err != nil {
		return err
	}
	for _, reason := range p.Reasons {
		if reason.IsError() {
			return fmt.Errorf("the broker refused a subscription of %s: %s", c.name, reason)
		}
		if packet.QoS(reason) < c.run.options.QoS {
			return fmt.Errorf("the broker grants QoS %d, and QoS %d was asked for", reason, c.run.options.QoS)
		}
	}
	if c.subacks--; c.subacks == 0 {
		c.run.becameReady(c)
	}
	return nil
}

func (c *client) handleAck(t packet.Type, body []byte) error {
	if len(body) < 2 {
		return errShort
	}
	id := binary.BigEndian.Uint16(body)
	refused := len(body) > 2 && packet.ReasonCode(body[2]).IsError()
	switch {
	case t == packet.TypePubrel:
		c.out = packet.AppendAck(c.out, packet.TypePubcomp, id)
	case t == packet.TypePubrec && !refused:
		c.out = packet.AppendAck(c.out, packet.TypePubrel, id)
	case c.publisher != nil:
		c.acknowledged(id, refused)
		c.run.touch(c)
	}
	return nil
}

// ping keeps the connection alive.
func (c *client) ping() {
	if c.state == ready {
		c.out = (&packet.Pingreq{}).Append(c.out, c.run.options.Version)
		c.link.flush(c)
	}
}

// leave says goodbye.
func (c *client) leave() {
	if c.state == closedDown || c.state == unopened {
		return
	}
	if c.state == ready {
		c.out = (&packet.Disconnect{}).Append(c.out, c.run.options.Version)
		c.link.flush(c)
	}
	c.run.left(c)
	c.state = closedDown
	c.link.close()
}
