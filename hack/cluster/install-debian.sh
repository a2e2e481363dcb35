#!/usr/bin/env bash
# Installs the Debian packages that the tests and the local cluster use. Quick when all of them are
# there. Services that a package brings are not started, nor enabled for the next boot.
set -euo pipefail

packages=(
  gcc libc6-dev                                  # cgo, which Go's race detector is linked by
  containerd runc containernetworking-plugins   # the node's runtime and network
  iproute2 nftables iptables conntrack kmod      # its addresses, and what kube-proxy and CNI drive
  util-linux mount                               # what the kubelet mounts volumes with
  busybox-static                                 # an image with a shell for looking around
  mosquitto-clients python3-paho-mqtt            # real MQTT clients
  mosquitto                                      # the broker that godwit import is compared with
)

missing=()
for p in "${packages[@]}"; do
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) == installed ]] || missing+=("$p")
done
((${#missing[@]})) || exit 0

if ((EUID != 0)); then
  echo "$0: run as root to install: ${missing[*]}" >&2
  exit 1
fi
command -v apt-get >/dev/null || { echo "$0: not a Debian system; install: ${missing[*]}" >&2; exit 1; }

# Debian asks this script whether a service may start during an installation; 101 means no.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}")
echo "installing: ${missing[*]}" >&2
if ! "${install[@]}" >/dev/null 2>&1; then
  # The package lists are missing or old.
  apt-get update -q >/dev/null
  "${install[@]}" >/dev/null
fi

for p in "${missing[@]}"; do
  case $p in
    containerd | nftables | mosquitto)
      if command -v systemctl >/dev/null; then systemctl disable --quiet "$p" 2>/dev/null || true; fi ;;
  esac
done
