# The end-to-end story. Included by the Makefile.

CLUSTER ?= local
E2E_ARGS ?=

.PHONY: e2e
e2e: ## Tell the whole story on the local cluster, or on the current context with CLUSTER=existing.
	@CLUSTER='$(CLUSTER)' hack/e2e/run $(E2E_ARGS)

.PHONY: scale
scale: ## Measure the operator with 1,000 users, 1,000 ACLs and 10,000 unrelated Secrets, on the same cluster.
	@CLUSTER='$(CLUSTER)' E2E_TAGS='e2e scale' hack/e2e/run -run TestScale $(E2E_ARGS)
