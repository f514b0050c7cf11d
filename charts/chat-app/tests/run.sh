#!/usr/bin/env bash
# Tests the chart: lints it, renders it with valid values, and checks that invalid values are rejected. If KUBECONFIG is
# set, also validates every object against that cluster's API server, installs, upgrades and uninstalls the chart, and
# compares the permissions of its ServiceAccount with the expected ones. The cluster needs no node, because no Pod has to run.
#
#   charts/chat-app/tests/run.sh
#   KUBECONFIG=... HELM=... KUBECTL=... charts/chat-app/tests/run.sh
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
chart=$(dirname "$here")
helm=${HELM:-helm}
kubectl=${KUBECTL:-kubectl}
# Deleting a namespace takes a while, so every run uses different names.
namespace=chart-test-$$ tenants=chart-tenants-$$ other=chart-other-$$
failures=0

say() { printf '%s\n' "$*"; }
command -v "$helm" >/dev/null || { say "$helm not found: set HELM to the path of helm"; exit 2; }
fail() { say "FAILED: $*" >&2; failures=$((failures + 1)); }

"$helm" lint --strict --quiet "$chart" -f "$here/accepted/least.yaml" || fail "helm lint"

for values in "$here"/accepted/*.yaml; do
  out=$("$helm" template r "$chart" -n "$namespace" -f "$values" 2>&1) || fail "$(basename "$values") does not render: $out"
  # The API server rejects a large integer in scientific notation.
  if grep -nE ': [0-9.]+e\+[0-9]+' <<<"$out"; then fail "$(basename "$values") renders a number in scientific notation"; fi
  # Every container has this security context unless the values replace it.
  containers=$(grep -cE '^ +image: ' <<<"$out")
  for line in 'allowPrivilegeEscalation: false' 'readOnlyRootFilesystem: true' '- ALL'; do
    [[ $(grep -cE "^ +$line" <<<"$out") == "$containers" ]] || fail "$(basename "$values"): not every container has $line"
  done
  # Manifests refer to Secrets but never contain their values.
  if grep -nE '^kind: Secret' <<<"$out"; then fail "$(basename "$values") renders a Secret"; fi
done

render() { "$helm" template r "$chart" -n "$namespace" -f "$here/accepted/least.yaml" "$@" 2>&1; }

# `helm upgrade --reuse-values` uses the values of the previous chart, which may lack a map that this chart has. `config` contains
# the first owners, which are required.
for key in $(sed -n 's/^\([a-zA-Z]*\):.*/\1/p' "$chart/values.yaml"); do
  [[ $key == image || $key == publicUrl || $key == secrets || $key == config ]] || out=$(render --set "$key=null") ||
    fail "does not render without $key: $out"
done

# Kubernetes accepts namespaces and names that YAML reads as a number or a boolean.
out=$("$helm" template 1e3 "$chart" -n 12345 -f "$here/accepted/least.yaml" --set nameOverride=1e3 --set-string tenantsNamespace=777 \
  --set-string priorityClassName=true --set-string secrets.database.name=123 --set ingress.enabled=true \
  --set config.trusted-proxies=10.0.0.0/8 --set-string ingress.className=1e3 --set-string ingress.tlsSecretName=123 2>&1) ||
  fail "unusual names do not render: $out"
if grep -nE '^ *-? *(name|key|namespace|priorityClassName|ingressClassName|secretName|[a-z.]+/(name|instance)): *(12345|777|1e3|true|123)$' <<<"$out"; then
  fail "these names are not quoted"
fi

while IFS='|' read -r arguments part; do
  [[ $arguments == \#* || -z $arguments ]] && continue
  part=${part# }
  arguments=${arguments/least/-f $here/accepted/least.yaml}
  # shellcheck disable=SC2086 # a line contains several arguments
  if out=$("$helm" template r "$chart" -n "$namespace" $arguments 2>&1); then
    fail "helm accepted: $arguments"
  elif ! grep -qF -- "$part" <<<"$out"; then
    fail "$arguments: the error does not mention $part: $out"
  fi
done <"$here/refused.txt"

# shellcheck source=charts/permissions.sh
source "$chart/../permissions.sh"

permissions() {
  local verb where
  for verb in get list watch create patch delete; do
    can yes "$tenants" "$verb" tenants.dbpertenant.dev
    can no "$other" "$verb" tenants.dbpertenant.dev
    can no "$namespace" "$verb" tenants.dbpertenant.dev
  done
  for verb in get list watch; do
    can yes "$tenants" "$verb" secrets
    for where in "$other" "$namespace"; do can no "$where" "$verb" secrets; done
  done
  for verb in create patch update delete deletecollection; do can no "$tenants" "$verb" secrets; done
  can no "$tenants" deletecollection tenants.dbpertenant.dev
  can no "$tenants" patch tenants.dbpertenant.dev --subresource=status
  for verb in get list patch; do can no default "$verb" tenantclasses.dbpertenant.dev; done
  can no default get namespaces
  can no "$namespace" get configmaps
  can no "$tenants" get pods
  can no "$namespace" create pods
  check_permissions
}

if [[ -n ${KUBECONFIG:-} ]]; then
  cleanup() {
    "$helm" uninstall chart-test -n "$namespace" >/dev/null 2>&1 || true
    "$kubectl" delete namespace "$namespace" "$tenants" "$other" --ignore-not-found --wait=false >/dev/null 2>&1 || true
  }
  trap cleanup EXIT
  "$kubectl" apply --server-side --force-conflicts -f "$chart/../tenant-controller/crds" >/dev/null
  for name in "$namespace" "$tenants" "$other"; do
    "$kubectl" create namespace "$name" --dry-run=client -o yaml | "$kubectl" apply -f - >/dev/null
  done
  for values in "$here"/accepted/*.yaml; do
    out=$("$helm" template r "$chart" -n "$namespace" -f "$values" --set "tenantsNamespace=$tenants" |
      "$kubectl" apply --dry-run=server --validate=strict -f - 2>&1) || fail "the API server rejected $(basename "$values"): $out"
  done

  account=chart-test-chat-app
  "$helm" install chart-test "$chart" -n "$namespace" -f "$here/accepted/least.yaml" \
    --set "tenantsNamespace=$tenants" >/dev/null || fail "helm install"
  permissions
  "$helm" upgrade chart-test "$chart" -n "$namespace" -f "$here/accepted/workers.yaml" \
    --set "tenantsNamespace=$tenants" >/dev/null || fail "helm upgrade"
  permissions
  "$helm" uninstall chart-test -n "$namespace" >/dev/null || fail "helm uninstall"
else
  say "KUBECONFIG is not set: skipped the checks that need a cluster."
fi

if ((failures)); then
  say "$failures checks failed."
  exit 1
fi
say "All checks passed."
