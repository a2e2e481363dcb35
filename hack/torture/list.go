package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// list is a flag whose value are some of all there is, by name and separated by
// commas. One may come more than once.
type list[T fmt.Stringer] struct {
	all, chosen []T
}

func (l *list[T]) String() string {
	var names []string
	for _, v := range l.chosen {
		names = append(names, v.String())
	}
	return strings.Join(names, ",")
}

// Set chooses.
func (l *list[T]) Set(names string) error {
	l.chosen = nil
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(l.all, func(v T) bool { return v.String() == name })
		if i < 0 {
			return fmt.Errorf("there is no %q", name)
		}
		l.chosen = append(l.chosen, l.all[i])
	}
	return nil
}

// turn returns the i-th of those chosen, which begin again after the last.
func (l *list[T]) turn(i int) T { return l.chosen[i%len(l.chosen)] }

var versions = []packet.Version{packet.V311, packet.V5}

// quality is a quality of service as a flag has it.
type quality packet.QoS

func (q quality) String() string { return fmt.Sprint(byte(q)) }

var qualities = []quality{quality(packet.QoS0), quality(packet.QoS1), quality(packet.QoS2)}
