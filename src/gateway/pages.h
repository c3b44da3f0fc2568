// Pages: what a person or a program reads when the gateway itself answers. Every refusal has a reference to look up and
// says what to do next; nothing of a policy is told to the one it refused.
//
// Functions of their arguments; any thread.
#pragma once

#include <string>
#include <string_view>

namespace wary::gateway {

struct Notice {
  int status = 403;
  std::string_view code;
  std::string_view title;      // a sentence for the person
  std::string_view next;       // what they can do
  std::string_view reference;  // the decision id, or empty
};

std::string render_html(const Notice& notice);
std::string render_json(const Notice& notice);
// Whether an Accept value prefers HTML: a browser that navigates.
bool prefers_html(std::string_view accept);
std::string escape_html(std::string_view text);

}  // namespace wary::gateway
