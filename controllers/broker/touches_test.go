package broker

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	admin "github.com/godwit-mqtt/godwit/broker/admin/client"
)

func TestAPodServesWhenAllItsCertificatesAreTheNewest(t *testing.T) {
	want := map[servedCertificate]string{{"mqtts", ""}: "a", {"mqtts", "rsa"}: "b"}
	pod := func(first, rsa string) podAnswer {
		return podAnswer{status: admin.Status{Listeners: []admin.Listener{{Name: "mqtt"}, {
			Name: "mqtts", Certificate: &admin.Certificate{SHA256: first},
			AdditionalCertificates: []admin.NamedCertificate{{Name: "rsa", Certificate: admin.Certificate{SHA256: rsa}}},
		}}}}
	}
	for _, tt := range []struct {
		pod  podAnswer
		want bool
	}{
		{podAnswer{}, true}, {pod("a", "b"), true}, {pod("other", "b"), false}, {pod("a", "other"), false},
	} {
		if got := tt.pod.serves(want); got != tt.want {
			t.Errorf("%+v serves: %t, want %t", tt.pod.status.Listeners, got, tt.want)
		}
	}
}

func TestRemindersBecomeRarer(t *testing.T) {
	var touches touches
	broker := types.NamespacedName{Namespace: "iot", Name: "edge"}
	start := time.Unix(0, 0)
	touches.begin(broker, "pod", start)
	var at []time.Duration
	for now := start; now.Sub(start) < 2*time.Minute; now = now.Add(time.Second) {
		if touches.due(broker, "pod", now) {
			at = append(at, now.Sub(start))
		}
	}
	want := []time.Duration{2 * time.Second, 6 * time.Second, 14 * time.Second, 30 * time.Second, 62 * time.Second}
	for i := range want {
		if i >= len(at) || at[i] != want[i] {
			t.Fatalf("reminded at %v, want %v", at, want)
		}
	}
	if d := touches.pace(broker, "pod", start.Add(time.Second)); d != whileApplying {
		t.Errorf("asked every %s at first", d)
	}
	if d := touches.pace(broker, "pod", start.Add(time.Hour)); d != whileStubborn {
		t.Errorf("asked every %s after an hour", d)
	}
}

func TestAPodThatWasToldBeforeHasItsTime(t *testing.T) {
	var touches touches
	broker, now := types.NamespacedName{Name: "edge"}, time.Unix(0, 0)
	if touches.due(broker, "pod", now) {
		t.Error("reminded at once")
	}
	if !touches.due(broker, "pod", now.Add(remindAfter)) {
		t.Error("never reminded")
	}
}
