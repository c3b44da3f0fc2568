// Every bound of the product that more than one folder needs, in one place. A parser takes the limits it must keep.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wary {

struct Limits {
  std::size_t bytes = std::size_t{1} << 20;  // input length
  std::size_t depth = 64;                    // nesting
  std::size_t items = 10'000;                // keys of an object, elements of a list
  std::size_t total = 200'000;               // values in one document
};

namespace limits {
constexpr std::size_t kHttpHeaderBytes = 64 * 1024;
constexpr std::size_t kHttpHeaderFields = 100;
constexpr std::size_t kHttpTargetBytes = 8 * 1024;
constexpr std::size_t kHttpChunkLineBytes = 1024;
constexpr std::size_t kDerDepth = 32;
constexpr std::size_t kFreeTextBytes = 4 * 1024;
constexpr std::size_t kTokenBytes = 16 * 1024;
constexpr std::size_t kObjectBytes = 256 * 1024;
constexpr std::size_t kPolicyBytes = 64 * 1024;
constexpr std::size_t kPolicyDepth = 256;
constexpr std::size_t kNameBytes = 63;
constexpr std::size_t kLedgerEntryBytes = 65'535;
constexpr std::size_t kFrameBytes = std::size_t{64} << 20;
}  // namespace limits

}  // namespace wary
