package server

import (
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
)

func TestQuotaBeginsWithASecondsWorth(t *testing.T) {
	q := newQuota(config.UserLimits{PublishRate: 10, PublishBytesPerSecond: 1000})
	now := time.Now()
	for n := range 10 {
		if wait := q.take(now, 100); wait > 0 {
			t.Fatalf("message %d waits %v", n, wait)
		}
	}
	if wait := q.take(now, 100); wait <= 0 {
		t.Error("the one behind them does not wait")
	}
}

func TestQuotaIsOwedAsLongAsTheLimitsStand(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		limits config.UserLimits
		owed   bool
	}{
		"the same limits":       {config.UserLimits{PublishRate: 1, PublishBytesPerSecond: 1000}, true},
		"another limit":         {config.UserLimits{PublishRate: 1, PublishBytesPerSecond: 1000, MaxSubscriptions: 1}, true},
		"another rate":          {config.UserLimits{PublishRate: 2, PublishBytesPerSecond: 1000}, false},
		"another rate of bytes": {config.UserLimits{PublishRate: 1, PublishBytesPerSecond: 2000}, false},
		"no limit":              {config.UserLimits{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQuota(config.UserLimits{PublishRate: 1, PublishBytesPerSecond: 1000})
			for range 5 {
				q.take(now, 1)
			}
			q.set(tc.limits)
			if owed := q.debt(now) > 0; owed != tc.owed {
				t.Errorf("something is owed: %v, want %v", owed, tc.owed)
			}
		})
	}
}

// TestQuotaGoesByTheNewestRules, also of a client that was admitted just before
// they came.
func TestQuotaGoesByTheNewestRules(t *testing.T) {
	granting := func(rate int) *auth.Snapshot {
		access, err := auth.Compile(&config.Config{Access: config.Access{Users: []config.User{
			{Username: "ann", Limits: config.UserLimits{PublishRate: rate}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return access
	}
	var qs quotas
	before, after := granting(0), granting(10)
	qs.review(after)
	if q := qs.of(auth.Principal{Username: "ann"}, before); !q.limited.Load() {
		t.Error("the limits of former rules are in force")
	}
}
