package packet

// golden is a packet, written by hand, and what it means.
type golden struct {
	name    string
	version Version
	hex     string
	packet  controlPacket
	whole   []int // lengths of a shorter body that is a valid packet too
}

func mapsTo(id PropertyID, set func(p *Properties)) Properties {
	return props(func(p *Properties) {
		set(p)
		p.Set(id)
	})
}

var goldens = []golden{
	{
		name: "CONNECT 3.1 with user name and password", version: V31,
		hex: `10 1a 0006'MQIsdp' 03 c2 003c 0002'id' 0002'me' 0004'pass'`,
		packet: &Connect{
			Version: V31, CleanStart: true, KeepAlive: 60, ClientID: []byte("id"),
			HasUsername: true, Username: []byte("me"), HasPassword: true, Password: []byte("pass"),
		},
		whole: []int{16, 20}, // the flags may promise more than there is
	},
	{
		name: "CONNECT 3.1.1 without options", version: V311,
		hex:    `10 0c 0004'MQTT' 04 00 0000 0000`,
		packet: &Connect{Version: V311},
	},
	{
		// The variable header of the example in 3.1.1, section 3.1.2.11.
		name: "CONNECT 3.1.1 with everything", version: V311,
		hex: `10 23 0004'MQTT' 04 ce 000a 0003'cli' 0003'w/t' 0003 00ff01 0004'user' 0002 fffe`,
		packet: &Connect{
			Version: V311, CleanStart: true, KeepAlive: 10, ClientID: []byte("cli"),
			HasWill: true, Will: Will{QoS: 1, Topic: []byte("w/t"), Payload: []byte{0x00, 0xff, 0x01}},
			HasUsername: true, Username: []byte("user"), HasPassword: true, Password: []byte{0xff, 0xfe},
		},
	},
	{
		// The variable header of the example in 5.0, section 3.1.2.12.
		name: "CONNECT 5 with session expiry", version: V5,
		hex: `10 2f 0004'MQTT' 05 ce 000a 05 11 0000000a
			0003'cli' 05 18 00000005 0003'w/t' 0001'x' 0004'user' 0004'pass'`,
		packet: &Connect{
			Version: V5, CleanStart: true, KeepAlive: 10, ClientID: []byte("cli"),
			Properties: mapsTo(PropSessionExpiry, func(p *Properties) { p.SessionExpiry = 10 }),
			HasWill:    true,
			Will: Will{
				QoS: 1, Topic: []byte("w/t"), Payload: []byte("x"),
				Properties: mapsTo(PropWillDelay, func(p *Properties) { p.WillDelay = 5 }),
			},
			HasUsername: true, Username: []byte("user"), HasPassword: true, Password: []byte("pass"),
		},
	},
	{
		name: "CONNECT 5 with a password and no user name", version: V5,
		hex:    `10 10 0004'MQTT' 05 40 0000 00 0000 0001 07`,
		packet: &Connect{Version: V5, HasPassword: true, Password: []byte{7}},
	},
	{
		name: "CONNECT 5 with a retained will at QoS 2 and all its properties", version: V5,
		hex: `10 4e 0004'MQTT' 05 34 ffff
			23 11 ffffffff 15 0001'm' 16 0001'd' 17 00 19 01 21 000a 22 0005 26 0001'k' 0001'v' 27 00000100
			0000
			18 01 01 02 0000003c 03 0001'c' 08 0001'r' 09 0001 ff 18 00000001
			0001'w' 0000`,
		packet: &Connect{
			Version: V5, KeepAlive: 65535,
			Properties: props(func(p *Properties) {
				p.SessionExpiry = 0xffffffff
				p.AuthMethod = []byte("m")
				p.AuthData = []byte("d")
				p.RequestResponseInfo = 1
				p.ReceiveMaximum = 10
				p.TopicAliasMaximum = 5
				p.MaximumPacketSize = 256
				p.AddUserProperty([]byte("k"), []byte("v"))
				for _, id := range []PropertyID{
					PropSessionExpiry, PropAuthMethod, PropAuthData, PropRequestProblemInfo,
					PropRequestResponseInfo, PropReceiveMaximum, PropTopicAliasMaximum, PropMaximumPacketSize,
				} {
					p.Set(id)
				}
			}),
			HasWill: true,
			Will: Will{
				QoS: 2, Retain: true, Topic: []byte("w"),
				Properties: props(func(p *Properties) {
					p.PayloadFormat = 1
					p.MessageExpiry = 60
					p.ContentType = []byte("c")
					p.ResponseTopic = []byte("r")
					p.CorrelationData = []byte{0xff}
					p.WillDelay = 1
					for _, id := range []PropertyID{
						PropPayloadFormat, PropMessageExpiry, PropContentType,
						PropResponseTopic, PropCorrelationData, PropWillDelay,
					} {
						p.Set(id)
					}
				}),
			},
		},
	},

	{name: "CONNACK 3.1 not authorized", version: V31, hex: `20 02 00 05`, packet: &Connack{Reason: ReasonNotAuthorized}},
	{name: "CONNACK 3.1.1 with session", version: V311, hex: `20 02 01 00`, packet: &Connack{SessionPresent: true}},
	{name: "CONNACK 3.1.1 wrong version", version: V311, hex: `20 02 00 01`, packet: &Connack{Reason: ReasonUnsupportedProtocolVersion}},
	{name: "CONNACK 5 with session", version: V5, hex: `20 03 01 00 00`, packet: &Connack{SessionPresent: true}},
	{
		name: "CONNACK 5 with all properties", version: V5,
		hex: `20 46 00 00 43
			11 00000010 12 0002'id' 13 001e 15 0001'm' 16 0001'd' 1a 0001'i' 1c 0001's' 1f 0001'r'
			21 0100 22 0009 24 01 25 00 26 0001'k' 0000 26 0001'k' 0001'v' 27 00010000 28 01 29 00 2a 01`,
		packet: &Connack{Properties: props(func(p *Properties) {
			p.SessionExpiry = 16
			p.AssignedClientID = []byte("id")
			p.ServerKeepAlive = 30
			p.AuthMethod = []byte("m")
			p.AuthData = []byte("d")
			p.ResponseInfo = []byte("i")
			p.ServerReference = []byte("s")
			p.ReasonString = []byte("r")
			p.ReceiveMaximum = 256
			p.TopicAliasMaximum = 9
			p.MaximumQoS = 1
			p.MaximumPacketSize = 65536
			p.WildcardAvailable = 1
			p.SharedAvailable = 1
			p.AddUserProperty([]byte("k"), nil)
			p.AddUserProperty([]byte("k"), []byte("v"))
			for _, id := range []PropertyID{
				PropSessionExpiry, PropAssignedClientID, PropServerKeepAlive, PropAuthMethod, PropAuthData,
				PropResponseInfo, PropServerReference, PropReasonString, PropReceiveMaximum, PropTopicAliasMaximum,
				PropMaximumQoS, PropRetainAvailable, PropMaximumPacketSize, PropWildcardAvailable,
				PropSubscriptionIDAvailable, PropSharedAvailable,
			} {
				p.Set(id)
			}
		})},
	},

	{
		// The variable header of the example in 3.1.1, section 3.3.2.3.
		name: "PUBLISH 3.1.1 QoS 1", version: V311,
		hex:    `32 08 0003'a/b' 000a 'h'`,
		packet: &Publish{QoS: 1, ID: 10, Topic: []byte("a/b"), Payload: []byte("h")},
		whole:  []int{7},
	},
	{
		name: "PUBLISH 3.1 again, retained, QoS 2", version: V31,
		hex:    `3d 05 0001't' ffff`,
		packet: &Publish{Dup: true, QoS: 2, Retain: true, ID: 65535, Topic: []byte("t")},
	},
	{
		name: "PUBLISH 3.1.1 QoS 0 without payload", version: V311,
		hex:    `31 03 0001't'`,
		packet: &Publish{Retain: true, Topic: []byte("t")},
	},
	{
		name: "PUBLISH 5 without properties", version: V5,
		hex:    `32 08 0003'a/b' 000a 00`,
		packet: &Publish{QoS: 1, ID: 10, Topic: []byte("a/b")},
	},
	{
		name: "PUBLISH 5 with an alias instead of a topic", version: V5,
		hex: `30 07 0000 03 23 0102 'p'`,
		packet: &Publish{
			Payload:    []byte("p"),
			Properties: mapsTo(PropTopicAlias, func(p *Properties) { p.TopicAlias = 0x102 }),
		},
		whole: []int{6},
	},
	{
		name: "PUBLISH 5 with all properties", version: V5,
		hex: `34 34 0001't' 0001
			2e 01 00 02 00000001 03 0001'c' 08 0001'r' 09 0001'd' 0b 01 0b 8001 0b ffffff7f
			23 0001 26 0001'a' 0001'1' 26 0001'a' 0001'2'`,
		packet: &Publish{
			QoS: 2, ID: 1, Topic: []byte("t"),
			Properties: props(func(p *Properties) {
				p.MessageExpiry = 1
				p.ContentType = []byte("c")
				p.ResponseTopic = []byte("r")
				p.CorrelationData = []byte("d")
				p.TopicAlias = 1
				p.AddSubscriptionID(1)
				p.AddSubscriptionID(128)
				p.AddSubscriptionID(MaxLength)
				p.AddUserProperty([]byte("a"), []byte("1"))
				p.AddUserProperty([]byte("a"), []byte("2"))
				for _, id := range []PropertyID{
					PropPayloadFormat, PropMessageExpiry, PropContentType, PropResponseTopic,
					PropCorrelationData, PropTopicAlias,
				} {
					p.Set(id)
				}
			}),
		},
	},

	{name: "PUBACK 3.1.1", version: V311, hex: `40 02 1234`, packet: &Ack{Type: TypePuback, ID: 0x1234}},
	{name: "PUBREC 3.1", version: V31, hex: `50 02 0001`, packet: &Ack{Type: TypePubrec, ID: 1}},
	{name: "PUBREL 5", version: V5, hex: `62 02 0001`, packet: &Ack{Type: TypePubrel, ID: 1}},
	{name: "PUBCOMP 5", version: V5, hex: `70 02 0001`, packet: &Ack{Type: TypePubcomp, ID: 1}},
	{
		name: "PUBACK 5 with a reason", version: V5,
		hex:    `40 03 0001 10`,
		packet: &Ack{Type: TypePuback, ID: 1, Reason: ReasonNoMatchingSubscribers},
		whole:  []int{2},
	},
	{
		name: "PUBREC 5 with a reason and its text", version: V5,
		hex: `50 08 0001 97 04 1f 0001'x'`,
		packet: &Ack{
			Type: TypePubrec, ID: 1, Reason: ReasonQuotaExceeded,
			Properties: mapsTo(PropReasonString, func(p *Properties) { p.ReasonString = []byte("x") }),
		},
		whole: []int{2, 3},
	},
	{
		name: "PUBCOMP 5 with success and a user property", version: V5,
		hex: `70 0b 0001 00 07 26 0001'k' 0001'v'`,
		packet: &Ack{
			Type: TypePubcomp, ID: 1,
			Properties: props(func(p *Properties) { p.AddUserProperty([]byte("k"), []byte("v")) }),
		},
		whole: []int{2, 3},
	},

	{
		// The examples of 3.1.1, sections 3.8.2.1 and 3.8.3.1.
		name: "SUBSCRIBE 3.1.1", version: V311,
		hex: `82 0e 000a 0003'a/b' 01 0003'c/d' 02`,
		packet: &Subscribe{ID: 10, Subscriptions: []Subscription{
			{Filter: []byte("a/b"), QoS: 1},
			{Filter: []byte("c/d"), QoS: 2},
		}},
		whole: []int{8},
	},
	{
		name: "SUBSCRIBE 5 with options and identifier", version: V5,
		hex: `82 10 000a 03 0b 8001 0001'a' 05 0003'b/#' 2a`,
		packet: &Subscribe{
			ID: 10,
			Subscriptions: []Subscription{
				{Filter: []byte("a"), QoS: 1, NoLocal: true},
				{Filter: []byte("b/#"), QoS: 2, RetainAsPublished: true, RetainHandling: 2},
			},
			Properties: props(func(p *Properties) { p.AddSubscriptionID(128) }),
		},
		whole: []int{10},
	},
	{
		name: "SUBACK 3.1.1", version: V311,
		hex:    `90 06 000a 00 01 02 80`,
		packet: &Suback{ID: 10, Reasons: []ReasonCode{0, 1, 2, ReasonUnspecifiedError}},
		whole:  []int{3, 4, 5},
	},
	{
		name: "SUBACK 5", version: V5,
		hex:    `90 05 000a 00 02 a2`,
		packet: &Suback{ID: 10, Reasons: []ReasonCode{ReasonGrantedQoS2, ReasonWildcardSubscriptionsNotSupported}},
		whole:  []int{4},
	},
	{
		name: "UNSUBSCRIBE 3.1.1", version: V311,
		hex:    `a2 0c 000a 0003'a/b' 0003'c/d'`,
		packet: &Unsubscribe{ID: 10, Filters: [][]byte{[]byte("a/b"), []byte("c/d")}},
		whole:  []int{7},
	},
	{
		name: "UNSUBSCRIBE 5", version: V5,
		hex: `a2 0d 000a 07 26 0001'k' 0001'v' 0001'a'`,
		packet: &Unsubscribe{
			ID: 10, Filters: [][]byte{[]byte("a")},
			Properties: props(func(p *Properties) { p.AddUserProperty([]byte("k"), []byte("v")) }),
		},
	},
	{name: "UNSUBACK 3.1.1", version: V311, hex: `b0 02 000a`, packet: &Unsuback{ID: 10}},
	{
		name: "UNSUBACK 5", version: V5,
		hex: `b0 09 000a 04 1f 0001'r' 00 11`,
		packet: &Unsuback{
			ID: 10, Reasons: []ReasonCode{ReasonSuccess, ReasonNoSubscriptionExisted},
			Properties: mapsTo(PropReasonString, func(p *Properties) { p.ReasonString = []byte("r") }),
		},
		whole: []int{8},
	},

	{name: "PINGREQ", version: V311, hex: `c0 00`, packet: &Pingreq{}},
	{name: "PINGRESP", version: V5, hex: `d0 00`, packet: &Pingresp{}},
	{name: "DISCONNECT 3.1.1", version: V311, hex: `e0 00`, packet: &Disconnect{}},
	{name: "DISCONNECT 5", version: V5, hex: `e0 00`, packet: &Disconnect{}},
	{
		name: "DISCONNECT 5 with will", version: V5,
		hex:    `e0 01 04`,
		packet: &Disconnect{Reason: ReasonDisconnectWithWill},
		whole:  []int{0},
	},
	{
		name: "DISCONNECT 5 with session expiry", version: V5,
		hex: `e0 07 00 05 11 00000000`,
		packet: &Disconnect{
			Properties: mapsTo(PropSessionExpiry, func(*Properties) {}),
		},
		whole: []int{0, 1},
	},
	{name: "AUTH success", version: V5, hex: `f0 00`, packet: &Auth{}},
	{
		name: "AUTH with method and data", version: V5,
		hex: `f0 0f 18 0d 15 0005'SCRAM' 16 0002 00ff`,
		packet: &Auth{Reason: ReasonContinueAuthentication, Properties: props(func(p *Properties) {
			p.AuthMethod = []byte("SCRAM")
			p.AuthData = []byte{0x00, 0xff}
			p.Set(PropAuthMethod)
			p.Set(PropAuthData)
		})},
		whole: []int{0},
	},
}
