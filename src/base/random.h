// Randomness as a part that main() hands down: the kernel's in production, a seed in the simulation.
#pragma once

#include <cstdint>
#include <span>

namespace wary {

class Random {
 public:
  virtual ~Random() = default;
  // Fills `out` with unpredictable bytes; does not fail (a kernel without entropy aborts the process).
  virtual void fill(std::span<std::uint8_t> out) = 0;
  std::uint64_t number() {
    std::uint8_t bytes[8];
    fill(bytes);
    std::uint64_t value = 0;
    for (const std::uint8_t byte : bytes) value = value << 8 | byte;
    return value;
  }
};

}  // namespace wary
