// Package v1alpha1 is the API of Godwit: the kinds Broker, MQTTUser and
// TopicACL of the group mqtt.godwit.io.
//
// The schemas, their defaults and their validation rules are generated from
// the comments and markers here, so that `kubectl explain` is the manual.
// Default fills in the same defaults in Go, for those who read manifests
// without an API server.
//
// +kubebuilder:object:generate=true
// +groupName=mqtt.godwit.io
package v1alpha1
