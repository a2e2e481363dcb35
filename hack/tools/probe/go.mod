module github.com/godwit-mqtt/godwit/hack/tools/probe

go 1.26.0
