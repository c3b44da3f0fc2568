#include "codec/error_json.h"

namespace wary::codec {

Json to_json(const Error& error) {
  Json out = Json::object();
  out.set("kind", to_string(error.kind)).set("code", std::string_view(error.code));
  out.set("message", std::string_view(error.message));
  if (!error.where.empty()) out.set("where", std::string_view(error.where));
  if (!error.expected_text.empty()) out.set("expected", std::string_view(error.expected_text));
  if (!error.found_text.empty()) out.set("found", std::string_view(error.found_text));
  if (!error.next_step.empty()) out.set("next", std::string_view(error.next_step));
  return out;
}

}  // namespace wary::codec
