# What is made from the types and markers in the Go sources. Included by the Makefile.

##@ Generate

CONTROLLER_GEN = $$(hack/tools/build.sh controller-gen)

.PHONY: generate
generate: ## Make the deep copies of the API's types, and the pages on conformance and semantics.
	$(CONTROLLER_GEN) object paths=./api/...
	go generate ./broker/conformance ./controllers/semantics/page

.PHONY: manifests
manifests: ## Make the CustomResourceDefinitions, the roles, and the parts of the chart that follow from them.
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=config/crd/bases
	$(CONTROLLER_GEN) rbac:roleName=godwit-operator paths=./controllers/... output:rbac:dir=config/rbac
	go run ./hack/chart

.PHONY: manifests-check
manifests-check: ## Fail where the chart differs from config/.
	go run ./hack/chart --check
