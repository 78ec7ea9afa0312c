#!/usr/bin/env bash
# A cluster on this machine, with everything in it: `make k3d-up`, `make k3d-test`, `make k3d-down`.
# k3s enforces NetworkPolicies by itself, so that the test sees the outsider refused.
set -euo pipefail
cd "$(dirname "$0")/.."

CLUSTER=${CLUSTER:-ocr}
NAMESPACE=${NAMESPACE:-ocr}
VERSION=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' sidecar/__init__.py)
DOCUMENT=tests/data/scan-thai-english.pdf
URL=http://ocr-sidecar.$NAMESPACE.svc:8765

fail() {
  echo "k3d.sh: $*" >&2
  exit 1
}

need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || fail "$tool is missing: $(remedy "$tool")"
  done
}

remedy() {
  case $1 in
    docker) echo "install Docker, https://docs.docker.com/engine/install/" ;;
    k3d) echo "install k3d, https://k3d.io" ;;
    kubectl) echo "install kubectl, https://kubernetes.io/docs/tasks/tools/" ;;
    helm) echo "install Helm 3.14 or newer, https://helm.sh/docs/intro/install/" ;;
  esac
}

# kubectl and helm for this cluster, whatever the kubeconfig's current context is.
in_cluster() { kubectl --context "k3d-$CLUSTER" --namespace "$NAMESPACE" "$@"; }
with_helm() { helm --kube-context "k3d-$CLUSTER" --namespace "$NAMESPACE" "$@"; }

up() {
  need docker k3d kubectl helm
  docker info >/dev/null 2>&1 || fail "the Docker daemon does not answer: start it, or become a member of its group"
  for image in ocr-sidecar ocr-controller; do
    docker image inspect "$image:$VERSION" >/dev/null 2>&1 || fail "the image $image:$VERSION is missing: make image"
  done
  # Nothing here listens outside the cluster, so neither the load balancer nor Traefik is needed.
  if k3d cluster list "$CLUSTER" >/dev/null 2>&1; then
    k3d cluster start "$CLUSTER" --wait --timeout 5m # it may have been stopped, or the machine
  else
    k3d cluster create "$CLUSTER" --no-lb --k3s-arg "--disable=traefik@server:0" --wait --timeout 5m
  fi
  k3d image import --cluster "$CLUSTER" "ocr-sidecar:$VERSION" "ocr-controller:$VERSION"
  kubectl --context "k3d-$CLUSTER" apply --server-side -f - <<NAMESPACE
apiVersion: v1
kind: Namespace
metadata:
  name: $NAMESPACE
  labels: {pod-security.kubernetes.io/enforce: restricted}
NAMESPACE
  local again=
  in_cluster get deployment ocr-sidecar >/dev/null 2>&1 && again=yes
  with_helm upgrade --install ocr-sidecar helm --values helm/values-k3d.yaml --wait --timeout 5m || {
    in_cluster get pods,events
    fail "the release is not ready: what the pods say is above"
  }
  # The image may be another one under the same tag.
  [[ -z $again ]] || in_cluster rollout restart deployment/ocr-sidecar deployment/ocr-controller
  in_cluster rollout status deployment/ocr-sidecar deployment/ocr-controller --timeout 5m
  in_cluster get pods,ocrp
}

down() {
  need docker k3d
  k3d cluster delete "$CLUSTER"
}

# Reads a document from a pod that may, by the Service's name, and has one that may not refused.
check() {
  need docker k3d kubectl helm
  k3d cluster list "$CLUSTER" >/dev/null 2>&1 || fail "there is no cluster $CLUSTER: make k3d-up"
  in_cluster rollout status deployment/ocr-sidecar deployment/ocr-controller --timeout 3m
  with_helm test ocr-sidecar --logs --timeout 3m
  in_cluster apply -f manifests/backend.yaml
  in_cluster wait --for=condition=Ready pod/backend --timeout 2m
  in_cluster exec -i backend -- sh -c 'cat > /tmp/document.pdf' <"$DOCUMENT"
  echo "reading $DOCUMENT at $URL"
  local text
  text=$(in_cluster exec backend -- python -m sidecar ocr --url "$URL" /tmp/document.pdf)
  echo "$text"
  [[ $text =~ [[:alpha:]] ]] || fail "no text came back"
  in_cluster wait --for=condition=IsolationEnforced ocrp/ocr-extract --timeout 2m
  in_cluster wait --for=condition=Ready ocrp/ocr-extract --timeout 2m
  in_cluster delete pod backend --now
  echo "all as it should be"
}

case ${1:-} in
  up | down) "$1" ;;
  test) check ;;
  *) fail "usage: scripts/k3d.sh up|test|down" ;;
esac
