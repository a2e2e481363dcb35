package bench

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

func TestOptionsFillInTheScenario(t *testing.T) {
	tests := map[string]struct {
		options                 Options
		publishers, subscribers int
		copies, window          int
	}{
		"pub":                   {Options{Scenario: Publish}, 50, 0, 0, DefaultWindow},
		"sub":                   {Options{Scenario: Subscribe, Connections: 7}, 0, 7, 0, DefaultWindow},
		"pairs":                 {Options{Scenario: Pair, Connections: 3}, 3, 3, 1, DefaultWindow},
		"fan-in":                {Options{Scenario: FanIn, Subscribers: 2}, 100, 2, 2, DefaultWindow},
		"fan-out":               {Options{Scenario: FanOut, Connections: 20, Publishers: 4}, 4, 20, 20, DefaultWindow},
		"wildcard with a rate":  {Options{Scenario: Wildcard, Rate: 5}, 100, 100, 1, DefaultRateWindow},
		"idle":                  {Options{Scenario: Idle, Connections: 9}, 0, 9, 0, DefaultWindow},
		"retained":              {Options{Scenario: Retained, Connections: 2}, 10, 2, 2, DefaultWindow},
		"offline":               {Options{Scenario: Offline, Connections: 3, Publishers: 4}, 4, 3, 3, DefaultWindow},
		"a window of their own": {Options{Scenario: Pair, Rate: 5, Window: 3}, 50, 50, 1, 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := test.options
			if err := o.complete(); err != nil {
				t.Fatal(err)
			}
			if o.Publishers != test.publishers || o.Subscribers != test.subscribers || o.copies() != test.copies || o.Window != test.window {
				t.Errorf("%d publishers, %d subscribers, %d copies, window %d", o.Publishers, o.Subscribers, o.copies(), o.Window)
			}
			if o.Version != packet.V311 || o.Size != DefaultSize || o.URL != DefaultURL {
				t.Errorf("version %v, size %d, URL %s", o.Version, o.Size, o.URL)
			}
		})
	}
}

func TestOptionsRefuseWhatCannotBe(t *testing.T) {
	tests := map[string]struct {
		change func(*Options)
		want   string
	}{
		"an unknown scenario":         {func(o *Options) { o.Scenario = "flood" }, `scenario "flood"`},
		"pairs that are none":         {func(o *Options) { o.Publishers, o.Subscribers = 2, 3 }, "are not pairs"},
		"subscribers of pub":          {func(o *Options) { o.Scenario, o.Subscribers = Publish, 3 }, "has no subscribers"},
		"publishers of idle":          {func(o *Options) { o.Scenario, o.Publishers = Idle, 3 }, "has no publishers"},
		"too many to account for":     {func(o *Options) { o.Scenario, o.Publishers, o.Subscribers = FanIn, 1<<20, 1<<20 }, "cannot be accounted for"},
		"a scheme of others":          {func(o *Options) { o.URL = "http://localhost" }, "use mqtt"},
		"no host":                     {func(o *Options) { o.URL = "mqtt://:1883" }, "use mqtt"},
		"credentials in the URL":      {func(o *Options) { o.URL = "mqtt://me:secret@localhost" }, "use mqtt"},
		"MQTT 3.1":                    {func(o *Options) { o.Version = packet.V31 }, "use 3.1.1 or 5"},
		"a password alone":            {func(o *Options) { o.Password = "x" }, "takes MQTT 5"},
		"QoS 3":                       {func(o *Options) { o.QoS = 3 }, "QoS 3"},
		"half a second of keep alive": {func(o *Options) { o.KeepAlive = time.Second / 2 }, "whole seconds"},
		"a username that is too long": {func(o *Options) { o.Username = strings.Repeat("u", 70000) }, "longer than MQTT"},
		"no room for the stamp":       {func(o *Options) { o.Size = 8 }, "a stamp of 20 bytes"},
		"a payload beyond MQTT":       {func(o *Options) { o.Size = 1 << 28 }, "less than 256 MiB"},
		"a window beyond identifiers": {func(o *Options) { o.Window = 70000 }, "window 70000"},
		"a negative rate":             {func(o *Options) { o.Rate = -1 }, "negative"},
		"a negative duration":         {func(o *Options) { o.Duration = -1 }, "negative"},
		"an odd number of filters":    {func(o *Options) { o.Filters = 3 }, "even"},
		"fewer filters than clients":  {func(o *Options) { o.Scenario, o.Filters = Wildcard, 2 }, "too few"},
		"a wildcard to publish to":    {func(o *Options) { o.Topic = "a/+" }, "wildcard"},
		"nobody to persist":           {func(o *Options) { o.Scenario, o.Persistent = Publish, true }, "has no subscribers"},
		"a number of messages":        {func(o *Options) { o.Messages = 5 }, "as long as it is told"},
		"less than one for each":      {func(o *Options) { o.Scenario, o.Messages = Offline, 9 }, "use 10"},
		"more than the digits tell":   {func(o *Options) { o.Scenario, o.Messages = Retained, 1e6+1 }, "to 1000000"},
		"a rate of storing":           {func(o *Options) { o.Scenario, o.Rate = Retained, 5 }, "leave out the rate"},
		"half a level in fan-in":      {func(o *Options) { o.Scenario, o.Topic = FanIn, "a/x%i" }, "level of its own"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := Options{Scenario: Pair}
			test.change(&o)
			if err := o.complete(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	for raw, want := range map[string]target{
		"mqtt://a":          {host: "a", address: "a:1883", path: "/mqtt"},
		"mqtts://a":         {host: "a", address: "a:8883", path: "/mqtt", tls: true},
		"ws://a:80/x?y=1":   {host: "a", address: "a:80", path: "/x?y=1", webSocket: true},
		"wss://[::1]":       {host: "::1", address: "[::1]:443", path: "/mqtt", tls: true, webSocket: true},
		"mqtt://10.0.0.1:9": {host: "10.0.0.1", address: "10.0.0.1:9", path: "/mqtt"},
	} {
		if got, err := parseTarget(raw); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", raw, got, err, want)
		}
	}
}

// Each message of the scenario wildcard matches one filter, and that is the one
// whose subscriber it is counted for.
func TestWalkStepsOnTheFilters(t *testing.T) {
	o := Options{Scenario: Wildcard, Filters: 20, Subscribers: 4, Publishers: 2, Topic: "x/y"}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	for number := range 2 {
		p := newPublisher(&o, number)
		visited := map[int]bool{}
		for range 10 {
			filter := p.walk.step(p.frame)
			visited[filter] = true
			var m packet.Publish
			h, n, err := packet.ParseHeader(p.frame)
			if err == nil {
				err = m.Decode(packet.V311, h.Flags, p.frame[n:])
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := wildcardFilter("x/y", filter); !matches(got, string(m.Topic)) {
				t.Fatalf("topic %s does not match %s", m.Topic, got)
			}
			if !slices.Contains(filters(&o, filter%o.Subscribers), wildcardFilter("x/y", filter)) {
				t.Fatalf("filter %d is not that of subscriber %d", filter, filter%o.Subscribers)
			}
		}
		if len(visited) != 10 {
			t.Errorf("publisher %d visits %d of its 10 filters", number, len(visited))
		}
	}
}

// matches compares level by level; a trailing # stands for any rest.
func matches(filter, topic string) bool {
	f, levels := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, l := range f {
		if l == "#" {
			return true
		}
		if i >= len(levels) || l != "+" && l != levels[i] {
			return false
		}
	}
	return len(f) == len(levels)
}
