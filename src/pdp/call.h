// Call and Answer: a request to the decision point and what it gets, as values; http/server.h carries them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wary::pdp {

struct Call {
  std::string_view method;
  std::string_view path;  // without the query
  std::string_view host;
  std::string_view content_type;
  std::string_view content_encoding;
  std::string_view request_id;
  std::string_view body;
  std::string pep;  // who asks, as events name it; empty: nobody known, who gets 401
};

struct Answer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

// {"error":{"code","message","where"?}}
Answer refusal(int status, std::string_view code, std::string_view message, std::string_view where = {});

}  // namespace wary::pdp
