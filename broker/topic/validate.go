package topic

import (
	"errors"
	"fmt"
	"strings"
)

// MaxLen is the greatest length of a topic name or filter in bytes
// ([MQTT-4.7.3-3]).
const MaxLen = 65535

// sharePrefix marks the filter of a shared subscription ([MQTT-4.8.2-1]).
const sharePrefix = "$share/"

// The reasons for which a name or a filter is refused. An *InvalidError wraps
// one of them.
var (
	ErrEmpty             = errors.New("empty")
	ErrTooLong           = errors.New("too long")
	ErrNull              = errors.New("contains U+0000")
	ErrWildcardInName    = errors.New("wildcard in a topic name")
	ErrWildcardNotAlone  = errors.New("wildcard is not alone in its level")
	ErrMultiLevelNotLast = errors.New("'#' is not the last level")
	ErrShareName         = errors.New("invalid share name")
	ErrShareFilter       = errors.New("share name without a topic filter")
)

// InvalidError says what is wrong with a topic name or filter. Its text is fit
// for the eyes of whoever wrote the topic.
type InvalidError struct {
	Reason error  // one of the Err variables of this package
	Topic  string // the refused text

	text string
}

func (e *InvalidError) Error() string { return e.text }

func (e *InvalidError) Unwrap() error { return e.Reason }

// ValidateName reports whether a PUBLISH packet or a will may carry the topic
// name. The error, if any, is an *InvalidError.
func ValidateName[T string | []byte](name T) error {
	if err := validateLength("topic name", name); err != nil {
		return err
	}
	for i := range len(name) {
		switch c := name[i]; c {
		case 0: // [MQTT-4.7.3-2]
			return invalid(ErrNull, name, "topic name %s contains the character U+0000")
		case '+', '#': // [MQTT-4.7.0-1], [MQTT-3.3.2-2]
			return invalid(ErrWildcardInName, name, "topic name %s contains the wildcard '"+string(c)+"'")
		}
	}
	return nil
}

// ValidateFilter reports whether the filter of a subscription that is not
// shared is well formed. The error, if any, is an *InvalidError.
func ValidateFilter[T string | []byte](filter T) error {
	if err := validateLength("topic filter", filter); err != nil {
		return err
	}
	for i := range len(filter) {
		switch c := filter[i]; c {
		case 0: // [MQTT-4.7.3-2]
			return invalid(ErrNull, filter, "topic filter %s contains the character U+0000")
		case '+', '#':
			if err := validateWildcard(filter, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// validateWildcard checks the place of the wildcard at filter[i].
func validateWildcard[T string | []byte](filter T, i int) error {
	c := filter[i]
	last := i == len(filter)-1
	if i > 0 && filter[i-1] != '/' || !last && filter[i+1] != '/' { // [MQTT-4.7.1-1], [MQTT-4.7.1-2]
		return invalid(ErrWildcardNotAlone, filter, "'"+string(c)+"' must stand alone in its level of topic filter %s")
	}
	if c == '#' && !last { // [MQTT-4.7.1-1]
		return invalid(ErrMultiLevelNotLast, filter, "'#' must be the last level of topic filter %s")
	}
	return nil
}

// ParseShared validates any filter that a SUBSCRIBE or UNSUBSCRIBE packet may
// carry. Of a shared subscription, $share/group/rest, it returns the parts and
// shared; of another one the filter itself as rest. The error, if any, is an
// *InvalidError; shared is true with it if the filter was meant to be shared.
func ParseShared(filter string) (group, rest string, shared bool, err error) {
	if !strings.HasPrefix(filter, sharePrefix) {
		return "", filter, false, ValidateFilter(filter)
	}
	if err := validateLength("topic filter", filter); err != nil {
		return "", "", true, err
	}
	group, rest, ok := strings.Cut(filter[len(sharePrefix):], "/")
	switch {
	case group == "": // [MQTT-4.8.2-1]
		err = invalid(ErrShareName, filter, "shared subscription %s has an empty share name")
	case strings.ContainsAny(group, "+#"): // [MQTT-4.8.2-2]
		err = invalid(ErrShareName, filter, "the share name of %s contains a wildcard")
	case strings.IndexByte(group, 0) >= 0: // [MQTT-4.7.3-2]
		err = invalid(ErrNull, filter, "the share name of %s contains the character U+0000")
	case !ok || rest == "": // [MQTT-4.8.2-2]
		err = invalid(ErrShareFilter, filter, "shared subscription %s has no topic filter after its share name")
	default:
		err = ValidateFilter(rest)
	}
	if err != nil {
		return "", "", true, err
	}
	return group, rest, true, nil
}

// cutShared splits a filter that ParseShared accepted.
func cutShared(filter string) (group, rest string) {
	if tail, ok := strings.CutPrefix(filter, sharePrefix); ok {
		if group, rest, ok := strings.Cut(tail, "/"); ok {
			return group, rest
		}
	}
	return "", filter
}

func validateLength[T string | []byte](kind string, topic T) error {
	switch {
	case len(topic) == 0: // [MQTT-4.7.3-1]
		return &InvalidError{Reason: ErrEmpty, text: kind + " is empty"}
	case len(topic) > MaxLen: // [MQTT-4.7.3-3]
		text := fmt.Sprintf("%s %s is %d bytes long, more than the %d that MQTT allows",
			kind, quote(string(topic)), len(topic), MaxLen)
		return &InvalidError{Reason: ErrTooLong, Topic: string(topic), text: text}
	}
	return nil
}

// invalid makes the error whose text is format with the quoted topic for %s.
func invalid[T string | []byte](reason error, topic T, format string) error {
	s := string(topic)
	return &InvalidError{Reason: reason, Topic: s, text: strings.Replace(format, "%s", quote(s), 1)}
}

// quote quotes a topic and cuts one that would drown the message around it.
func quote(topic string) string {
	const most = 128
	if len(topic) <= most {
		return fmt.Sprintf("%q", topic)
	}
	return fmt.Sprintf("%q...", topic[:most])
}
