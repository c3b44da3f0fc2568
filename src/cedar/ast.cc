#include "cedar/ast.h"

namespace wary::cedar {

std::string_view to_string(Variable variable) {
  switch (variable) {
    case Variable::kPrincipal: return "principal";
    case Variable::kAction: return "action";
    case Variable::kResource: return "resource";
    case Variable::kContext: return "context";
  }
  return "";
}

std::string_view to_string(Slot slot) { return slot == Slot::kPrincipal ? "?principal" : "?resource"; }

const std::string* PolicyBody::annotation(std::string_view name) const {
  static const std::string kNone;
  for (const Annotation& annotation : annotations) {
    if (annotation.name == name) return annotation.value ? &*annotation.value : &kNone;
  }
  return nullptr;
}

}  // namespace wary::cedar
