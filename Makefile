# Everything that one does with this repository. `make` alone lists it.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -o errexit -o nounset -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS ?= -s -w -X github.com/godwit-mqtt/godwit/cmd.version=$(VERSION)
TOOL := hack/tools/build.sh

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*##"; print "Usage: make TARGET [VARIABLE=value]"} \
		/^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
		/^[a-zA-Z0-9_-]+:.*##/ {printf "  \033[36m%-16s\033[0m%s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Try it

.PHONY: build
build: ## Build bin/godwit.
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/godwit .

SAMPLES ?= config/samples
RUN_ARGS ?=

.PHONY: run
run: build ## Run the broker of SAMPLES=config/samples on this machine, without a cluster.
	@exec bin/godwit dev -f $(SAMPLES) $(RUN_ARGS)

##@ Check it

TEST_ARGS ?=
PACKAGES ?= ./...

.PHONY: test
test: ## Run all tests with the race detector; the operator's against a real kube-apiserver. Needs no root.
	assets=$${KUBEBUILDER_ASSETS:-$$($(TOOL) envtest)}; \
	KUBEBUILDER_ASSETS=$$assets go test -race $(TEST_ARGS) $(PACKAGES)

.PHONY: portable
portable: ## Check the engine as it runs on other systems than Linux, and that all compiles there.
	go vet -tags portable ./broker/server
	go test $(TEST_ARGS) -tags portable ./broker/conformance
	go test $(TEST_ARGS) -tags portable -run 'Listener|TLS|WebSocket|SlowConsumer|Stop|OutrunsItsSubscriber|BeforeTheEnd|ClosesItsSide|DoesNotWait' ./broker/server
	CGO_ENABLED=0 GOOS=darwin go vet ./...
	CGO_ENABLED=0 GOOS=windows go vet . ./cmd/... ./broker/...

.PHONY: fmt
fmt: ## Format the code.
	$$($(TOOL) golangci-lint) fmt

.PHONY: tidy
tidy: ## Tidy go.mod.
	go mod tidy

.PHONY: lint
lint: ## Lint, and check who imports whom.
	$$($(TOOL) golangci-lint) run
	go test -count=1 ./hack/imports # what it lists is not among what go test would cache by

.PHONY: verify
verify: ## Do what is to be done before a commit, and fail if that changed anything.
	$(MAKE) generate manifests tidy fmt
	go vet ./...
	$(MAKE) lint
	git diff --exit-code
	@untracked=$$(git ls-files --others --exclude-standard); \
	if [[ -n $$untracked ]]; then printf 'not committed:\n%s\n' "$$untracked" >&2; exit 1; fi

##@ Clean up

.PHONY: clean
clean: ## Remove what was built here, and the state of `make run`.
	rm -rf bin dist .godwit

-include hack/generate.mk
-include hack/cluster.mk
-include hack/e2e.mk
-include hack/bench.mk
-include hack/torture.mk
-include hack/mutate.mk
-include hack/hostile.mk
