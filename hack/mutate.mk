# Faults that the tests are to notice. Included by the Makefile.

MUTATE_ARGS ?=
MUTATED := $(addprefix ./broker/,auth session router topic packet retain config listener) ./controllers/render

##@ Try the tests

.PHONY: mutate
mutate: ## Put faults into packages, and tell which their own tests miss; PACKAGES=./broker/topic MUTATE_ARGS='-seed 2 -n 30' is a quick look.
	@go run ./hack/mutate $(MUTATE_ARGS) $(if $(filter ./...,$(PACKAGES)),$(MUTATED),$(PACKAGES))
