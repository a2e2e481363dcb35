package dev

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// keyKind is the kind of a private key.
type keyKind struct {
	algorithm v1alpha1.KeyAlgorithm
	bits      int
}

// keyKindOf is the kind that a spec asks cert-manager for; nil asks for nothing.
func keyKindOf(wanted *v1alpha1.PrivateKey) keyKind {
	kind := keyKind{v1alpha1.KeyECDSA, 256}
	if wanted != nil && wanted.Algorithm != v1alpha1.KeyECDSA {
		kind = keyKind{wanted.Algorithm, 0}
	}
	switch {
	case wanted != nil && wanted.Size != nil:
		kind.bits = int(*wanted.Size)
	case kind.algorithm == v1alpha1.KeyRSA:
		kind.bits = 2048
	}
	return kind
}

// kindOf is the kind of the private key that belongs to a public one.
func kindOf(public crypto.PublicKey) keyKind {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return keyKind{v1alpha1.KeyRSA, key.N.BitLen()}
	case *ecdsa.PublicKey:
		return keyKind{v1alpha1.KeyECDSA, key.Curve.Params().BitSize}
	case ed25519.PublicKey:
		return keyKind{v1alpha1.KeyEd25519, 0}
	default:
		return keyKind{}
	}
}

func (k keyKind) generate() (crypto.Signer, error) {
	switch {
	case k.algorithm == v1alpha1.KeyRSA:
		return rsa.GenerateKey(rand.Reader, k.bits)
	case k.algorithm == v1alpha1.KeyEd25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case k.bits == 384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case k.bits == 521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case k.bits == 256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return nil, fmt.Errorf("no key is made of %d bits for %s", k.bits, k.algorithm)
}

// encodeKey returns the PEM of a private key.
func encodeKey(key crypto.Signer) ([]byte, error) {
	if ec, ok := key.(*ecdsa.PrivateKey); ok {
		der, err := x509.MarshalECPrivateKey(ec)
		return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}
