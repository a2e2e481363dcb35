package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TopicACL says what users of a Broker may publish and subscribe. The rules of
// all TopicACLs of a Broker count together, and Deny wins, whatever the order.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=topicacls,shortName=acl,categories=godwit
// +kubebuilder:printcolumn:name="Broker",type=string,JSONPath=`.spec.brokerRef.name`
// +kubebuilder:printcolumn:name="Users",type=integer,JSONPath=`.status.matchedUsers`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type TopicACL struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the ACL shall be.
	Spec TopicACLSpec `json:"spec"`
	// What the operator found. Written by the operator only.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status TopicACLStatus `json:"status,omitempty"`
}

// TopicACLSpec is what a TopicACL shall be.
type TopicACLSpec struct {
	// The Broker that the rules are for. Example: {name: edge}.
	BrokerRef BrokerRef `json:"brokerRef"`

	// Whom the rules are for: a client that any of the subjects means.
	// Example: [{user: dev-1}, {selector: {matchLabels: {fleet: eu}}}].
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Subjects []Subject `json:"subjects"`

	// Which of the subjects' clients the rules are for. Any: all of them; a rule with a
	// placeholder matches nothing where the identity holds '/', '+' or '#'. Plain: none
	// of the rules, with a placeholder or without, are for clients whose username or
	// client identifier holds one of these, as for the pattern lines of Mosquitto.
	// Default: Any. Example: Plain.
	// +optional
	// +kubebuilder:validation:Enum=Any;Plain
	Identities Identities `json:"identities,omitempty"`

	// What the subjects may do, and what they may not.
	// Example: [{effect: Allow, actions: [Publish], topics: ["telemetry/%u/#"]}].
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Rules []Rule `json:"rules"`
}

// Subject means one or many clients.
//
// +kubebuilder:validation:XValidation:rule="[has(self.user), has(self.selector), has(self.anonymous), has(self.authenticated)].exists_one(x, x)",message="set exactly one of user, selector, anonymous and authenticated in each subject"
type Subject struct {
	// The user of this username, at most 256 bytes of UTF-8. Example: dev-1.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f-\x9f]+$`
	User string `json:"user,omitempty"`

	// MQTTUsers of the same Broker, in this TopicACL's namespace, by their labels.
	// Example: {matchLabels: {fleet: eu}}.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// Clients that presented no credentials. Only true can be set.
	// +optional
	// +kubebuilder:validation:Enum=true
	Anonymous bool `json:"anonymous,omitempty"`

	// Every client that has authenticated. Only true can be set.
	// +optional
	// +kubebuilder:validation:Enum=true
	Authenticated bool `json:"authenticated,omitempty"`
}

// Identities says which clients rules are for, by their names.
type Identities string

// Identities that rules are for.
const (
	IdentitiesAny   Identities = "Any"
	IdentitiesPlain Identities = "Plain"
)

// Effect of a rule.
//
// +kubebuilder:validation:Enum=Allow;Deny
type Effect string

// Effects of a rule.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// Action that a rule speaks of.
//
// +kubebuilder:validation:Enum=Publish;Subscribe;All
type Action string

// Actions of a rule.
const (
	ActionPublish   Action = "Publish"
	ActionSubscribe Action = "Subscribe"
	ActionAll       Action = "All"
)

// Rule allows or denies actions on topics.
//
// +kubebuilder:validation:XValidation:rule="self.effect == 'Allow' || (!has(self.maxQoS) && !has(self.retain))",message="maxQoS and retain narrow what an Allow rule grants: leave them out of a Deny rule"
type Rule struct {
	// Allow or Deny. A Deny rule wins over every Allow rule.
	Effect Effect `json:"effect"`

	// Publish, Subscribe, or All for both.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	Actions []Action `json:"actions"`

	// Topic filters. '+' stands for one level and '#' for all that follow; neither
	// covers topics that begin with '$' from the first level. %u and %c stand for
	// one whole level: the username and the client identifier. A subscription is
	// allowed where one filter covers all that it asks for.
	// Example: ["telemetry/%u/#", "$share/w/jobs/#"].
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:Pattern=`^(#|([^+#/]*|[+])(/([^+#/]*|[+]))*(/#)?)$`
	Topics []string `json:"topics"`

	// Highest quality of service that an Allow rule grants: 0, 1 or 2. Default: 2.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2
	MaxQoS *int32 `json:"maxQoS,omitempty"`

	// Whether an Allow rule grants retained messages. Default: Allow.
	// +optional
	Retain Effect `json:"retain,omitempty"`
}

// TopicACLStatus is what the operator found.
type TopicACLStatus struct {
	// Generation of the spec that this status speaks of; -1 from the creation on
	// until the operator has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Accepted MQTTUsers that the subjects mean by name or label; anonymous and
	// authenticated do not count.
	// +optional
	MatchedUsers int32 `json:"matchedUsers"`

	// Rules that decide nothing, because others cover them: for all users that are
	// meant now, a denial, or a rule that allows as much. It is advice: where very
	// many rules speak of the same users and topics, not all of them are looked at,
	// and those that were not are not listed.
	// +optional
	// +listType=atomic
	ShadowedRules []ShadowedRule `json:"shadowedRules,omitempty"`

	// Ready, Accepted and Programmed.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ShadowedRule is a rule that decides nothing.
type ShadowedRule struct {
	// Index in spec.rules.
	Index int32 `json:"index"`

	// A rule that covers it; that of another namespace is not named.
	// Example: "Deny in TopicACL iot/guard, spec.rules[0]".
	CoveredBy string `json:"coveredBy"`
}

// TopicACLList is a list of TopicACLs.
//
// +kubebuilder:object:root=true
type TopicACLList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TopicACL `json:"items"`
}
