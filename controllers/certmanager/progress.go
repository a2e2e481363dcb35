// Package certmanager is what the controllers have in common that ask
// cert-manager for certificates.
package certmanager

import (
	"context"
	"errors"
	"fmt"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/controllers/apply"
)

// IsAbsent says that a call failed because the cluster has no cert-manager.
func IsAbsent(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }

// IsRefused says that a call failed because of what was asked, and not because
// cert-manager or the API server could not answer.
func IsRefused(err error) bool {
	var notOwned *apply.NotOwnedError
	var leftover *apply.LeftoverError
	return errors.As(err, &notOwned) || errors.As(err, &leftover) ||
		apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err)
}

// CheckSecret refuses a Certificate that would make cert-manager overwrite a
// Secret of somebody else. secret is the one of that name, nil where there is
// none. The error is an *apply.NotOwnedError.
func CheckSecret(secret *corev1.Secret, c *certmanagerv1.Certificate) error {
	if secret == nil || secret.Annotations[certmanagerv1.CertificateNameKey] == c.Name {
		return nil
	}
	return apply.NotOwned(corev1.SchemeGroupVersion.WithKind("Secret"), secret)
}

// Progress says for people what a Certificate waits for that has not been issued.
// The Certificate is read from the cache, its issuer past it.
func Progress(ctx context.Context, cache, live client.Reader, key types.NamespacedName) string {
	waiting := fmt.Sprintf("cert-manager has not issued Certificate %q yet", key.Name)
	c := &certmanagerv1.Certificate{}
	if err := cache.Get(ctx, key, c); err != nil {
		return waiting
	}
	if trouble := issuerTrouble(ctx, live, c); trouble != "" {
		return waiting + ": " + trouble
	}
	for _, kind := range []certmanagerv1.CertificateConditionType{
		certmanagerv1.CertificateConditionIssuing, certmanagerv1.CertificateConditionReady,
	} {
		for _, condition := range c.Status.Conditions {
			if condition.Type == kind && condition.Status != cmmeta.ConditionTrue && condition.Message != "" {
				return waiting + ": " + condition.Message
			}
		}
	}
	return waiting
}

//+kubebuilder:rbac:groups=cert-manager.io,resources=issuers;clusterissuers,verbs=get

// issuerTrouble says why the issuer of a Certificate does not sign; empty where
// it does, or where it is none of cert-manager's own.
func issuerTrouble(ctx context.Context, live client.Reader, c *certmanagerv1.Certificate) string {
	ref := c.Spec.IssuerRef
	if ref.Group != "" && ref.Group != certmanagerv1.SchemeGroupVersion.Group {
		return ""
	}
	var issuer certmanagerv1.GenericIssuer = &certmanagerv1.Issuer{}
	key, where := types.NamespacedName{Namespace: c.Namespace, Name: ref.Name}, fmt.Sprintf(" in namespace %q", c.Namespace)
	if ref.Kind == certmanagerv1.ClusterIssuerKind {
		issuer, key.Namespace, where = &certmanagerv1.ClusterIssuer{}, "", ""
	}
	name := fmt.Sprintf("%s %q", ref.Kind, ref.Name)
	if err := live.Get(ctx, key, issuer); err != nil {
		if apierrors.IsNotFound(err) {
			return name + " does not exist" + where + ": create it, or name another one"
		}
		return ""
	}
	for _, condition := range issuer.GetStatus().Conditions {
		if condition.Type == certmanagerv1.IssuerConditionReady {
			if condition.Status == cmmeta.ConditionTrue {
				return ""
			}
			return name + " is not ready: " + condition.Message
		}
	}
	return name + " is not ready"
}
