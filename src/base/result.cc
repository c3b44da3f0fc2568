#include "base/result.h"

namespace wary {

namespace {

struct KindRow {
  std::string_view name;
  int http;
  int exit;
};

// One row a kind, in the order of the enum: the only place where a kind becomes a number.
KindRow row(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid: return {"invalid", 400, 2};
    case ErrorKind::kUnauthenticated: return {"unauthenticated", 401, 3};
    case ErrorKind::kDenied: return {"denied", 403, 4};
    case ErrorKind::kNotFound: return {"not_found", 404, 5};
    case ErrorKind::kConflict: return {"conflict", 409, 6};
    case ErrorKind::kGone: return {"gone", 410, 7};
    case ErrorKind::kExhausted: return {"exhausted", 429, 8};
    case ErrorKind::kUnavailable: return {"unavailable", 503, 9};
    case ErrorKind::kTimeout: return {"timeout", 504, 10};
    case ErrorKind::kUnsupported: return {"unsupported", 501, 11};
    case ErrorKind::kDataLoss: return {"data_loss", 500, 12};
    case ErrorKind::kInternal: return {"internal", 500, 13};
  }
  check_failed("known error kind", __FILE__, __LINE__);
}

}  // namespace

int http_status(ErrorKind kind) { return row(kind).http; }
int exit_code(ErrorKind kind) { return row(kind).exit; }
std::string_view to_string(ErrorKind kind) { return row(kind).name; }

std::string Error::to_string() const {
  std::string text;
  if (!where.empty()) text += where + ": ";
  text += message;
  if (!expected_text.empty() || !found_text.empty()) {
    text += " (";
    if (!expected_text.empty()) text += "expected " + expected_text;
    if (!expected_text.empty() && !found_text.empty()) text += ", ";
    if (!found_text.empty()) text += "found " + found_text;
    text += ")";
  }
  return text + " [" + code + "]";
}

}  // namespace wary
