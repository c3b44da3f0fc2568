#include "io/loop.h"

namespace wary::io {

std::string Address::to_string() const {
  if (family == Family::kUnix) return "unix:" + host;
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace wary::io
