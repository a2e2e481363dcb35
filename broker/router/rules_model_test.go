package router

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/auth/authtest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// TestEveryAnswerIsThatOfThePlainRules drives clients of several users over workers
// that they share, while the rules change, and holds each PUBLISH, SUBSCRIBE and
// delivery against rules that are evaluated anew for every question.
//
//api:semantics 1 2 3 4 6
func TestEveryAnswerIsThatOfThePlainRules(t *testing.T) {
	const seeds, length = 300, 1500
	for seed := range uint64(seeds) {
		if !playRules(t, randomChoices(seed, length)) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzRules(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(randomChoices(seed, 500))
	}
	f.Fuzz(func(t *testing.T, input []byte) { playRules(t, input) })
}

func randomChoices(seed uint64, length int) []byte {
	rng := rand.New(rand.NewPCG(seed, 10))
	input := make([]byte, length)
	for i := range input {
		input[i] = byte(rng.Uint32())
	}
	return input
}

// playRules makes the choices of input, and reports whether all answers were right.
func playRules(t *testing.T, input []byte) bool {
	t.Helper()
	m := newRulesModel(t, input)
	for len(m.input) > 0 && !t.Failed() {
		m.step()
	}
	for _, line := range m.log {
		if t.Failed() {
			t.Log(line)
		}
	}
	return !t.Failed()
}

// The identities of the clients. Shared subscriptions are those of users who stay:
// what sessions leave to other members is another subject.
var (
	rulesUsers = []string{"ann", "eve", "bob", "$x"}
	staying    = []string{"ann", "eve"}
)

// rulesModel is a router with its clients, and what is expected of it.
type rulesModel struct {
	t        *testing.T
	input    []byte // what is left of the choices, a byte each
	r        *Router
	workers  []*Worker
	config   config.Config
	clients  []*rulesClient
	retained map[string]rulesMessage
	messages int
	log      []string
}

// rulesClient is a client with the session that it should have.
type rulesClient struct {
	auth.Principal
	durable  bool
	worker   *Worker
	s        *Subscriber // nil where there is no session
	link     *link       // nil while it is not connected
	from     Publisher
	subs     map[string]rulesSubscription
	queue    []rulesMessage // what waits while it is away
	inflight []rulesMessage // what it has not acknowledged
	expected []rulesMessage // of this step
	releases int            // PUBREL packets of this step
}

func (c *rulesClient) String() string { return c.ClientID + " of " + cmp.Or(c.Username, "nobody") }

type rulesSubscription struct {
	qos            packet.QoS // that was asked for
	noLocal, keeps bool       // keeps: Retain As Published
	id             uint32
}

// rulesMessage is a message on its way to a client.
type rulesMessage struct {
	topic, payload string
	qos            packet.QoS
	retain, dup    bool
	ids            string
	shared         string // the shared subscription that it came by
	packetID       uint16
}

func (x rulesMessage) String() string {
	return fmt.Sprintf("%.20s %q QoS %d retain %t dup %t ids %s", x.topic, x.payload, x.qos, x.retain, x.dup, x.ids)
}

func newRulesModel(t *testing.T, input []byte) *rulesModel {
	m := &rulesModel{t: t, input: input, retained: map[string]rulesMessage{}}
	m.config = config.Config{Settings: config.Settings{Anonymous: true, DefaultEffect: config.Deny}}
	if m.below(4) == 0 {
		m.config.Settings.DefaultEffect = config.Allow
	}
	m.randomRules()
	m.r = New(memory.New(), metrics.New(), m.compile(), Limits{MaxQoS: 2})
	now := time.Now()
	for range 1 + m.below(3) {
		w := newWorker(m.r)
		w.Now = now
		m.workers = append(m.workers, w)
	}
	for i, name := range []string{"ann", "eve", "eve", "bob", "bob", "$x", ""} {
		m.clients = append(m.clients, &rulesClient{
			Principal: auth.Principal{Username: name, Anonymous: name == "", ClientID: fmt.Sprint("c", i)},
			durable:   i%2 == 0,
		})
	}
	return m
}

func (m *rulesModel) below(n int) int {
	if len(m.input) == 0 {
		return 0
	}
	b := m.input[0]
	m.input = m.input[1:]
	return int(b) % n
}

func oneOf[T any](m *rulesModel, of ...T) T { return of[m.below(len(of))] }

func (m *rulesModel) note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *rulesModel) step() {
	c := m.clients[m.below(len(m.clients))]
	switch n := m.below(32); {
	case n == 0:
		m.changeRules()
	case c.link == nil:
		m.connect(c)
	case n < 3:
		m.disconnect(c)
	case n < 7:
		m.subscribe(c)
	case n < 8:
		m.unsubscribe(c)
	case n < 10:
		m.acknowledge(c)
	default:
		m.publish(c)
	}
	m.look(nil)
}

// rules are those of now for a client.
func (m *rulesModel) rules(c *rulesClient) *authtest.Rules {
	return &authtest.Rules{Config: m.config, Identity: authtest.Identity{
		Username: c.Username, Anonymous: c.Anonymous, ClientID: c.ClientID,
	}}
}

// admitted reports whether a client's user is there.
func (m *rulesModel) admitted(c *rulesClient) bool {
	return c.Anonymous || slices.ContainsFunc(m.config.Access.Users, func(u config.User) bool { return u.Username == c.Username })
}

func (m *rulesModel) randomRules() {
	m.config.Access = config.Access{}
	for _, name := range rulesUsers {
		if m.below(6) > 0 || slices.Contains(staying, name) {
			m.config.Access.Users = append(m.config.Access.Users, config.User{Username: name})
		}
	}
	for i := range 1 + m.below(4) {
		y := config.Policy{Source: fmt.Sprint("p", i), Anonymous: m.below(3) == 0, Authenticated: m.below(4) == 0}
		for _, u := range m.config.Access.Users {
			if m.below(2) == 0 {
				y.Users = append(y.Users, u.Username)
			}
		}
		for range 1 + m.below(3) {
			y.Rules = append(y.Rules, m.randomRule())
		}
		m.config.Access.Policies = append(m.config.Access.Policies, y)
	}
}

func (m *rulesModel) randomRule() config.Rule {
	r := config.Rule{
		Effect:  oneOf(m, config.Allow, config.Allow, config.Allow, config.Deny),
		Actions: []config.Action{oneOf(m, config.ActionAll, config.ActionAll, config.ActionPublish, config.ActionSubscribe)},
		MaxQoS:  oneOf(m, nil, nil, nil, new(byte(0)), new(byte(1))),
		Retain:  oneOf(m, "", "", config.Deny),
	}
	for range 1 + m.below(2) {
		r.Topics = append(r.Topics, oneOf(m, "open/#", "secret/#", "#", "+/1", "%u/#", "+/%c", "$x/#", "$share/g/open/#", "$share/g/#"))
	}
	return r
}

func (m *rulesModel) compile() *auth.Snapshot {
	m.t.Helper()
	snapshot, err := auth.Compile(&m.config)
	if err != nil {
		m.t.Fatal(err)
	}
	return snapshot
}

// changeRules puts other rules in force. Sessions whose user is gone end.
func (m *rulesModel) changeRules() {
	m.randomRules()
	m.note("rules: %+v", m.config.Access)
	m.r.SetAccess(m.compile())
	for _, c := range m.clients {
		if c.link != nil && (c.link.kicked != 0) == m.admitted(c) {
			m.t.Errorf("%v, whose user is there: %t, is disconnected with %v", c, m.admitted(c), c.link.kicked)
		}
		if m.admitted(c) || c.s == nil {
			continue
		}
		if c.link != nil {
			c.worker.Disconnect(c.s, c.link, true, nil)
		}
		m.forget(c)
	}
	m.workers[0].Tick()
	settle(m.r)
	for _, c := range m.clients {
		if _, there := m.r.sessions.shard(c.ClientID).byID[c.ClientID]; there != (c.s != nil) {
			m.t.Errorf("%v has a session: %t", c, there)
		}
	}
}

// forget notes that a session has ended.
func (m *rulesModel) forget(c *rulesClient) {
	c.s, c.link, c.subs, c.queue, c.inflight = nil, nil, nil, nil, nil
}

func (m *rulesModel) connect(c *rulesClient) {
	c.worker = oneOf(m, m.workers...)
	m.note("%v connects", c)
	l := &link{keeps: true}
	req := &Connect{Principal: c.Principal, Link: l, Version: packet.V5, Window: 200}
	if c.durable {
		req.Expiry = time.Hour
	}
	s, present, wait, reason := c.worker.Connect(req)
	switch {
	case !m.admitted(c):
		if reason != packet.ReasonNotAuthorized {
			m.t.Errorf("%v, whose user is gone, connects: %v", c, reason)
		}
		return
	case wait != nil || reason.IsError() || present != (c.s != nil):
		m.t.Errorf("%v: session present %t, want %t, %v", c, present, c.s != nil, reason)
		return
	}
	if c.s == nil {
		c.subs = map[string]rulesSubscription{}
	}
	c.s, c.link, c.from = s, l, Publisher{Subscriber: s, Version: packet.V5}
	m.expectWhatWaited(c)
	c.worker.Resume(c.s, l)
}

// expectWhatWaited expects what the rules of now leave of what a session has.
func (m *rulesModel) expectWhatWaited(c *rulesClient) {
	for _, x := range c.inflight {
		switch x.dup = true; {
		case m.mayHave(c, x):
			c.expected = append(c.expected, x)
		case x.qos == packet.QoS2:
			c.releases++
		}
	}
	for _, x := range c.queue {
		if m.inForce(c, x) {
			c.expected = append(c.expected, x)
		}
	}
	c.inflight, c.queue = nil, nil
}

// mayHave reports whether the rules let a client have a message that it was sent
// before.
func (m *rulesModel) mayHave(c *rulesClient, x rulesMessage) bool {
	filter := x.topic
	if group, _, shared, _ := topic.ParseShared(x.shared); shared {
		filter = "$share/" + group + "/" + x.topic
	}
	return m.rules(c).Subscribes(filter, 0)
}

// inForce reports whether a subscription is granted that x, which waited, came by.
func (m *rulesModel) inForce(c *rulesClient, x rulesMessage) bool {
	if group, _, shared, _ := topic.ParseShared(x.shared); shared {
		return m.rules(c).Subscribes(x.shared, 0) && m.rules(c).Receives(group, x.topic)
	}
	return len(m.matching(c, x.topic)) > 0 && m.rules(c).Receives("", x.topic)
}

func (m *rulesModel) disconnect(c *rulesClient) {
	m.note("%v disconnects", c)
	if !c.durable {
		m.acknowledge(c)
	}
	c.worker.Disconnect(c.s, c.link, true, nil)
	if c.link = nil; !c.durable {
		m.forget(c)
	}
}

func (m *rulesModel) filter(c *rulesClient) string {
	f := oneOf(m, "open/#", "secret/#", "#", "+/1", "open/1", "secret/+", c.Username+"/#", "+/"+c.ClientID, "$x/#", "$x/1")
	if slices.Contains(staying, c.Username) && m.below(4) == 0 {
		f = oneOf(m, "$share/g/", "$share/h/") + oneOf(m, "open/#", "secret/1", "#")
	}
	return f
}

func (m *rulesModel) subscribe(c *rulesClient) {
	filter := m.filter(c)
	_, _, shared, err := topic.ParseShared(filter)
	if err != nil {
		return
	}
	sub := rulesSubscription{
		qos: packet.QoS(m.below(3)), keeps: m.below(2) == 0, id: uint32(m.below(3)), noLocal: m.below(4) == 0 && !shared,
	}
	p := &packet.Subscribe{Subscriptions: []packet.Subscription{{
		Filter: []byte(filter), QoS: sub.qos, NoLocal: sub.noLocal, RetainAsPublished: sub.keeps,
	}}}
	if sub.id > 0 {
		p.Properties.AddSubscriptionID(sub.id)
	}
	m.note("%v subscribes to %q: %+v", c, filter, sub)
	got := c.worker.Subscribe(c.s, c.link, p, SubscriptionLimits{}, nil)[0]
	q, granted := m.granted(c, filter, sub.qos)
	if want := answerTo(q, granted); got.Reason != want {
		m.t.Errorf("%v subscribes to %q: %v, want %v", c, filter, got.Reason, want)
	}
	if !granted || m.t.Failed() {
		return
	}
	c.subs[filter] = sub
	if got.Replay {
		c.worker.Replay(c.s, c.link, filter, got.Since)
		m.expectRetained(c, filter, q, sub.id)
	}
}

func answerTo(q packet.QoS, granted bool) packet.ReasonCode {
	if !granted {
		return packet.ReasonNotAuthorized
	}
	return packet.ReasonCode(q)
}

// granted returns the quality of service that a subscription is granted with.
func (m *rulesModel) granted(c *rulesClient, filter string, asked packet.QoS) (q packet.QoS, ok bool) {
	for q := int(asked); q >= 0; q-- {
		if m.rules(c).Subscribes(filter, byte(q)) {
			return packet.QoS(q), true
		}
	}
	return 0, false
}

func (m *rulesModel) expectRetained(c *rulesClient, filter string, q packet.QoS, id uint32) {
	for name, x := range m.retained {
		if topic.Match(filter, name) && m.rules(c).Receives("", name) {
			x.qos, x.retain, x.ids = min(x.qos, q), true, listed(id)
			c.expected = append(c.expected, x)
		}
	}
}

// listed returns the subscription identifiers that are not 0, in order.
func listed(ids ...uint32) string {
	ids = slices.DeleteFunc(ids, func(id uint32) bool { return id == 0 })
	slices.Sort(ids)
	return fmt.Sprint(ids)
}

func (m *rulesModel) unsubscribe(c *rulesClient) {
	filter := m.filter(c)
	m.note("%v unsubscribes from %q", c, filter)
	c.worker.Unsubscribe(c.s, c.link, [][]byte{[]byte(filter)}, nil)
	delete(c.subs, filter)
}

func (m *rulesModel) acknowledge(c *rulesClient) {
	for _, x := range c.inflight {
		for _, typ := range []packet.Type{packet.TypePuback, packet.TypePubrec, packet.TypePubcomp} {
			c.worker.Acknowledge(c.s, c.link, typ, x.packetID, 0)
		}
	}
	c.inflight = nil
	settle(m.r)
}

// name returns a topic name: one of a few that come again and again, one that never
// came before, or one that is too long to be worth remembering.
func (m *rulesModel) name(c *rulesClient) string {
	prefix := oneOf(m, "open/", "secret/", "open/", "secret/", c.Username+"/", "$x/", "$SYS/broker/")
	switch m.below(4) {
	case 0:
		return prefix + fmt.Sprint("fresh", m.messages)
	case 1:
		return prefix + strings.Repeat("long", 70)
	default:
		return prefix + oneOf(m, "1", "2", c.ClientID)
	}
}

func (m *rulesModel) publish(c *rulesClient) {
	m.messages++
	x := rulesMessage{
		topic: m.name(c), payload: fmt.Sprint(m.messages), qos: packet.QoS(m.below(3)), retain: m.below(4) == 0,
	}
	m.note("%v publishes %v", c, x)
	reason := m.send(c, x)
	if allowed := m.rules(c).Publishes(x.topic, byte(x.qos), x.retain); reason.IsError() == allowed {
		m.t.Errorf("%v publishes %v: %v, allowed %t", c, x, reason, allowed)
	}
	if reason.IsError() {
		return
	}
	for _, to := range m.clients {
		m.expect(c, to, x)
	}
	m.look(m.groups(x))
	if x.retain {
		m.retained[x.topic] = x
	}
}

// send publishes a message over the client's connection.
func (m *rulesModel) send(c *rulesClient, x rulesMessage) packet.ReasonCode {
	source := packet.Publish{QoS: x.qos, Retain: x.retain, Topic: []byte(x.topic), Payload: []byte(x.payload)}
	if x.qos > 0 {
		source.ID = 1
	}
	raw := source.Append(nil, packet.V5)
	h, n, err := packet.ParseHeader(raw)
	if err != nil {
		m.t.Fatal(err)
	}
	p := decoded(m.t, h, raw[n:])
	if x.qos == packet.QoS2 {
		c.worker.Receive(c.s, 1)
		defer c.worker.Release(c.s, 1)
	}
	return c.worker.Publish(&c.from, p, raw)
}

// matching returns the subscriptions to a topic that are granted and not shared,
// with the quality of service that they are granted with.
func (m *rulesModel) matching(c *rulesClient, name string) (all []rulesSubscription) {
	for filter, sub := range c.subs {
		_, _, shared, _ := topic.ParseShared(filter)
		if q, granted := m.granted(c, filter, sub.qos); granted && !shared && topic.Match(filter, name) {
			sub.qos = q
			all = append(all, sub)
		}
	}
	return all
}

// expect expects x to come to a client by its subscriptions that are not shared.
func (m *rulesModel) expect(from, to *rulesClient, x rulesMessage) {
	all := m.matching(to, x.topic)
	if len(all) == 0 || !m.rules(to).Receives("", x.topic) {
		return
	}
	most, noLocal, keeps, ids := packet.QoS0, true, false, []uint32{}
	for _, sub := range all {
		most, noLocal, keeps, ids = max(most, sub.qos), noLocal && sub.noLocal, keeps || sub.keeps, append(ids, sub.id)
	}
	if noLocal && from == to {
		return
	}
	x.qos, x.retain, x.ids = min(x.qos, most), x.retain && keeps, listed(ids...)
	m.comes(to, x)
}

// comes expects x at a client that is connected, or lets it wait for one that is not.
func (m *rulesModel) comes(to *rulesClient, x rulesMessage) {
	switch {
	case to.link != nil:
		to.expected = append(to.expected, x)
	case to.durable && x.qos > 0:
		to.queue = append(to.queue, x)
	}
}

// candidate is a member of a shared subscription who may get a message.
type candidate struct {
	*rulesClient
	message rulesMessage
}

// groups returns for each shared subscription that matches x who may get it: one of
// them does. Members that are connected come before those that are not.
func (m *rulesModel) groups(x rulesMessage) (all [][]candidate) {
	members := map[string][]candidate{}
	for _, c := range m.clients {
		for filter, sub := range c.subs {
			group, rest, shared, _ := topic.ParseShared(filter)
			q, granted := m.granted(c, filter, sub.qos)
			if !shared || !granted || !topic.Match(rest, x.topic) || !m.rules(c).Receives(group, x.topic) {
				continue
			}
			y := x
			y.qos, y.retain, y.ids, y.shared = min(x.qos, q), x.retain && sub.keeps, listed(sub.id), filter
			members[filter] = append(members[filter], candidate{c, y})
		}
	}
	for _, some := range members {
		online := slices.DeleteFunc(slices.Clone(some), func(c candidate) bool { return c.link == nil })
		if len(online) > 0 {
			some = online
		}
		all = append(all, some)
	}
	return all
}

// look compares what came with what was expected, and one message for each of the
// groups besides.
func (m *rulesModel) look(groups [][]candidate) {
	m.t.Helper()
	settle(m.r)
	extra := map[*rulesClient][]rulesMessage{}
	for _, c := range m.clients {
		extra[c] = m.unexpected(c)
	}
	if !m.assign(groups, extra) {
		m.t.Errorf("came besides: %v; of each of these one was to come: %v", extra, groups)
	}
}

// unexpected returns what came to a client, or waits for it, and was not expected.
// What was expected has to be there.
func (m *rulesModel) unexpected(c *rulesClient) (extra []rulesMessage) {
	m.t.Helper()
	if c.link == nil {
		if c.s != nil {
			waiting, _ := c.s.session.Queue()
			extra = make([]rulesMessage, waiting-len(c.queue)) // of content that nobody knows
		}
		return extra
	}
	came, releases := m.received(c)
	for _, want := range c.expected {
		i := slices.IndexFunc(came, func(got rulesMessage) bool { return got.String() == want.String() })
		if i < 0 {
			m.t.Errorf("%v: %v does not come; there are %v", c, want, came)
			continue
		}
		m.sent(c, want, came[i])
		came = slices.Delete(came, i, i+1)
	}
	if releases != c.releases {
		m.t.Errorf("%v gets %d PUBREL, want %d", c, releases, c.releases)
	}
	c.expected, c.releases = nil, 0
	return came
}

// sent notes a message that the client has to acknowledge.
func (m *rulesModel) sent(c *rulesClient, want, got rulesMessage) {
	if want.packetID = got.packetID; got.qos > 0 {
		c.inflight = append(c.inflight, want)
	}
}

func (m *rulesModel) received(c *rulesClient) (all []rulesMessage, releases int) {
	c.link.each(m.t, func(h packet.Header, body []byte) {
		if h.Type == packet.TypePublish {
			p := decoded(m.t, h, body)
			all = append(all, rulesMessage{
				topic: string(p.Topic), payload: string(p.Payload), qos: p.QoS, retain: p.Retain, dup: p.Dup,
				ids: listed(p.Properties.SubscriptionIDs...), packetID: p.ID,
			})
		}
		if h.Type == packet.TypePubrel {
			var p packet.Ack
			if err := p.Decode(packet.V5, h.Type, body); err != nil {
				m.t.Fatal(err)
			}
			c.worker.Acknowledge(c.s, c.link, packet.TypePubcomp, p.ID, 0)
			releases++
		}
	})
	c.link.frames = nil
	return all, releases
}

// assign finds for each group a candidate to whom its message came, so that nothing
// is left.
func (m *rulesModel) assign(groups [][]candidate, extra map[*rulesClient][]rulesMessage) bool {
	if len(groups) == 0 {
		for _, left := range extra {
			if len(left) > 0 {
				return false
			}
		}
		return true
	}
	for _, c := range groups[0] {
		if c.link == nil && c.message.qos == packet.QoS0 {
			return m.assign(groups[1:], extra) // lost, to whomever it went
		}
		before := extra[c.rulesClient]
		i := slices.IndexFunc(before, func(got rulesMessage) bool {
			return c.link == nil || got.String() == c.message.String()
		})
		if i < 0 {
			continue
		}
		extra[c.rulesClient] = slices.Delete(slices.Clone(before), i, i+1)
		if m.assign(groups[1:], extra) {
			if c.link == nil {
				c.queue = append(c.queue, c.message)
			} else {
				m.sent(c.rulesClient, c.message, before[i])
			}
			return true
		}
		extra[c.rulesClient] = before
	}
	return false
}
