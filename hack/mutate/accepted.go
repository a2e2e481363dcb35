package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// accepted holds the faults that change nothing.
type accepted []*exception

// exception is one entry of the list: the key of a fault, and why nobody can notice it.
type exception struct {
	pkg, key, reason string
	line             int // in the list
	used             bool
}

// readAccepted reads the list. Its entries are separated by an empty line; each is what this
// program prints of a fault, the line with the place left out, and the reason:
//
//	broker/topic (*bucket).grow
//	- if n > 8 {
//	+ if n >= 8 {
//	The table grows one entry earlier.
//
// Lines that begin with # are comments.
func readAccepted(path string) (accepted, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	list, err := parseAccepted(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return list, nil
}

func parseAccepted(text string) (accepted, error) {
	var list accepted
	var block []string
	begin := 0
	number := 0
	for line := range strings.Lines(text + "\n\n") {
		number++
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
		case line != "":
			if len(block) == 0 {
				begin = number
			}
			block = append(block, line)
		case len(block) > 0:
			e, err := parseException(block)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", begin, err)
			}
			e.line = begin
			list = append(list, e)
			block = nil
		}
	}
	return list, nil
}

func parseException(block []string) (*exception, error) {
	pkg, function, ok := strings.Cut(block[0], " ")
	if !ok {
		return nil, errors.New("an entry begins with a package and a function")
	}
	var without, with, reason []string
	for _, line := range block[1:] {
		mark, rest, _ := strings.Cut(line, " ")
		switch {
		case len(reason) == 0 && mark == "-":
			without = append(without, rest)
		case len(reason) == 0 && mark == "+":
			with = append(with, rest)
		default:
			reason = append(reason, line)
		}
	}
	if len(without) == 0 || len(reason) == 0 {
		return nil, errors.New("an entry has the lines of a fault and a reason")
	}
	return &exception{
		pkg: pkg, key: keyOf(pkg, function, without, with), reason: strings.Join(reason, " "),
	}, nil
}

// of returns the entries of a package.
func (a accepted) of(pkg string) accepted {
	var own accepted
	for _, e := range a {
		if e.pkg == pkg {
			own = append(own, e)
		}
	}
	return own
}

// apply marks the faults of a package that are in its list. An entry that fits none is an error:
// the code has changed, and the reason is to be looked at again.
func (a accepted) apply(faults []*fault) error {
	byKey := make(map[string]*exception, len(a))
	for _, e := range a {
		byKey[e.key] = e
	}
	for _, f := range faults {
		if e := byKey[f.key()]; e != nil {
			f.accepted, e.used = true, true
		}
	}
	var errs []error
	for _, e := range a {
		if !e.used {
			errs = append(errs, fmt.Errorf("line %d of the accepted faults fits nothing any longer, or is there twice:\n%s", e.line, e.key))
		}
	}
	return errors.Join(errs...)
}
