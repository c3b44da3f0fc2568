// Kubernetes' authorization webhook: SubjectAccessReview of authorization.k8s.io/v1 in, the same with a status out.
//
//   POST /kubernetes/authorize
//
// The user is Wary::User::"NAME"; the verb is Wary::Action::"kubernetes.VERB"; the resource is
// Kubernetes::Resource::"NAMESPACE/GROUP/RESOURCE[/SUBRESOURCE]/NAME" or Kubernetes::Path::"/PATH". All of it is also
// in context.kubernetes: user, groups (set), verb, namespace, group, version, resource, subresource, name, path.
// status.allowed is the decision. status.denied, which ends the API server's search, is set when a policy forbids and
// when it cannot be decided; without a permit, and for users that wary does not know, there is no opinion and the next
// authorizer is asked. Pure; any thread. Limits: body 1 MiB, 500 groups.
#pragma once

#include "pdp/authority.h"
#include "pdp/call.h"

namespace wary::pdp {

Answer answer_kubernetes(Authority& authority, const Call& call);

}  // namespace wary::pdp
