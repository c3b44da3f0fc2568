// What /proc and the passwd file say, whatever it is: read or refused, never past its end.
#include <cstdlib>

#include "io/peer_process.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary::io;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto status = parse_process_status(text); status && status->groups.size() > 1024) std::abort();
  if (parse_process_cgroup(text).find('\n') != std::string::npos) std::abort();
  if (name_of_id(text, 0).find_first_of(":\n") != std::string::npos) std::abort();
  return 0;
}
