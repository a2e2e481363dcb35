package resource

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// SettingsConfigMap holds the part of the configuration that anybody may read.
func SettingsConfigMap(b *v1alpha1.Broker, settings []byte) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: meta(b, SettingsName(b)),
		Data:       map[string]string{config.SettingsFile: string(settings)},
	}
}

// AccessSecret holds users with their hashes, and rules, or the names of the
// shards that do.
func AccessSecret(b *v1alpha1.Broker, access []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: meta(b, AccessName(b)),
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{config.AccessFile: access},
	}
}

// ShardSecret holds one shard of users and rules: as it is to become, and as it
// was, for as long as AccessSecret names that.
func ShardSecret(b *v1alpha1.Broker, number int, files config.Files) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: meta(b, ShardName(b, number)),
		Type:       corev1.SecretTypeOpaque,
		Data:       files,
	}
}
