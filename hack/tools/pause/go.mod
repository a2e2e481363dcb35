module github.com/godwit-mqtt/godwit/hack/tools/pause

go 1.26.0
