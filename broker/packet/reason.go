package packet

// ReasonCode is the result of an operation in MQTT 5. From 0x80 on it is a
// failure. Values of MQTT 3.x are translated when packets are decoded and
// encoded, so that the rest of the broker knows reason codes only.
type ReasonCode byte

// The reason codes of MQTT 5. Three names share the value 0.
const (
	ReasonSuccess                             ReasonCode = 0x00
	ReasonNormalDisconnection                 ReasonCode = 0x00
	ReasonGrantedQoS0                         ReasonCode = 0x00
	ReasonGrantedQoS1                         ReasonCode = 0x01
	ReasonGrantedQoS2                         ReasonCode = 0x02
	ReasonDisconnectWithWill                  ReasonCode = 0x04
	ReasonNoMatchingSubscribers               ReasonCode = 0x10
	ReasonNoSubscriptionExisted               ReasonCode = 0x11
	ReasonContinueAuthentication              ReasonCode = 0x18
	ReasonReauthenticate                      ReasonCode = 0x19
	ReasonUnspecifiedError                    ReasonCode = 0x80
	ReasonMalformedPacket                     ReasonCode = 0x81
	ReasonProtocolError                       ReasonCode = 0x82
	ReasonImplementationSpecificError         ReasonCode = 0x83
	ReasonUnsupportedProtocolVersion          ReasonCode = 0x84
	ReasonClientIdentifierNotValid            ReasonCode = 0x85
	ReasonBadUserNameOrPassword               ReasonCode = 0x86
	ReasonNotAuthorized                       ReasonCode = 0x87
	ReasonServerUnavailable                   ReasonCode = 0x88
	ReasonServerBusy                          ReasonCode = 0x89
	ReasonBanned                              ReasonCode = 0x8a
	ReasonServerShuttingDown                  ReasonCode = 0x8b
	ReasonBadAuthenticationMethod             ReasonCode = 0x8c
	ReasonKeepAliveTimeout                    ReasonCode = 0x8d
	ReasonSessionTakenOver                    ReasonCode = 0x8e
	ReasonTopicFilterInvalid                  ReasonCode = 0x8f
	ReasonTopicNameInvalid                    ReasonCode = 0x90
	ReasonPacketIdentifierInUse               ReasonCode = 0x91
	ReasonPacketIdentifierNotFound            ReasonCode = 0x92
	ReasonReceiveMaximumExceeded              ReasonCode = 0x93
	ReasonTopicAliasInvalid                   ReasonCode = 0x94
	ReasonPacketTooLarge                      ReasonCode = 0x95
	ReasonMessageRateTooHigh                  ReasonCode = 0x96
	ReasonQuotaExceeded                       ReasonCode = 0x97
	ReasonAdministrativeAction                ReasonCode = 0x98
	ReasonPayloadFormatInvalid                ReasonCode = 0x99
	ReasonRetainNotSupported                  ReasonCode = 0x9a
	ReasonQoSNotSupported                     ReasonCode = 0x9b
	ReasonUseAnotherServer                    ReasonCode = 0x9c
	ReasonServerMoved                         ReasonCode = 0x9d
	ReasonSharedSubscriptionsNotSupported     ReasonCode = 0x9e
	ReasonConnectionRateExceeded              ReasonCode = 0x9f
	ReasonMaximumConnectTime                  ReasonCode = 0xa0
	ReasonSubscriptionIdentifiersNotSupported ReasonCode = 0xa1
	ReasonWildcardSubscriptionsNotSupported   ReasonCode = 0xa2
)

// The packets that carry a reason code, as bits 1<<Type.
const (
	inConnack    = 1 << TypeConnack
	inPuback     = 1<<TypePuback | 1<<TypePubrec
	inPubrel     = 1<<TypePubrel | 1<<TypePubcomp
	inSuback     = 1 << TypeSuback
	inUnsuback   = 1 << TypeUnsuback
	inDisconnect = 1 << TypeDisconnect
	inAuth       = 1 << TypeAuth
)

// reasons is table 2-6 of MQTT 5: the name of each code and the packets that
// may carry it.
var reasons = [256]struct {
	name string
	in   uint16
}{
	ReasonSuccess:                             {"success", inConnack | inPuback | inPubrel | inSuback | inUnsuback | inDisconnect | inAuth},
	ReasonGrantedQoS1:                         {"granted QoS 1", inSuback},
	ReasonGrantedQoS2:                         {"granted QoS 2", inSuback},
	ReasonDisconnectWithWill:                  {"disconnect with will message", inDisconnect},
	ReasonNoMatchingSubscribers:               {"no matching subscribers", inPuback},
	ReasonNoSubscriptionExisted:               {"no subscription existed", inUnsuback},
	ReasonContinueAuthentication:              {"continue authentication", inAuth},
	ReasonReauthenticate:                      {"re-authenticate", inAuth},
	ReasonUnspecifiedError:                    {"unspecified error", inConnack | inPuback | inSuback | inUnsuback | inDisconnect},
	ReasonMalformedPacket:                     {"malformed packet", inConnack | inDisconnect},
	ReasonProtocolError:                       {"protocol error", inConnack | inDisconnect},
	ReasonImplementationSpecificError:         {"implementation specific error", inConnack | inPuback | inSuback | inUnsuback | inDisconnect},
	ReasonUnsupportedProtocolVersion:          {"unsupported protocol version", inConnack},
	ReasonClientIdentifierNotValid:            {"client identifier not valid", inConnack},
	ReasonBadUserNameOrPassword:               {"bad user name or password", inConnack},
	ReasonNotAuthorized:                       {"not authorized", inConnack | inPuback | inSuback | inUnsuback | inDisconnect},
	ReasonServerUnavailable:                   {"server unavailable", inConnack},
	ReasonServerBusy:                          {"server busy", inConnack | inDisconnect},
	ReasonBanned:                              {"banned", inConnack},
	ReasonServerShuttingDown:                  {"server shutting down", inDisconnect},
	ReasonBadAuthenticationMethod:             {"bad authentication method", inConnack | inDisconnect},
	ReasonKeepAliveTimeout:                    {"keep alive timeout", inDisconnect},
	ReasonSessionTakenOver:                    {"session taken over", inDisconnect},
	ReasonTopicFilterInvalid:                  {"topic filter invalid", inSuback | inUnsuback | inDisconnect},
	ReasonTopicNameInvalid:                    {"topic name invalid", inConnack | inPuback | inDisconnect},
	ReasonPacketIdentifierInUse:               {"packet identifier in use", inPuback | inSuback | inUnsuback},
	ReasonPacketIdentifierNotFound:            {"packet identifier not found", inPubrel},
	ReasonReceiveMaximumExceeded:              {"receive maximum exceeded", inDisconnect},
	ReasonTopicAliasInvalid:                   {"topic alias invalid", inDisconnect},
	ReasonPacketTooLarge:                      {"packet too large", inConnack | inDisconnect},
	ReasonMessageRateTooHigh:                  {"message rate too high", inDisconnect},
	ReasonQuotaExceeded:                       {"quota exceeded", inConnack | inPuback | inSuback | inDisconnect},
	ReasonAdministrativeAction:                {"administrative action", inDisconnect},
	ReasonPayloadFormatInvalid:                {"payload format invalid", inConnack | inPuback | inDisconnect},
	ReasonRetainNotSupported:                  {"retain not supported", inConnack | inDisconnect},
	ReasonQoSNotSupported:                     {"QoS not supported", inConnack | inDisconnect},
	ReasonUseAnotherServer:                    {"use another server", inConnack | inDisconnect},
	ReasonServerMoved:                         {"server moved", inConnack | inDisconnect},
	ReasonSharedSubscriptionsNotSupported:     {"shared subscriptions not supported", inSuback | inDisconnect},
	ReasonConnectionRateExceeded:              {"connection rate exceeded", inConnack | inDisconnect},
	ReasonMaximumConnectTime:                  {"maximum connect time", inDisconnect},
	ReasonSubscriptionIdentifiersNotSupported: {"subscription identifiers not supported", inSuback | inDisconnect},
	ReasonWildcardSubscriptionsNotSupported:   {"wildcard subscriptions not supported", inSuback | inDisconnect},
}

// String returns the name of the code in lower case, "not authorized".
func (r ReasonCode) String() string {
	if name := reasons[r].name; name != "" {
		return name
	}
	return "reason code " + r.hex()
}

// IsError reports whether the code is a failure.
func (r ReasonCode) IsError() bool { return r >= 0x80 }

// ConnackV3 returns the CONNACK return code of MQTT 3.x that is nearest to r:
// 0 accepted, 1 unacceptable protocol version, 2 identifier rejected, 3 server
// unavailable, 4 bad user name or password, 5 not authorized. Failures that
// MQTT 3.x has no code for are 3.
func (r ReasonCode) ConnackV3() byte {
	switch r {
	case ReasonUnsupportedProtocolVersion:
		return 1
	case ReasonClientIdentifierNotValid:
		return 2
	case ReasonBadUserNameOrPassword:
		return 4
	case ReasonNotAuthorized, ReasonBanned, ReasonBadAuthenticationMethod:
		return 5
	default:
		if r.IsError() {
			return 3
		}
		return 0
	}
}

// connackReasons are the reason codes of the CONNACK return codes of MQTT 3.x.
var connackReasons = [...]ReasonCode{
	ReasonSuccess,
	ReasonUnsupportedProtocolVersion,
	ReasonClientIdentifierNotValid,
	ReasonServerUnavailable,
	ReasonBadUserNameOrPassword,
	ReasonNotAuthorized,
}

// SubackV3 returns the SUBACK return code of MQTT 3.x: the granted QoS, or
// 0x80 for every failure.
func (r ReasonCode) SubackV3() byte {
	if r.IsError() {
		return 0x80
	}
	return byte(r)
}

// within returns what a packet of type t says for r: r itself, or the nearest code
// that the specification lists for it. A broker that has chosen a code for one
// packet and answers with another breaks no client by it.
func (r ReasonCode) within(t Type) ReasonCode {
	switch {
	case r.allowedIn(t):
		return r
	case !r.IsError():
		return ReasonSuccess
	case ReasonUnspecifiedError.allowedIn(t):
		return ReasonUnspecifiedError
	case ReasonPacketIdentifierNotFound.allowedIn(t):
		return ReasonPacketIdentifierNotFound
	default: // AUTH has no failures
		return ReasonSuccess
	}
}

func (r ReasonCode) allowedIn(t Type) bool { return reasons[r].in>>t&1 != 0 }

func (r ReasonCode) hex() string {
	const digits = "0123456789abcdef"
	return "0x" + string([]byte{digits[r>>4], digits[r&0x0f]})
}
