// What an agent trusts of a trust domain, out of its entity.
#pragma once

#include "contract/entity.h"
#include "workload/service.h"

namespace wary::workload {

// Of a Wary::TrustDomain's fact `bundle`, a SPIFFE trust bundle as text. Errors: bundle_missing and those of its
// parser.
Result<KnownBundle> bundle_of(const contract::Entity& trust_domain);

}  // namespace wary::workload
