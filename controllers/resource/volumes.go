package resource

import (
	"path"

	corev1 "k8s.io/api/core/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// TLSSecret is a Secret that the pods mount for a listener's TLS.
type TLSSecret struct {
	Listener string
	// Additional is the name among the listener's additional certificates; empty for
	// its first, and for the CA of its clients.
	Additional string
	Name       string
	// Keys that it must have.
	Keys []string
	// Dir is the directory for listeners' directories that it is mounted in.
	Dir string
	// Certificate is the name of the Certificate of cert-manager that writes it;
	// empty where the user brings it.
	Certificate string
}

// TLSSecrets lists what the pods mount for TLS, in the order of the listeners; the
// first certificate of a listener comes before its additional ones.
func TLSSecrets(b *v1alpha1.Broker) []TLSSecret {
	var out []TLSSecret
	for i := range b.Spec.Listeners {
		l := &b.Spec.Listeners[i]
		for _, s := range servedBy(b, l) {
			serving := TLSSecret{
				Listener:   l.Name,
				Additional: s.entry,
				Name:       s.secret,
				Keys:       []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey},
				Dir:        TLSDir,
			}
			if s.certificate != nil {
				serving.Certificate = s.secret
			}
			out = append(out, serving)
		}
		if tls := b.ListenerTLS(l); tls != nil && tls.AsksForCertificate() {
			out = append(out, TLSSecret{
				Listener: l.Name,
				Name:     tls.ClientAuth.CASecretName,
				Keys:     []string{caKey},
				Dir:      ClientCADir,
			})
		}
	}
	return out
}

// volumeName is that of the volume in which the pods mount the Secret.
func (s TLSSecret) volumeName() string { return path.Base(s.Dir) + "-" + s.Listener }

// tlsVolumes groups the Secrets by the volume that holds them, in their order.
func tlsVolumes(b *v1alpha1.Broker) [][]TLSSecret {
	var out [][]TLSSecret
	for _, s := range TLSSecrets(b) {
		if last := len(out) - 1; s.Additional != "" {
			out[last] = append(out[last], s)
		} else {
			out = append(out, []TLSSecret{s})
		}
	}
	return out
}

// podVolumes returns the volumes of a pod and where its container mounts them.
// That of persistent data comes from the StatefulSet.
func podVolumes(b *v1alpha1.Broker) (volumes []corev1.Volume, mounts []corev1.VolumeMount) {
	add := func(name, dir string, readOnly bool, source *corev1.VolumeSource) {
		mounts = append(mounts, corev1.VolumeMount{Name: name, MountPath: dir, ReadOnly: readOnly})
		if source != nil {
			volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: *source})
		}
	}
	add("settings", SettingsDir, true, &corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: SettingsName(b)},
	}})
	add("access", AccessDir, true, accessVolume(b))
	for _, secrets := range tlsVolumes(b) {
		first := secrets[0]
		add(first.volumeName(), path.Join(first.Dir, first.Listener), true, tlsVolume(secrets))
	}
	if *b.Spec.Persistence.Enabled {
		add(DataVolume, DataDir, false, nil)
	} else {
		add(DataVolume, DataDir, false, &corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
	}
	return volumes, mounts
}

// accessVolume mounts as many shards as there may be, so that the pods stay the
// same however many there are. Of files of one name the last source wins: a Secret
// of somebody else that takes the name of a shard stands in for nothing, because
// shards are named by their content in the file of the last source.
func accessVolume(b *v1alpha1.Broker) *corev1.VolumeSource {
	source := func(name string, optional bool) corev1.VolumeProjection {
		return corev1.VolumeProjection{Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, Optional: new(optional),
		}}
	}
	var sources []corev1.VolumeProjection
	for number := range config.MaxShards {
		sources = append(sources, source(ShardName(b, number), true))
	}
	sources = append(sources, source(AccessName(b), false))
	return &corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: sources, DefaultMode: new(int32(secretMode)),
	}}
}

// secretMode lets only the broker's group read a Secret.
const secretMode = 0o440

// tlsVolume mounts the keys of a Secret, and those of further ones in directories
// named as the additional certificates are.
func tlsVolume(secrets []TLSSecret) *corev1.VolumeSource {
	if len(secrets) == 1 {
		return &corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: secrets[0].Name, Items: secrets[0].items(), DefaultMode: new(int32(secretMode)),
		}}
	}
	var sources []corev1.VolumeProjection
	for _, s := range secrets {
		sources = append(sources, corev1.VolumeProjection{Secret: &corev1.SecretProjection{
			LocalObjectReference: corev1.LocalObjectReference{Name: s.Name}, Items: s.items(),
		}})
	}
	return &corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: sources, DefaultMode: new(int32(secretMode)),
	}}
}

// items are the keys of the Secret, and where they are in its volume.
func (s TLSSecret) items() []corev1.KeyToPath {
	var out []corev1.KeyToPath
	for _, k := range s.Keys {
		out = append(out, corev1.KeyToPath{Key: k, Path: path.Join(s.Additional, k)})
	}
	return out
}
