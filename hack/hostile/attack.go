package main

import "context"

// attack is what hostile clients do to a broker.
type attack struct {
	name string
	what string // for people
	// settings are lines of YAML below the Broker's spec, beyond the defaults:
	// what the attack cannot do without. shortSettings take their place where
	// the attack is small.
	settings, shortSettings string
	descriptors             int   // that the broker may have; 0 is what the system gives
	volume                  int64 // size of its volume in MiB; 0 is the machine's disk
	// run attacks until ctx ends.
	run func(ctx context.Context, a *attacker) error
	// told are what the attackers have to be told, of which any spelling is
	// good, separated by "|": "CONNACK 0x97|closed".
	told []string
	// beside is what others do meanwhile and has to go well; nil is nothing. It
	// returns when ctx ends or before. finishes says that it has to come to an end
	// by itself.
	beside   func(ctx context.Context, b *bystander) error
	finishes bool
	// bounds are the most that there may be of what the broker counts, by the
	// names of its metrics; of a small attack and of another one.
	bounds map[string]bound
	// refuses says that the pair's messages may be refused, since what the
	// attack exhausts is what they need. None may be lost.
	refuses bool
	// restarts says that the broker has to start again on what the attack has
	// left.
	restarts bool
}

// bound is the most that there may be of something.
type bound struct{ full, short float64 }

func (b bound) of(short bool) float64 {
	if short {
		return b.short
	}
	return b.full
}

func (a *attack) spec(short bool) string {
	if short && a.shortSettings != "" {
		return a.shortSettings
	}
	return a.settings
}

// attacks in the order of the table.
var attacks = []attack{
	connections, connectionsOfOneAddress, bytewise, handshakes, slowHandshakes, usernames, anonymous,
	filters, sharedGroups, sharedMembers, sessions, expiry,
	properties, slowReaders, deaf,
	retainedFlood, retainedQuota, retainedFullDisk, fullDisk,
}

func find(name string) (attack, bool) {
	for _, a := range attacks {
		if a.name == name {
			return a, true
		}
	}
	return attack{}, false
}
