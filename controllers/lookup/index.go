package lookup

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// Names of the indexes.
const (
	indexBroker = "broker"
	indexSecret = "secret"
)

// AddIndexes makes the indexes that the controllers list by.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for _, index := range []struct {
		obj     client.Object
		name    string
		extract client.IndexerFunc
	}{
		{&v1alpha1.MQTTUser{}, indexBroker, func(o client.Object) []string {
			return []string{o.(*v1alpha1.MQTTUser).BrokerKey().String()}
		}},
		{&v1alpha1.TopicACL{}, indexBroker, func(o client.Object) []string {
			return []string{o.(*v1alpha1.TopicACL).BrokerKey().String()}
		}},
		{&v1alpha1.MQTTUser{}, indexSecret, userSecrets},
		{&v1alpha1.Broker{}, indexSecret, brokerSecrets},
	} {
		if err := indexer.IndexField(ctx, index.obj, index.name, index.extract); err != nil {
			return fmt.Errorf("index %T by %s: %w", index.obj, index.name, err)
		}
	}
	return nil
}

func userSecrets(o client.Object) []string {
	if key, ok := o.(*v1alpha1.MQTTUser).SecretKey(); ok {
		return []string{key.String()}
	}
	return nil
}

func brokerSecrets(o client.Object) []string {
	broker := o.(*v1alpha1.Broker).DeepCopy()
	broker.Default()
	var keys []string
	for _, s := range resource.TLSSecrets(broker) {
		keys = append(keys, types.NamespacedName{Namespace: broker.Namespace, Name: s.Name}.String())
	}
	return keys
}

// OfBroker lists the objects that name a Broker.
func OfBroker(broker types.NamespacedName) client.ListOption {
	return client.MatchingFields{indexBroker: broker.String()}
}

// OfSecret lists the MQTTUsers whose credentials are in a Secret, or the Brokers
// that mount it for TLS.
func OfSecret(secret client.Object) client.ListOption {
	return client.MatchingFields{indexSecret: client.ObjectKeyFromObject(secret).String()}
}
