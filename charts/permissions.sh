# Functions for the tests of the charts, which source this file. They check the permissions of the ServiceAccount $account
# in $namespace with SubjectAccessReviews.

reviews='' expectations=()

# Remembers an expectation for check_permissions.
can() { # yes|no namespace verb resource[.group] [name | --subresource=x]
  local want=$1 where=$2 verb=$3 resource=${4%%.*} group='' name='' subresource='' review
  [[ $4 != *.* ]] || group=${4#*.}
  case ${5:-} in
  --subresource=*) subresource=${5#*=} ;;
  ?*) name=$5 ;;
  esac
  expectations+=("$want $verb $4 ${5:-} in $where")
  printf -v review '%s\n' '---' 'apiVersion: authorization.k8s.io/v1' 'kind: SubjectAccessReview' 'spec:' \
    "  user: \"system:serviceaccount:$namespace:$account\"" \
    "  resourceAttributes: {namespace: \"$where\", verb: \"$verb\", group: \"$group\", resource: \"$resource\"," \
    "    subresource: \"$subresource\", name: \"$name\"}"
  reviews+=$review
}

# Compares all expectations with the answers of the API server.
check_permissions() {
  local answers answer index
  mapfile -t answers < <("$kubectl" create -f - -o 'jsonpath={.status.allowed}{"\n"}' <<<"$reviews")
  ((${#answers[@]} == ${#expectations[@]})) || fail "${#answers[@]} answers to ${#expectations[@]} SubjectAccessReviews"
  for index in "${!answers[@]}"; do
    answer=no
    [[ ${answers[index]} != true ]] || answer=yes
    [[ ${expectations[index]} == "$answer "* ]] || fail "expected ${expectations[index]}: got $answer"
  done
  reviews='' expectations=()
}
