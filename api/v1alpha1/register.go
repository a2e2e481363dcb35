package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of the kinds in this package.
var GroupVersion = schema.GroupVersion{Group: "mqtt.godwit.io", Version: "v1alpha1"}

// Kinds of this package.
const (
	KindBroker   = "Broker"
	KindMQTTUser = "MQTTUser"
	KindTopicACL = "TopicACL"
)

// AddToScheme makes the kinds of this package known to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&Broker{}, &BrokerList{},
		&MQTTUser{}, &MQTTUserList{},
		&TopicACL{}, &TopicACLList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
