package resource_test

import (
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

func TestACertificateHasTheKeyThatIsWanted(t *testing.T) {
	for name, tc := range map[string]struct {
		wanted    *v1alpha1.PrivateKey
		algorithm certmanagerv1.PrivateKeyAlgorithm
		size      int
	}{
		"none is named":    {nil, certmanagerv1.ECDSAKeyAlgorithm, 256},
		"RSA":              {&v1alpha1.PrivateKey{Algorithm: v1alpha1.KeyRSA}, certmanagerv1.RSAKeyAlgorithm, 2048},
		"RSA of a size":    {&v1alpha1.PrivateKey{Algorithm: v1alpha1.KeyRSA, Size: new(int32(4096))}, certmanagerv1.RSAKeyAlgorithm, 4096},
		"ECDSA":            {&v1alpha1.PrivateKey{Algorithm: v1alpha1.KeyECDSA}, certmanagerv1.ECDSAKeyAlgorithm, 256},
		"ECDSA of a curve": {&v1alpha1.PrivateKey{Algorithm: v1alpha1.KeyECDSA, Size: new(int32(384))}, certmanagerv1.ECDSAKeyAlgorithm, 384},
		"Ed25519":          {&v1alpha1.PrivateKey{Algorithm: v1alpha1.KeyEd25519}, certmanagerv1.Ed25519KeyAlgorithm, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := &v1alpha1.Broker{}
			b.Name, b.Namespace = "edge", "iot"
			b.Spec.TLS = &v1alpha1.TLS{Certificate: &v1alpha1.Certificate{IssuerRef: v1alpha1.IssuerRef{Name: "ca"}, PrivateKey: tc.wanted}}
			b.Default()
			key := resource.Certificates(b, "cluster.local")[0].Spec.PrivateKey
			if key.Algorithm != tc.algorithm || key.Size != tc.size || key.RotationPolicy != certmanagerv1.RotationPolicyAlways {
				t.Errorf("%+v", key)
			}
		})
	}
}
