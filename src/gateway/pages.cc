#include "gateway/pages.h"

#include "codec/json.h"

namespace wary::gateway {

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string render_html(const Notice& notice) {
  std::string out =
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"><title>wary: " +
      std::to_string(notice.status) + "</title></head><body><main><h1>" + escape_html(notice.title) + "</h1><p>" +
      escape_html(notice.next) + "</p>";
  if (!notice.reference.empty()) {
    out += "<p>Reference: <code id=\"reference\">" + escape_html(notice.reference) + "</code></p>";
  }
  out += "<p><small>wary &middot; <code>" + escape_html(notice.code) + "</code></small></p></main></body></html>\n";
  return out;
}

std::string render_json(const Notice& notice) {
  codec::Json error = codec::Json::object();
  error.set("code", notice.code).set("message", notice.title).set("next", notice.next);
  if (!notice.reference.empty()) error.set("reference", notice.reference);
  return codec::Json::object({{"error", error}}).to_string() + "\n";
}

bool prefers_html(std::string_view accept) { return accept.find("text/html") != std::string_view::npos; }

}  // namespace wary::gateway
