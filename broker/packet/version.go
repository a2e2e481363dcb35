package packet

import "strconv"

// Version is a protocol level as it stands in CONNECT.
//
// Everything in this package that depends on the version takes every level
// from V5 on as MQTT 5 and every level below as MQTT 3.x.
type Version byte

// The versions that the codec speaks.
const (
	V31  Version = 3 // MQTT 3.1, protocol name MQIsdp
	V311 Version = 4 // MQTT 3.1.1
	V5   Version = 5 // MQTT 5.0
)

// String returns the version as people write it, "3.1.1".
func (v Version) String() string {
	switch v {
	case V31:
		return "3.1"
	case V311:
		return "3.1.1"
	case V5:
		return "5.0"
	}
	return "protocol level " + strconv.Itoa(int(v))
}

// protocolName returns the name that CONNECT carries for v.
func (v Version) protocolName() string {
	if v == V31 {
		return "MQIsdp"
	}
	return "MQTT"
}
