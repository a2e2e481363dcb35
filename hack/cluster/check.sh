#!/usr/bin/env bash
# Tries what the local cluster promises, in a namespace of its own, and removes it again:
# storage, DNS, Services from pods and from the host, logs, exec, port-forward, Pod Security,
# certificates.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
kubeconfig=$(go run ./hack/cluster kubeconfig)
kubectl=$(hack/tools/build.sh kubectl)
probe=$(hack/tools/build.sh probe)
ns=cluster-check
work=$(mktemp -d)

kc() { "$kubectl" --kubeconfig="$kubeconfig" "$@"; }
k() { kc --namespace="$ns" "$@"; }

forward=
cleanup() {
  [[ -z $forward ]] || kill "$forward" 2>/dev/null || true
  rm -rf "$work"
  kc delete namespace "$ns" --ignore-not-found --wait=false >/dev/null 2>&1 || true
}
trap cleanup EXIT

step() { printf '%-52s' "$1"; }
ok() { echo ok; }
fetch() { "$probe" get "$1"; }

# expect WANT COMMAND...: runs the command until it prints WANT, for half a minute.
expect() {
  local want=$1 got='' i
  shift
  for ((i = 0; i < 30; i++)); do
    got=$("$@" 2>&1) && [[ $got == "$want" ]] && return
    sleep 1
  done
  printf 'failed\n%s\n  wanted: %s\n  got:    %s\n' "$*" "$want" "$got" >&2
  return 1
}

kc delete namespace "$ns" --ignore-not-found >/dev/null
k apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: $ns, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: $ns}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: $ns, labels: {app: web}}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: web
    image: busybox:local
    imagePullPolicy: Never
    command: [/busybox, sh, -c, "echo hello >/data/index.html; echo started; exec /busybox httpd -f -p 8080 -h /data"]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: $ns}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: root, namespace: $ns}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: ca, namespace: $ns}
spec: {isCA: true, commonName: check-ca, secretName: ca, privateKey: {algorithm: ECDSA}, issuerRef: {name: root}}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: ca, namespace: $ns}
spec: {ca: {secretName: ca}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: leaf, namespace: $ns}
spec: {dnsNames: [leaf.example], secretName: leaf, privateKey: {algorithm: ECDSA}, issuerRef: {name: ca}}
YAML

step 'a pod runs on a volume that was made for its claim'
k wait --for=condition=Ready pod/web --timeout=120s >/dev/null
expect Bound k get pvc data -o 'jsonpath={.status.phase}'
ok

step 'logs, exec'
expect started k logs web
expect hello k exec web -- /busybox cat /data/index.html
ok

step 'a Service resolves and answers in a pod'
ip=$(k get service web -o 'jsonpath={.spec.clusterIP}')
expect "$ip" k exec web -- /probe resolve "web.$ns.svc.cluster.local"
expect hello k exec web -- /probe get "http://web.$ns/"
ok

step 'ClusterIP and NodePort answer on the host'
port=$(k get service web -o 'jsonpath={.spec.ports[0].nodePort}')
node=$(kc get nodes -o 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
expect hello fetch "http://$ip/"
expect hello fetch "http://$node:$port/"
ok

step 'port-forward'
k port-forward pod/web :8080 >"$work/forward" 2>&1 &
forward=$!
for ((i = 0; i < 100; i++)); do
  grep -q Forwarding "$work/forward" && break
  sleep 0.1
done
expect hello fetch "http://127.0.0.1:$(sed -n 's/.*127.0.0.1:\([0-9]*\) .*/\1/p' "$work/forward")/"
ok

step 'Pod Security refuses a privileged pod'
if k run bad --image=busybox:local --privileged >"$work/bad" 2>&1 || ! grep -q PodSecurity "$work/bad"; then
  printf 'failed\n%s\n' "$(<"$work/bad")" >&2
  exit 1
fi
ok

step 'a certificate is issued by a CA'
k wait --for=condition=Ready certificate/ca certificate/leaf --timeout=120s >/dev/null
ok

step 'the namespace and its volume go away'
volume=$(k get pvc data -o 'jsonpath={.spec.volumeName}')
kc delete namespace "$ns" --timeout=120s >/dev/null
kc wait --for=delete "pv/$volume" --timeout=60s >/dev/null
ok
