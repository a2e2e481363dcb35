# The comparison of the engine with other brokers. Included by the Makefile.

BENCH_ARGS ?=

##@ Measure it

.PHONY: bench
bench: build dist/bench/relay ## Compare the engine with Mosquitto and the floor of cost; BENCH_ARGS='-scenarios pair -rounds 1' is a quick look.
	@go run ./hack/bench $(BENCH_ARGS)

.PHONY: bench-scale
bench-scale: build ## Measure how cost grows with connections, subscriptions, retained and waiting messages.
	@go run ./hack/bench -scale -out dist/bench-scale $(BENCH_ARGS)

dist/bench/relay: hack/bench/relay/relay.c
	@mkdir -p $(dir $@)
	cc -O2 -Wall -Wextra -o $@ $<
