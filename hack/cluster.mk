# The local cluster, the image, and the installation of the operator on it. Included by the
# Makefile; works on its own as well: make -f hack/cluster.mk cluster

TOOL := hack/tools/build.sh
LOCAL_CLUSTER := go run ./hack/cluster

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS ?= -s -w -X github.com/godwit-mqtt/godwit/cmd.version=$(VERSION)
IMAGE ?= godwit:dev
IMAGE_BINARY := dist/image/godwit
IMAGE_ARCHIVE := dist/godwit-image.tar
# Names the content of the archive, so that a changed image is a changed reference, and pods take it.
IMAGE_REF := dist/godwit-image.ref

# Both are bound to the local cluster; a KUBECONFIG that happens to be set does not count.
LOCAL_KUBECONFIG = $(shell $(LOCAL_CLUSTER) kubeconfig)
KUBECTL = $(shell $(TOOL) kubectl) --kubeconfig=$(LOCAL_KUBECONFIG)
HELM = $(shell $(TOOL) helm) --kubeconfig=$(LOCAL_KUBECONFIG)

CHART ?= charts/godwit
RELEASE ?= godwit
RELEASE_NAMESPACE ?= godwit-system
HELM_FLAGS ?=

##@ Local cluster

.PHONY: cluster
cluster: ## Bring up a real single-node Kubernetes on this machine, as root.
	@$(LOCAL_CLUSTER) up

.PHONY: cluster-down
cluster-down: ## End the local cluster and remove all of it.
	@$(LOCAL_CLUSTER) down

.PHONY: cluster-status
cluster-status: ## Say what runs of the local cluster.
	@$(LOCAL_CLUSTER) status

.PHONY: cluster-check
cluster-check: ## Try the local cluster: DNS, Services, storage, exec, certificates.
	@hack/cluster/check.sh

.PHONY: image
image: ## Build the container image as an archive, without a container engine.
	@mkdir -p $(dir $(IMAGE_BINARY))
	CGO_ENABLED=0 GOOS=linux go build -trimpath -ldflags '$(LDFLAGS)' -o $(IMAGE_BINARY) .
	@go run ./hack/image -binary $(IMAGE_BINARY) -name $(IMAGE) -o $(IMAGE_ARCHIVE) >$(IMAGE_REF).tmp
	@mv $(IMAGE_REF).tmp $(IMAGE_REF)
	@echo "$(IMAGE_ARCHIVE) holds $$(cat $(IMAGE_REF))"

.PHONY: image-load
image-load: image ## Import the image into the local cluster.
	@$(LOCAL_CLUSTER) load $(IMAGE_ARCHIVE)

.PHONY: deploy
deploy: cluster image-load ## Install or upgrade the operator on the local cluster, from this source.
	@ref=$$(cat $(IMAGE_REF)); set -x; \
	$(HELM) upgrade --install $(RELEASE) $(CHART) \
		--namespace $(RELEASE_NAMESPACE) --create-namespace --wait --timeout 5m \
		--set image.repository=$${ref%:*},image.tag=$${ref##*:},image.pullPolicy=IfNotPresent $(HELM_FLAGS)

.PHONY: undeploy
undeploy: ## Uninstall the operator from the local cluster; the CRDs and brokers stay.
	$(HELM) uninstall $(RELEASE) --namespace $(RELEASE_NAMESPACE) --ignore-not-found --wait

##@ Tools

.PHONY: tools
tools: ## Build every tool, and print where each one is.
	@$(TOOL) $(shell $(TOOL) --list)

.PHONY: envtest-assets
envtest-assets: ## Build kube-apiserver, etcd and kubectl, and print the directory for KUBEBUILDER_ASSETS.
	@$(TOOL) envtest
