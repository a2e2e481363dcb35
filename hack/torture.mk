# kill -9 under load. Included by the Makefile.

TORTURE_ARGS ?=

##@ Torture it

.PHONY: torture
torture: build ## Kill the broker under load for a minute, and account for every message; TORTURE_ARGS='-duration 1h' goes on for longer.
	@go run ./hack/torture $(TORTURE_ARGS)
