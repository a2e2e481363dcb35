# The end-to-end story. Included by the Makefile.

CLUSTER ?= local
E2E_ARGS ?=

.PHONY: e2e
e2e: ## Tell the whole story on the local cluster, or on the current context with CLUSTER=existing.
	@CLUSTER='$(CLUSTER)' hack/e2e/run $(E2E_ARGS)
