package memory_test

import (
	"testing"

	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
	"github.com/godwit-mqtt/godwit/broker/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(testing.TB) storetest.Open {
		st := memory.New()
		return func(testing.TB) store.Store { return st }
	})
}
