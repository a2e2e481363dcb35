// Package e2e tells, on a real Kubernetes and with real MQTT clients, the story of a person who
// installs Godwit and lives with it: see story_test.go. `make e2e` runs it; nothing of it is part
// of the product.
//
// The clients are processes, as a person would run them: kubectl, helm, mosquitto_pub,
// mosquitto_sub, and programs for Python's paho in clients/. The story waits for conditions with
// deadlines and never for time alone.
package e2e
