package server

import (
	"testing"
	"time"

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
