# What hostile clients can do. Included by the Makefile.

HOSTILE_ARGS ?=

##@ Attack it

.PHONY: hostile
hostile: build ## Attack the broker in every way that a client has, beside a healthy pair; HOSTILE_ARGS='-attacks deaf,filters -duration 1m' is more of less.
	@go run ./hack/hostile $(HOSTILE_ARGS)
