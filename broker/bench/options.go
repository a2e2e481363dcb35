package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Scenario is who publishes to whom.
type Scenario string

// The scenarios.
const (
	Publish   Scenario = "pub"      // publishers, and nobody who listens
	Subscribe Scenario = "sub"      // subscribers to what others publish
	Pair      Scenario = "pair"     // each publisher has a subscriber of its own
	FanIn     Scenario = "fanin"    // many publishers to one subscriber, by a wildcard
	FanOut    Scenario = "fanout"   // one publisher to many subscribers
	Wildcard  Scenario = "wildcard" // many wildcard filters, one of which matches each message
	Idle      Scenario = "idle"     // connections with a subscription each, and no messages
	Retained  Scenario = "retained" // retained messages are stored, and then read by a wildcard
	Offline   Scenario = "offline"  // messages wait for sessions that are away, and then come back
)

// Scenarios lists them in the order in which to explain them.
var Scenarios = []Scenario{Publish, Subscribe, Pair, FanIn, FanOut, Wildcard, Idle, Retained, Offline}

// Options of a run. Zero takes the default, unless it says otherwise.
type Options struct {
	Scenario Scenario
	// URL of the broker: mqtt://, mqtts://, ws:// or wss://host[:port][/path].
	URL string
	// TLS of mqtts and wss; nil trusts the system's roots.
	TLS *tls.Config
	// Version of MQTT: packet.V311 (default) or packet.V5.
	Version packet.Version
	// Username and Password to connect with. %i stands for the number of the
	// publisher or subscriber, from 0.
	Username, Password string
	// ClientIDPrefix is followed by "p" or "s" and the number of the publisher
	// or subscriber. The default differs between runs.
	ClientIDPrefix string
	KeepAlive      time.Duration // whole seconds; zero turns it off
	// Persistent gives subscribers sessions that outlive their connections, so
	// that what waits for them in QoS 1 and 2 has to last. They are ended after
	// the run.
	Persistent bool

	// Connections on each side that has many of them in the scenario.
	Connections int
	// Publishers and Subscribers, if other than Connections says.
	Publishers, Subscribers int
	// ConnectRate is the number of connections opened a second; zero is no limit.
	ConnectRate float64

	// Topic that messages are published to, in which %i stands for the number
	// of the publisher; in Wildcard it is what topics begin with. In Subscribe
	// it is the filter, and %i the number of the subscriber.
	Topic   string
	Filters int        // of Wildcard, in total; even
	QoS     packet.QoS // in Retained and Offline 1 or 2
	Retain  bool
	Size    int // of a payload, in bytes
	// Messages that all publishers together store in Retained and Offline, which
	// have neither a Rate nor a Duration.
	Messages int

	// Rate of all publishers together, in messages a second; zero sends as fast
	// as Window allows.
	Rate float64
	// Window bounds the messages of one publisher that are on their way: not
	// acknowledged, or without a rate not received by all who should.
	Window int

	// WarmUp and Duration of what is measured: zero is zero.
	WarmUp, Duration time.Duration
	// BrokerPID is a process of this machine whose CPU time, memory and writes to
	// disk are reported; zero is none.
	BrokerPID int
	// BrokerDir is a directory of this machine whose size Retained and Offline
	// report; empty is none.
	BrokerDir string
}

// shape is what a scenario looks like if the options do not say otherwise.
type shape struct {
	publishers, subscribers int
	many                    string // the sides that Connections counts
	topic                   string
}

var shapes = map[Scenario]shape{
	Publish:   {publishers: 50, many: "p", topic: "bench/pub/%i"},
	Subscribe: {subscribers: 1, many: "s", topic: "bench/pub/+"},
	Pair:      {publishers: 50, subscribers: 50, many: "ps", topic: "bench/pair/%i"},
	FanIn:     {publishers: 100, subscribers: 1, many: "p", topic: "bench/fanin/%i"},
	FanOut:    {publishers: 1, subscribers: 500, many: "s", topic: "bench/fanout/%i"},
	Wildcard:  {publishers: 100, subscribers: 100, many: "ps", topic: "bench"},
	Idle:      {subscribers: 1000, many: "s", topic: "bench/idle/%i"},
	Retained:  {publishers: 10, subscribers: 1, many: "s", topic: "bench/retained"},
	Offline:   {publishers: 10, subscribers: 1, many: "s", topic: "bench/offline/%i"},
}

// Defaults of the options.
const (
	DefaultURL       = "mqtt://localhost:1883"
	DefaultSize      = 64
	DefaultFilters   = 20000
	DefaultMessages  = 10000
	DefaultKeepAlive = time.Minute
	// DefaultWindow is that of a closed loop, DefaultRateWindow goes with a rate.
	DefaultWindow     = 64
	DefaultRateWindow = 1024
)

const (
	maxWindow   = 65535 // there are no more packet identifiers
	maxNumber   = 1e6   // filters or topics, as many as their digits can tell apart
	maxTrackers = 1 << 24
)

// complete checks the options and fills in the defaults.
func (o *Options) complete() error {
	shape, known := shapes[o.Scenario]
	if !known {
		return fmt.Errorf("scenario %q: there are %v", o.Scenario, Scenarios)
	}
	if err := o.completeConnections(shape); err != nil {
		return err
	}
	setDefault(&o.URL, DefaultURL)
	setDefault(&o.Version, packet.V311)
	setDefault(&o.Topic, shape.topic)
	setDefault(&o.Size, DefaultSize)
	setDefault(&o.Filters, DefaultFilters)
	if o.Rate > 0 {
		setDefault(&o.Window, DefaultRateWindow)
	}
	setDefault(&o.Window, DefaultWindow)
	if o.stores() {
		setDefault(&o.QoS, packet.QoS1) // what is not acknowledged is not known to be stored
		setDefault(&o.Messages, DefaultMessages)
		o.Retain = o.Scenario == Retained
	}
	return errors.Join(o.checkProtocol(), o.checkLoad(), o.checkStored(), o.checkTopics())
}

func (o *Options) completeConnections(s shape) error {
	publishers, subscribers := s.publishers, s.subscribers
	if o.Connections > 0 {
		if strings.Contains(s.many, "p") {
			publishers = o.Connections
		}
		if strings.Contains(s.many, "s") {
			subscribers = o.Connections
		}
	}
	if s.publishers == 0 && o.Publishers > 0 {
		return fmt.Errorf("scenario %s has no publishers", o.Scenario)
	}
	if s.subscribers == 0 && o.Subscribers > 0 {
		return fmt.Errorf("scenario %s has no subscribers", o.Scenario)
	}
	setDefault(&o.Publishers, publishers)
	setDefault(&o.Subscribers, subscribers)
	if o.Scenario == Pair && o.Publishers != o.Subscribers {
		return fmt.Errorf("scenario pair: %d publishers and %d subscribers are not pairs", o.Publishers, o.Subscribers)
	}
	if o.Publishers < 0 || o.Subscribers < 0 || o.Scenario != Pair && o.Publishers*o.Subscribers > maxTrackers {
		return fmt.Errorf("%d publishers and %d subscribers cannot be accounted for", o.Publishers, o.Subscribers)
	}
	return nil
}

func (o *Options) checkProtocol() error {
	if _, err := parseTarget(o.URL); err != nil {
		return err
	}
	switch {
	case o.Version != packet.V311 && o.Version != packet.V5:
		return fmt.Errorf("MQTT version %s: use 3.1.1 or 5", o.Version)
	case o.Version < packet.V5 && o.Password != "" && o.Username == "":
		return errors.New("a password without a username takes MQTT 5")
	case o.QoS > packet.QoS2:
		return fmt.Errorf("QoS %d: use 0, 1 or 2", o.QoS)
	case o.KeepAlive < 0 || o.KeepAlive > 65535*time.Second || o.KeepAlive%time.Second != 0:
		return fmt.Errorf("keep alive %v: use whole seconds, at most 65535", o.KeepAlive)
	case len(expand(o.Username, 1<<30)) > 65535 || len(expand(o.Password, 1<<30)) > 65535:
		return errors.New("username or password is longer than MQTT can carry")
	}
	return nil
}

func (o *Options) checkLoad() error {
	switch {
	case o.Size < stampSize:
		return fmt.Errorf("size %d: a payload carries a stamp of %d bytes", o.Size, stampSize)
	case o.Size > packet.MaxLength-70000:
		return fmt.Errorf("size %d: MQTT carries less than 256 MiB", o.Size)
	case o.Window < 1 || o.Window > maxWindow:
		return fmt.Errorf("window %d: use 1 to %d", o.Window, maxWindow)
	case o.Rate < 0 || o.ConnectRate < 0:
		return errors.New("a rate is negative")
	case o.Duration < 0 || o.WarmUp < 0:
		return errors.New("a duration is negative")
	case o.Filters < 2 || o.Filters > maxNumber || o.Filters%2 != 0:
		return fmt.Errorf("%d filters: use an even number, at most %d", o.Filters, int(maxNumber))
	case o.Scenario == Wildcard && o.Filters < o.Subscribers:
		return fmt.Errorf("%d filters are too few for %d subscribers", o.Filters, o.Subscribers)
	}
	return nil
}

func (o *Options) checkStored() error {
	switch {
	case o.Persistent && o.Subscribers == 0:
		return fmt.Errorf("scenario %s has no subscribers, whose sessions could persist", o.Scenario)
	case !o.stores() && o.Messages != 0:
		return fmt.Errorf("scenario %s sends as long as it is told to, and not a number of messages", o.Scenario)
	case o.stores() && (o.Messages < o.Publishers || o.Messages > maxNumber):
		return fmt.Errorf("%d messages: use %d, one for each publisher, to %d", o.Messages, o.Publishers, int(maxNumber))
	case o.stores() && o.Rate > 0:
		return fmt.Errorf("scenario %s stores as fast as it can: leave out the rate", o.Scenario)
	}
	return nil
}

func (o *Options) checkTopics() error {
	levels := strings.Split(o.Topic, "/")
	wild := slices.ContainsFunc(levels, func(l string) bool { return l == "+" || l == "#" })
	switch {
	case o.Topic == "" || len(o.Topic) > 60000:
		return errors.New("the topic is empty or too long")
	case wild && o.Publishers > 0:
		return fmt.Errorf("topic %q has a wildcard, and is published to", o.Topic)
	case o.shared() && strings.Contains(o.Topic, "%i") && !slices.Contains(levels, "%i"):
		return fmt.Errorf("topic %q: in %s %%i has to be a level of its own", o.Topic, o.Scenario)
	}
	return nil
}

// shared says that all subscribers listen to all publishers, by a wildcard in
// the place of %i.
func (o *Options) shared() bool {
	return o.Scenario == FanIn || o.Scenario == FanOut || o.Scenario == Offline
}

// stores says that messages are stored first and read afterwards.
func (o *Options) stores() bool { return o.Scenario == Retained || o.Scenario == Offline }

// copies is how many subscribers get each message.
func (o *Options) copies() int {
	switch {
	case o.shared() || o.stores():
		return o.Subscribers
	case o.Publishers > 0 && o.Subscribers > 0:
		return 1
	default:
		return 0
	}
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// expand puts a number in the place of %i.
func expand(pattern string, number int) string {
	return strings.ReplaceAll(pattern, "%i", fmt.Sprint(number))
}

// target is where a URL points to.
type target struct {
	host, address  string // address has the port
	path           string // of WebSocket
	tls, webSocket bool
}

var ports = map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "80", "wss": "443"}

func parseTarget(raw string) (target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return target{}, fmt.Errorf("url: %w", err)
	}
	port, known := ports[u.Scheme]
	if !known || u.Hostname() == "" || u.User != nil {
		return target{}, fmt.Errorf("url %q: use mqtt, mqtts, ws or wss://host[:port]", u.Redacted())
	}
	if u.Port() != "" {
		port = u.Port()
	}
	t := target{host: u.Hostname(), path: u.RequestURI(), address: net.JoinHostPort(u.Hostname(), port)}
	t.tls = u.Scheme == "mqtts" || u.Scheme == "wss"
	t.webSocket = u.Scheme == "ws" || u.Scheme == "wss"
	if u.Path == "" {
		t.path = "/mqtt"
	}
	return t, nil
}

// levelWildcards puts a wildcard in the place of %i.
func levelWildcards(pattern string) string { return strings.ReplaceAll(pattern, "%i", "+") }
