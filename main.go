// Godwit runs MQTT brokers on Kubernetes: the operator, the broker's engine and
// its tools are this one program.
package main

import "github.com/godwit-mqtt/godwit/cmd"

func main() { cmd.Execute() }
