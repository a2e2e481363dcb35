#!/usr/bin/env bash
# Builds the project's tools from pinned Go modules and prints where they are.
#
#   hack/tools/build.sh NAME...     one line on stdout for each NAME: the path of its binary
#   hack/tools/build.sh envtest     a directory for KUBEBUILDER_ASSETS: kube-apiserver, etcd, kubectl
#   hack/tools/build.sh --list      the names that can be built
#
# A binary is built once and kept outside the tree, in
#   ${GODWIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/godwit}/NAME-KEY/NAME
# where KEY is a hash of what determines it: its module's go.mod, go.sum and sources, the build
# flags, the Go version and the platform. Concurrent calls build each binary once.
set -euo pipefail
shopt -s inherit_errexit

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${GODWIT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/godwit}

# The tools are for this machine, whatever the caller builds for, and only their own module counts.
export GOWORK=off GOFLAGS='-mod=readonly -buildvcs=false' GOOS='' GOARCH='' CGO_ENABLED=0

names=(
  kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl
  etcd helm controller-gen golangci-lint
  coredns cert-manager provisioner pause probe
)

# module NAME: the directory under hack/tools that holds its go.mod.
module() {
  case $1 in
    kube* ) echo kubernetes ;;
    *) echo "$1" ;;
  esac
}

# package NAME: the main package, "." where the module holds the program itself.
package() {
  case $1 in
    kube*) echo "k8s.io/kubernetes/cmd/$1" ;;
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    helm) echo helm.sh/helm/v3/cmd/helm ;;
    controller-gen) echo sigs.k8s.io/controller-tools/cmd/controller-gen ;;
    golangci-lint) echo github.com/golangci/golangci-lint/v2/cmd/golangci-lint ;;
    *) echo . ;;
  esac
}

# version MODULE-DIR PATH: the version of PATH that the module in MODULE-DIR requires.
version() {
  awk -v path="$2" '$1 == "require" && $2 == path {print $3; exit} $1 == path && $2 ~ /^v/ {print $2; exit}' \
    "$tools/$1/go.mod"
}

# linkflags NAME: stripped, and with the version where the program would not know it otherwise.
linkflags() {
  local flags='-s -w' v
  case $1 in
    kube*)
      v=$(version kubernetes k8s.io/kubernetes)
      local minor=${v#v*.}
      for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $p.gitVersion=$v -X $p.gitMajor=1 -X $p.gitMinor=${minor%%.*} -X $p.gitTreeState=clean"
      done ;;
    helm)
      flags+=" -X helm.sh/helm/v3/internal/version.version=$(version helm helm.sh/helm/v3)" ;;
    golangci-lint)
      v=$(version golangci-lint github.com/golangci/golangci-lint/v2)
      flags+=" -X main.version=${v#v}" ;;
  esac
  echo "$flags"
}

# key NAME: the content key of a binary.
key() {
  local dir
  dir=$tools/$(module "$1")
  {
    goversion
    package "$1"
    linkflags "$1"
    (cd "$dir" && find . -type f \( -name '*.go' -o -name go.mod -o -name go.sum \) | LC_ALL=C sort | xargs sha256sum)
  } | sha256sum | cut -c1-16
}

goversion() {
  [[ -n ${goversion:-} ]] || goversion=$(go env GOVERSION GOHOSTOS GOHOSTARCH)
  echo "$goversion"
}

# publish TMP DIR: moves a finished directory into place; a reader sees all of it or nothing.
publish() {
  chmod 755 "$1"
  mv -T "$1" "$2"
}

# build NAME DIR: builds NAME into DIR unless it is there, one builder at a time.
build() {
  local name=$1 dir=$2 tmp
  [[ -x $dir/$name ]] && return
  mkdir -p "$cache"
  exec {lock}>"$cache/.$(basename "$dir").lock"
  flock "$lock"
  if [[ ! -x $dir/$name ]]; then
    echo "building $name ($(basename "$dir"))" >&2
    tmp=$(mktemp -d "$cache/.tmp-$name.XXXXXX")
    # shellcheck disable=SC2064  # expanded now: the trap outlives the local variable
    trap "rm -rf '$tmp'" EXIT
    (cd "$tools/$(module "$name")" &&
      nice go build -trimpath -ldflags "$(linkflags "$name")" -o "$tmp/$name" "$(package "$name")") >&2 {lock}>&-
    publish "$tmp" "$dir"
    trap - EXIT
  fi
  exec {lock}>&-
}

# path NAME: builds NAME where needed and prints its path.
path() {
  local dir
  dir=$cache/$1-$(key "$1")
  build "$1" "$dir"
  echo "$dir/$1"
}

# envtest: what a test control plane needs, in one directory, under the names that envtest expects.
envtest() {
  local bin dir tmp bins=()
  for bin in kubectl etcd kube-apiserver; do
    bins+=("$(path "$bin")")
  done
  dir=$cache/envtest-$(printf '%s\n' "${bins[@]}" | sha256sum | cut -c1-16)
  if [[ ! -d $dir ]]; then
    tmp=$(mktemp -d "$cache/.tmp-envtest.XXXXXX")
    for bin in "${bins[@]}"; do
      ln -s "../${bin#"$cache"/}" "$tmp/"
    done
    # Losing the race against another call is fine: the directories are the same.
    publish "$tmp" "$dir" 2>/dev/null || rm -rf "$tmp"
  fi
  echo "$dir"
}

main() {
  (($#)) || { echo "usage: $0 NAME... | envtest | --list" >&2; exit 2; }
  local name
  for name; do
    case " ${names[*]} envtest --list " in
      *" $name "*) ;;
      *) echo "$0: no such tool: $name (known: ${names[*]} envtest)" >&2; exit 2 ;;
    esac
  done
  for name; do
    case $name in
      --list) printf '%s\n' "${names[@]}" envtest ;;
      envtest) envtest ;;
      *) path "$name" ;;
    esac
  done
}

# The exit keeps a running script safe from edits of its file.
main "$@"; exit
