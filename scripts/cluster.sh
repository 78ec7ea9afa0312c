#!/usr/bin/env bash
# A cluster on this machine, with everything in it: `make k3d-up`, `make k3d-test`, `make k3d-down`, and the same with kind.
# Both enforce NetworkPolicies by themselves, so that the test sees the outsider refused. kind does since 0.24.
set -euo pipefail
cd "$(dirname "$0")/.."

TOOL=${TOOL:-k3d} # or kind
CLUSTER=${CLUSTER:-ocr}
NAMESPACE=${NAMESPACE:-ocr}
VERSION=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' sidecar/__init__.py)
DOCUMENT=tests/data/scan-thai-english.pdf

fail() {
  echo "cluster.sh: $*" >&2
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
    kind) echo "install kind, https://kind.sigs.k8s.io" ;;
    kubectl) echo "install kubectl, https://kubernetes.io/docs/tasks/tools/" ;;
    helm) echo "install Helm 3.14 or newer, https://helm.sh/docs/intro/install/" ;;
  esac
}

# kubectl and helm for this cluster, whatever the kubeconfig's current context is.
in_cluster() { kubectl --context "$TOOL-$CLUSTER" --namespace "$NAMESPACE" "$@"; }
with_helm() { helm --kube-context "$TOOL-$CLUSTER" --namespace "$NAMESPACE" "$@"; }

is_there() {
  case $TOOL in
    k3d) k3d cluster list "$CLUSTER" >/dev/null 2>&1 ;;
    kind) kind get nodes --name "$CLUSTER" 2>/dev/null | grep -q . ;;
  esac
}

# Nothing here listens outside the cluster, so k3d needs neither its load balancer nor Traefik.
make_cluster() {
  case $TOOL in
    k3d) k3d cluster create "$CLUSTER" --no-lb --k3s-arg "--disable=traefik@server:0" --wait --timeout 5m ;;
    kind) kind create cluster --name "$CLUSTER" --wait 5m ;;
  esac
}

# It may have been stopped, or the machine. kind's nodes are started by Docker.
start_cluster() {
  [[ $TOOL != k3d ]] || k3d cluster start "$CLUSTER" --wait --timeout 5m
}

load_images() {
  case $TOOL in
    k3d) k3d image import --cluster "$CLUSTER" "$@" ;;
    kind) kind load docker-image --name "$CLUSTER" "$@" ;;
  esac
}

has_images() {
  local image
  for image in "ocr-sidecar:$1" "ocr-controller:$1"; do
    docker image inspect "$image" >/dev/null 2>&1 || fail "the image $image is missing: ${2:-make image}"
  done
}

make_namespace() {
  kubectl --context "$TOOL-$CLUSTER" apply --server-side -f - <<NAMESPACE
apiVersion: v1
kind: Namespace
metadata:
  name: $NAMESPACE
  labels: {pod-security.kubernetes.io/enforce: restricted}
NAMESPACE
}

up() {
  need docker "$TOOL" kubectl helm
  docker info >/dev/null 2>&1 || fail "the Docker daemon does not answer: start it, or become a member of its group"
  has_images "$VERSION"
  if is_there; then start_cluster; else make_cluster; fi
  load_images "ocr-sidecar:$VERSION" "ocr-controller:$VERSION"
  make_namespace
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
  need docker "$TOOL"
  case $TOOL in
    k3d) k3d cluster delete "$CLUSTER" ;;
    kind) kind delete cluster --name "$CLUSTER" ;;
  esac
}

# From the last release to this one and back, in a namespace of its own, which is removed at the end. FROM is the version of
# that release, PREVIOUS its chart: a folder or, by default, what is in the registry; its images must be here.
upgrade() {
  need docker "$TOOL" kubectl helm
  [[ -n ${FROM:-} ]] || fail "FROM says from which version, such as FROM=0.1.0"
  is_there || fail "there is no cluster $CLUSTER: make $TOOL-up"
  has_images "$FROM" "docker pull it, and docker tag it so"
  NAMESPACE=$NAMESPACE-upgrade
  local previous=${PREVIOUS:-build/chart-$FROM}
  if [[ ! -d $previous/templates ]]; then
    [[ -n ${REGISTRY:-} ]] || fail "REGISTRY says where the chart $FROM is, such as REGISTRY=ghcr.io/owner/; or PREVIOUS names its folder"
    helm pull "oci://${REGISTRY}charts/ocr-sidecar" --version "$FROM" --untar --untardir "$previous.new"
    mv "$previous.new/ocr-sidecar" "$previous"
  fi
  load_images "ocr-sidecar:$FROM" "ocr-controller:$FROM"
  make_namespace
  install_chart "$previous"
  read_document
  install_chart helm
  with_helm test ocr-sidecar --logs --timeout 3m
  read_document
  with_helm rollback ocr-sidecar --wait --timeout 5m
  in_cluster apply --server-side --force-conflicts -f "$previous/crds"
  read_document
  kubectl --context "$TOOL-$CLUSTER" delete namespace "$NAMESPACE"
  in_cluster apply --server-side --force-conflicts -f helm/crds
  echo "from $FROM to $VERSION and back"
}

# CRD, then chart: in the order of docs/deploy.md.
install_chart() {
  in_cluster apply --server-side --force-conflicts -f "$1/crds"
  with_helm upgrade --install ocr-sidecar "$1" --values helm/values-k3d.yaml --wait --timeout 5m
  in_cluster rollout status deployment/ocr-sidecar deployment/ocr-controller --timeout 5m
}

read_document() {
  local text
  in_cluster apply -f manifests/backend.yaml
  in_cluster wait --for=condition=Ready pod/backend --timeout 2m
  in_cluster exec -i backend -- sh -c 'cat > /tmp/document.pdf' <"$DOCUMENT"
  echo "reading $DOCUMENT at http://ocr-sidecar.$NAMESPACE.svc:8765"
  text=$(in_cluster exec backend -- python -m sidecar ocr --url "http://ocr-sidecar.$NAMESPACE.svc:8765" /tmp/document.pdf)
  echo "$text"
  [[ $text =~ [[:alpha:]] ]] || fail "no text came back"
  in_cluster wait --for=condition=Ready ocrp/ocr-extract --timeout 2m
  in_cluster delete pod backend --now
}

# Reads a document from a pod that may, by the Service's name, and has one that may not refused.
check() {
  need docker "$TOOL" kubectl helm
  is_there || fail "there is no cluster $CLUSTER: make $TOOL-up"
  in_cluster rollout status deployment/ocr-sidecar deployment/ocr-controller --timeout 3m
  with_helm test ocr-sidecar --logs --timeout 3m
  read_document
  in_cluster wait --for=condition=IsolationEnforced ocrp/ocr-extract --timeout 2m
  echo "all as it should be"
}

case $TOOL in
  k3d | kind) ;;
  *) fail "TOOL is $TOOL; k3d or kind is accepted" ;;
esac
case ${1:-} in
  up | down | upgrade) "$1" ;;
  test) check ;;
  *) fail "usage: scripts/cluster.sh up|test|upgrade|down" ;;
esac
