package v1alpha1

// Condition types.
const (
	// ConditionReady is the summary: of a Broker, that it serves what its spec
	// says; of a MQTTUser or TopicACL, that it is accepted and programmed.
	ConditionReady = "Ready"
	// ConditionReconciling of a Broker is True while it is on its way to its spec.
	ConditionReconciling = "Reconciling"
	// ConditionStalled of a Broker is True where only a person can help.
	ConditionStalled = "Stalled"
	// ConditionTLSReady of a Broker is True when every Secret that its listeners
	// need is there and usable.
	ConditionTLSReady = "TLSReady"
	// ConditionConfigApplied of a Broker is True when every running pod enforces
	// the configuration that was rendered last.
	ConditionConfigApplied = "ConfigApplied"
	// ConditionStorageReady of a Broker is True when its pods can store new
	// sessions and messages. While it is False because the disk is full, sessions
	// that exist go on, and the Broker may be Ready.
	ConditionStorageReady = "StorageReady"
	// ConditionAccepted of a MQTTUser or TopicACL is True when it is valid and its
	// Broker admits it.
	ConditionAccepted = "Accepted"
	// ConditionProgrammed of a MQTTUser or TopicACL is True when every running pod
	// of its Broker has answered that it enforces this generation of the object.
	ConditionProgrammed = "Programmed"
)

// Reasons that say all is well.
const (
	ReasonReady      = "Ready"
	ReasonAccepted   = "Accepted"
	ReasonProgrammed = "Programmed"
	ReasonApplied    = "Applied"
	ReasonNotNeeded  = "NotNeeded"
	ReasonNotStalled = "NotStalled"
)

// Reasons that more than one kind has.
const (
	// ReasonNotOwned: the name of an object that the operator would make is taken
	// by one of somebody else.
	ReasonNotOwned = "NotOwned"
	// ReasonCertManagerNotInstalled: the cluster has no Certificate kind.
	ReasonCertManagerNotInstalled = "CertManagerNotInstalled"
	// ReasonWaitingForCertificate: cert-manager has not issued yet.
	ReasonWaitingForCertificate = "WaitingForCertificate"
	// ReasonWaitingForSecret: the Secret, or its key, is not there.
	ReasonWaitingForSecret = "WaitingForSecret"
	// ReasonInvalidCredentials: the Secret's content is of no use.
	ReasonInvalidCredentials = "InvalidCredentials"
	// ReasonPaused: spec.paused of the Broker is set, and the operator changes
	// nothing.
	ReasonPaused = "Paused"
	// ReasonFailed: a call failed and is tried again.
	ReasonFailed = "Failed"
)

// Reasons of a Broker's conditions.
const (
	// ReasonNotSupported: the spec asks for what this version cannot do.
	ReasonNotSupported = "NotSupported"
	// ReasonInvalidChild: the API server refused a child object as invalid or
	// forbidden.
	ReasonInvalidChild = "InvalidChild"
	// ReasonWaitingForTLS: the pods wait for Secrets that they mount.
	ReasonWaitingForTLS = "WaitingForTLS"
	// ReasonWaitingForPods: the pods are not all running and ready.
	ReasonWaitingForPods = "WaitingForPods"
	// ReasonRollingOut: the StatefulSet replaces its pods.
	ReasonRollingOut = "RollingOut"
	// ReasonApplying: pods have yet to answer the newest revision.
	ReasonApplying = "Applying"
	// ReasonConfigRejected: a pod did not take the newest files.
	ReasonConfigRejected = "ConfigRejected"
	// ReasonStorageFull: the disk of a pod has no space for anything new.
	ReasonStorageFull = "StorageFull"
	// ReasonStorageFailed: a pod cannot open what it has stored, or its disk has
	// failed.
	ReasonStorageFailed = "StorageFailed"
	// ReasonScaledToZero: spec.replicas is 0.
	ReasonScaledToZero = "ScaledToZero"
)

// Reasons of the conditions of a MQTTUser or TopicACL.
const (
	// ReasonPending: the operator has not come to this generation yet.
	ReasonPending = "Pending"
	// ReasonBrokerNotFound: brokerRef names nothing.
	ReasonBrokerNotFound = "BrokerNotFound"
	// ReasonNotAllowedByBroker: the Broker's allowedUsers leave out the namespace.
	ReasonNotAllowedByBroker = "NotAllowedByBroker"
	// ReasonUsernameTaken: an older MQTTUser of the Broker holds the username.
	ReasonUsernameTaken = "UsernameTaken"
	// ReasonDisabled: spec.disabled is set, and nobody connects as the user.
	ReasonDisabled = "Disabled"
	// ReasonNoClientAuth: no listener of the Broker asks for client certificates, or
	// none for those of the user's CA.
	ReasonNoClientAuth = "NoClientAuth"
	// ReasonAmbiguousClientCA: listeners ask for certificates of different CAs, and
	// nothing says which of them is the user's.
	ReasonAmbiguousClientCA = "AmbiguousClientCA"
	// ReasonCommonNameTaken: an older MQTTUser of the Broker holds the common name,
	// from the same CA.
	ReasonCommonNameTaken = "CommonNameTaken"
	// ReasonInvalidRule: MQTT does not allow a topic filter of a rule.
	ReasonInvalidRule = "InvalidRule"
	// ReasonInvalidSubject: a selector cannot be read.
	ReasonInvalidSubject = "InvalidSubject"
	// ReasonBrokerFull: other users and TopicACLs fill the part of what the Broker can
	// hold that this one belongs in.
	ReasonBrokerFull = "BrokerFull"
	// ReasonNotAccepted: it is not programmed because it is not accepted.
	ReasonNotAccepted = "NotAccepted"
	// ReasonNoRunningPods: no pod of the Broker runs.
	ReasonNoRunningPods = "NoRunningPods"
)
