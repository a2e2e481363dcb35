package cmd

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// writeJSON writes a file of the configuration.
func writeJSON(t *testing.T, dir, name string, v any) {
	t.Helper()
	content, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	brokertest.WriteFile(t, filepath.Join(dir, name), content)
}

// TestBrokerRevokesWhileItEnds: as long as clients are connected, the files are
// followed.
func TestBrokerRevokesWhileItEnds(t *testing.T) {
	dir := t.TempDir()
	settings := config.Settings{
		Name: "test/broker", Listeners: []config.Listener{{Name: "mqtt", Address: "127.0.0.1"}}, Anonymous: true,
		Drain: config.Drain{DisconnectRate: 1, Timeout: config.Duration(time.Minute)},
	}
	writeJSON(t, dir, config.SettingsFile, &settings)
	writeJSON(t, dir, config.AccessFile, &config.Access{})
	b, err := openBroker(t.Context(), brokerOptions{settingsDir: dir, accessDir: dir, adminAddress: "127.0.0.1:0"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.run(ctx) }()
	var clients []*brokertest.Client
	for range 20 {
		conn, err := net.Dial("tcp", b.server.Addr("mqtt").String())
		if err != nil {
			t.Fatal(err)
		}
		c := brokertest.NewClient(t, conn, packet.V5)
		c.Connect("")
		clients = append(clients, c)
	}
	stop()
	brokertest.WaitFor(t, "the listener is closed", func() bool { return b.server.Addr("mqtt") == nil })
	settings.Anonymous = false
	writeJSON(t, dir, config.SettingsFile, &settings)
	revoked := 0
	for _, c := range clients {
		if d := brokertest.Expect[*packet.Disconnect](c); d.Reason == packet.ReasonNotAuthorized {
			revoked++
		}
		_ = c.Close()
	}
	if revoked == 0 {
		t.Error("nobody was disconnected before its turn")
	}
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// The operator tells by the status of the process, and by its last line, why a pod
// does not come up.
func TestBrokerWhoseStorageDoesNotOpenSaysSo(t *testing.T) {
	dir := t.TempDir()
	writeJSON(t, dir, config.SettingsFile, &config.Settings{
		Name: "test/broker", Listeners: []config.Listener{{Name: "mqtt", Address: "127.0.0.1"}}, Persistence: &config.Persistence{},
	})
	writeJSON(t, dir, config.AccessFile, &config.Access{})
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	brokertest.WriteFile(t, filepath.Join(data, "000004.log"), []byte("of a store whose manifest is gone"))
	o := brokerOptions{settingsDir: dir, accessDir: dir, dataDir: data, adminAddress: "127.0.0.1:0"}
	_, err := openBroker(t.Context(), o, slog.New(slog.DiscardHandler))
	var out strings.Builder
	if status := report(&out, err); status != client.ExitStorage {
		t.Errorf("the process ends with %d: %v", status, err)
	}
	want := client.LastWords + "the storage does not work: open store in " + data + ": 000004.log is there"
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("it says %q, want %q", out.String(), want)
	}
}
