//go:build e2e

package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/controllers"
)

// changes of an ACL, each of which has to be enforced before the next.
const changes = 100

// changeACLOften gives the sensor, which stays connected, leave for another topic again and again,
// and tells how long it took from the call of the API until the broker took a message. The client
// is the one of the engine's tests, and the API is called without kubectl: programs that have to
// start would be most of what is measured.
//
//api:semantics 6
func (s *story) changeACLOften(t *testing.T) {
	api := s.api(t)
	acl := &v1alpha1.TopicACL{}
	acl.Namespace, acl.Name = namespace, "pace"
	acl.Spec = v1alpha1.TopicACLSpec{
		BrokerRef: v1alpha1.BrokerRef{Name: "edge"},
		Subjects:  []v1alpha1.Subject{{User: sensor.username}},
		Rules: []v1alpha1.Rule{{
			Effect: v1alpha1.Allow, Actions: []v1alpha1.Action{v1alpha1.ActionPublish}, Topics: []string{"pace/0"},
		}},
	}
	if err := api.Create(t.Context(), acl); err != nil {
		t.Fatal(err)
	}
	c := s.broker.connect(t, s.caPEM, sensor)
	took := make([]time.Duration, 0, changes)
	for i := range changes {
		topic := fmt.Sprintf("pace/%d", i+1)
		before := acl.DeepCopy()
		acl.Spec.Rules[0].Topics = []string{topic}
		begun := time.Now()
		if err := api.Patch(t.Context(), acl, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
		awaitTaken(t, c, topic)
		took = append(took, time.Since(begun))
	}
	c.Disconnect()
	slices.Sort(took)
	t.Logf("enforced after %s (p50), %s (p99), %s at most",
		percentile(took, 50).Round(time.Millisecond), percentile(took, 99).Round(time.Millisecond), took[changes-1].Round(time.Millisecond))
	if err := api.Delete(t.Context(), acl); err != nil {
		t.Fatal(err)
	}
}

// awaitTaken publishes every few milliseconds until the broker takes it.
func awaitTaken(t *testing.T, c *brokertest.Client, topic string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(time.Minute)
	for {
		c.Send(brokertest.NewPublish(topic, "", func(p *packet.Publish) { p.QoS, p.ID = packet.QoS1, c.NextID() }))
		reason := brokertest.Expect[*packet.Ack](c).Reason
		if !reason.IsError() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("within a minute the sensor may not publish to %s: %v", topic, reason)
		}
		<-tick.C
	}
}

// percentile of sorted durations.
func percentile(sorted []time.Duration, p int) time.Duration { return sorted[(len(sorted)-1)*p/100] }

// connect connects the client of the engine's tests.
func (b *broker) connect(t *testing.T, caPEM []byte, l login) *brokertest.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	d := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}}
	conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort("localhost", strconv.Itoa(b.tlsPort)))
	if err != nil {
		t.Fatal(err)
	}
	c := brokertest.NewClient(t, conn, packet.V5)
	c.Connect("pace", brokertest.Login(l.username, l.password))
	return c
}

// api is a client of the cluster that kubectl is told to use.
func (c *cluster) api(t *testing.T) client.Client {
	t.Helper()
	rules, overrides := clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{}
	if c.local {
		rules.ExplicitPath = c.kubectl[2]
	} else {
		overrides.CurrentContext = c.kubectl[2]
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1 // the server says what it can take
	scheme, err := controllers.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	log.SetLogger(logr.Discard()) // errors are returned
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return api
}
