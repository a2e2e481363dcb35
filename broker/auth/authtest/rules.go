// Package authtest evaluates access rules as docs/semantics.md states them: it
// looks at every rule for every question, and keeps nothing between two of them.
// Tests hold the engine's answers, which come from indexes and caches, against it.
package authtest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Identity is who asks.
type Identity struct {
	Username  string
	Anonymous bool
	ClientID  string
}

// Rules are those of Config as they apply to Identity. Whether the identity may
// connect at all is not asked.
type Rules struct {
	config.Config
	Identity
}

func (o *Rules) String() string {
	return fmt.Sprintf("%+v of default %q, policies %+v:", o.Identity, o.Settings.DefaultEffect, o.Access.Policies)
}

// Publishes reports whether a message may be published to a topic.
func (o *Rules) Publishes(name string, qos byte, retain bool) bool {
	if strings.HasPrefix(name, "$SYS/") {
		return false
	}
	return o.judge(config.ActionPublish, func(group, filter string) bool {
		return group == "" && topic.Match(filter, name)
	}, func(r *config.Rule) bool {
		return (r.MaxQoS == nil || qos <= *r.MaxQoS) && (!retain || r.Retain != config.Deny)
	})
}

// Subscribes reports whether a subscription, which may be shared, is granted at a
// quality of service.
func (o *Rules) Subscribes(filter string, qos byte) bool {
	group, rest, _, err := topic.ParseShared(filter)
	if err != nil {
		return false
	}
	return o.judge(config.ActionSubscribe, func(g, f string) bool {
		return (g == "" || g == group) && topic.Covers(f, rest)
	}, func(r *config.Rule) bool {
		return r.MaxQoS == nil || qos <= *r.MaxQoS
	})
}

// Receives reports whether no rule withholds the messages of a topic from the
// subscriptions of a group; "" is none.
func (o *Rules) Receives(group, name string) bool {
	ok := true
	o.each(config.ActionSubscribe, func(r *config.Rule, g, f string) {
		if r.Effect == config.Deny && (g == "" || g == group) && topic.Match(f, name) {
			ok = false
		}
	})
	return ok
}

// judge applies the rules that concern: Deny wins, and the default effect stands in
// where none does.
func (o *Rules) judge(a config.Action, concerns func(group, filter string) bool, grants func(*config.Rule) bool) bool {
	denied, allowed, matched := false, false, false
	o.each(a, func(r *config.Rule, group, filter string) {
		switch {
		case !concerns(group, filter):
		case r.Effect == config.Deny:
			denied = true
		default:
			matched = true
			allowed = allowed || grants(r)
		}
	})
	return !denied && (allowed || !matched && o.Settings.DefaultEffect == config.Allow)
}

// each calls f with every topic filter of every rule for the identity, with its
// placeholders replaced.
func (o *Rules) each(action config.Action, f func(r *config.Rule, group, filter string)) {
	for i := range o.Access.Policies {
		y := &o.Access.Policies[i]
		if !o.isSubject(y) {
			continue
		}
		for j := range y.Rules {
			r := &y.Rules[j]
			for _, a := range r.Actions {
				if a != action && a != config.ActionAll {
					continue
				}
				for _, text := range r.Topics {
					if group, filter, ok := o.expand(text); ok {
						f(r, group, filter)
					}
				}
			}
		}
	}
}

func (o *Rules) isSubject(y *config.Policy) bool {
	if y.PlainIdentities && strings.ContainsAny(o.Username+o.ClientID, "/+#") {
		return false
	}
	if o.Anonymous {
		return y.Anonymous
	}
	return y.Authenticated || slices.Contains(y.Users, o.Username)
}

// expand returns the group and filter of a rule's topic, group "" for one that
// is not shared.
func (o *Rules) expand(text string) (group, filter string, ok bool) {
	tail, shared := strings.CutPrefix(text, "$share/")
	if shared {
		group, tail, _ = strings.Cut(tail, "/")
		text = tail
	}
	if strings.HasPrefix(text, "%u") && strings.HasPrefix(o.Username, "$") ||
		strings.HasPrefix(text, "%c") && strings.HasPrefix(o.ClientID, "$") {
		return "", "", false
	}
	for from, to := range map[string]string{"%u": o.Username, "%c": o.ClientID} {
		if !strings.Contains(group+"/"+text, from) {
			continue
		}
		if to == "" || strings.ContainsAny(to, "/+#") {
			return "", "", false
		}
		group, text = strings.ReplaceAll(group, from, to), strings.ReplaceAll(text, from, to)
	}
	return group, text, true
}
