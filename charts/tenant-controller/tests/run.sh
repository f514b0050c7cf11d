#!/usr/bin/env bash
# Tests the chart: lints it, renders it with valid values, and checks that invalid values are rejected. If KUBECONFIG is
# set, also validates every object against that cluster's API server, installs, upgrades and uninstalls the chart, and
# compares the permissions of its ServiceAccount with the expected ones. The cluster needs no node, because no Pod has to run.
#
#   charts/tenant-controller/tests/run.sh
#   KUBECONFIG=... HELM=... KUBECTL=... charts/tenant-controller/tests/run.sh
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
chart=$(dirname "$here")
helm=${HELM:-helm}
kubectl=${KUBECTL:-kubectl}
# Deleting a namespace takes a while, so every run uses different names.
namespace=chart-test-$$
a=chart-a-$$ b=chart-b-$$ c=chart-c-$$
failures=0

say() { printf '%s\n' "$*"; }
command -v "$helm" >/dev/null || { say "$helm not found: set HELM to the path of helm"; exit 2; }
fail() { say "FAILED: $*" >&2; failures=$((failures + 1)); }

"$helm" lint --strict --quiet "$chart" -f "$here/accepted/defaults.yaml" || fail "helm lint"

for values in "$here"/accepted/*.yaml; do
  out=$("$helm" template r "$chart" -n "$namespace" -f "$values" 2>&1) || fail "$(basename "$values") does not render: $out"
  # The API server rejects a large integer in scientific notation.
  if grep -nE ': [0-9.]+e\+[0-9]+' <<<"$out"; then fail "$(basename "$values") renders a number in scientific notation"; fi
done

render() { "$helm" template r "$chart" -n "$namespace" -f "$here/accepted/defaults.yaml" "$@" 2>&1; }

# `helm upgrade --reuse-values` uses the values of the previous chart, which may lack a map that this chart has.
for key in $(sed -n 's/^\([a-zA-Z]*\):.*/\1/p' "$chart/values.yaml"); do
  [[ $key == image ]] || out=$(render --set "$key=null") || fail "does not render without $key: $out"
done

# Kubernetes accepts namespaces and names that YAML reads as a number or a boolean.
out=$("$helm" template 1e3 "$chart" -n 12345 -f "$here/accepted/defaults.yaml" --set nameOverride=1e3 \
  --set-string priorityClassName=true --set class.create=true --set-string class.name=007 \
  --set-string class.neon.apiKeySecretRef.name=123 2>&1) || fail "unusual names do not render: $out"
if grep -nE '^ *-? *(name|namespace|priorityClassName|[a-z.]+/(name|instance)): *(12345|1e3|true|007|123)$' <<<"$out"; then
  fail "these names are not quoted"
fi

# The class of the chart retains projects unless told otherwise.
out=$(render --set class.create=true --set class.neon.apiKeySecretRef.name=neon)
grep -q 'deletionPolicy: "Retain"' <<<"$out" || fail "the default class does not retain projects"
grep -q 'kind: ValidatingAdmissionPolicy$' <<<"$out" || fail "no admission policy"
for role in aggregate-to-view aggregate-to-edit aggregate-to-admin servicebinding.io/controller; do
  grep -qE "^ +[a-z0-9.]*/?$role: \"true\"" <<<"$out" || fail "no role with the label $role"
done
out=$(render --set 'extraVolumes[0].name=scratch' --set podSecurityContext.runAsUser=null --set securityContext.privileged=true \
  --set controllerName=example.com/second --set config.installation-id=prod-eu)
for part in 'name: scratch' 'runAsNonRoot: true' 'privileged: true' 'example.com/second' 'installation-id: "\?prod-eu'; do
  grep -q "$part" <<<"$out" || fail "the value is not rendered: $part"
done
if grep -q 'runAsUser' <<<"$out"; then fail "the user id is rendered although it is null"; fi
out=$(render --set 'env[0].name=MALLOC_ARENA_MAX' --set-string 'env[0].value=4')
[[ $(grep -c 'name: MALLOC_ARENA_MAX$' <<<"$out") == 1 ]] || fail "a variable is rendered twice"
out=$(render --set deletionProtectionPolicy.enabled=false --set rbac.aggregate=false)
if grep -qE 'ValidatingAdmissionPolicy|aggregate-to|servicebinding.io' <<<"$out"; then fail "a disabled object is rendered"; fi

while IFS='|' read -r arguments part; do
  [[ $arguments == \#* || -z $arguments ]] && continue
  part=${part# }
  # shellcheck disable=SC2086 # a line contains several arguments
  if out=$("$helm" template r "$chart" -n "$namespace" $arguments 2>&1); then
    fail "helm accepted: $arguments"
  elif ! grep -qF -- "$part" <<<"$out"; then
    fail "$arguments: the error does not mention $part: $out"
  fi
done <"$here/refused.txt"

# shellcheck source=charts/permissions.sh
source "$chart/../permissions.sh"

permissions() { # yes|no: whether the controller has access to namespaces outside watchNamespaces
  local elsewhere=$1 verb
  for verb in get list watch patch; do
    can yes "$a" "$verb" tenants.dbpertenant.dev
    can "$elsewhere" "$c" "$verb" tenants.dbpertenant.dev
  done
  for verb in list watch patch; do can yes "$a" "$verb" tenantclasses.dbpertenant.dev; done
  for verb in list watch create patch delete; do can yes "$a" "$verb" schemarollouts.dbpertenant.dev; done
  can yes "$a" patch schemarollouts.dbpertenant.dev --subresource=status
  can no "$a" deletecollection schemarollouts.dbpertenant.dev
  for verb in get list watch create patch; do
    can yes "$a" "$verb" secrets
    can "$elsewhere" "$c" "$verb" secrets
  done
  for verb in create delete update; do can no "$a" "$verb" tenants.dbpertenant.dev; done
  for verb in delete update deletecollection; do can no "$a" "$verb" secrets; done
  can yes "$a" patch tenants.dbpertenant.dev --subresource=status
  can yes "$a" update tenants.dbpertenant.dev --subresource=finalizers
  can yes "$a" patch tenantclasses.dbpertenant.dev --subresource=status
  can no "$a" update tenantclasses.dbpertenant.dev --subresource=finalizers
  for verb in create patch; do
    can yes "$a" "$verb" events.events.k8s.io
    can yes default "$verb" events.events.k8s.io
    can "$elsewhere" "$c" "$verb" events.events.k8s.io
  done
  for verb in get list watch; do
    can yes "$namespace" "$verb" secrets
    can yes "$namespace" "$verb" configmaps
    can no "$a" "$verb" configmaps
  done
  can yes "$namespace" create leases.coordination.k8s.io
  for verb in get update patch delete; do
    can yes "$namespace" "$verb" leases.coordination.k8s.io tenant-controller
    can no default "$verb" leases.coordination.k8s.io other
  done
  can yes default list leases.coordination.k8s.io
  for verb in get list watch; do can yes default "$verb" namespaces; done
  can no default patch namespaces
  can no "$a" get pods
  can no default get nodes
  check_permissions
}

if [[ -n ${KUBECONFIG:-} ]]; then
  cleanup() {
    "$helm" uninstall chart-test -n "$namespace" >/dev/null 2>&1 || true
    "$kubectl" delete tenantclass "$namespace" --ignore-not-found --wait=false >/dev/null 2>&1 || true
    "$kubectl" delete namespace "$namespace" "$a" "$b" "$c" --ignore-not-found --wait=false >/dev/null 2>&1 || true
  }
  trap cleanup EXIT
  "$kubectl" apply --server-side --force-conflicts -f "$chart/crds" >/dev/null
  for name in "$namespace" "$a" "$b" "$c"; do
    "$kubectl" create namespace "$name" --dry-run=client -o yaml | "$kubectl" apply -f - >/dev/null
  done
  for values in "$here"/accepted/*.yaml; do
    narrowed=()
    if grep -q '^watchNamespaces:' "$values"; then narrowed=(--set "watchNamespaces={$a,$b}"); fi
    out=$("$helm" template r "$chart" -n "$namespace" -f "$values" "${narrowed[@]}" |
      "$kubectl" apply --dry-run=server --validate=strict -f - 2>&1) || fail "the API server rejected $(basename "$values"): $out"
  done

  account=chart-test-tenant-controller
  "$helm" install chart-test "$chart" -n "$namespace" --set image.repository=tenant-controller \
    --set class.create=true --set class.name="$namespace" --set class.neon.apiKeySecretRef.name=neon >/dev/null || fail "helm install"
  permissions yes
  "$helm" upgrade chart-test "$chart" -n "$namespace" -f "$here/accepted/namespaces.yaml" --set "watchNamespaces={$a,$b}" \
    --set class.create=true --set class.name="$namespace" --set class.neon.apiKeySecretRef.name=neon >/dev/null || fail "helm upgrade"
  permissions no
  "$helm" uninstall chart-test -n "$namespace" >/dev/null || fail "helm uninstall"
  "$kubectl" get tenantclass "$namespace" >/dev/null || fail "helm uninstall deleted the TenantClass"
else
  say "KUBECONFIG is not set: skipped the checks that need a cluster."
fi

if ((failures)); then
  say "$failures checks failed."
  exit 1
fi
say "All checks passed."
