// Randomness as a part that main() hands down: the kernel's in production, a seed in the simulation.
#pragma once

#include <array>
#include <cstddef>
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

// Takes from another in larger pieces: for numbers that are many and no secrets (trace ids, which of two places). What
// lies in the piece is in memory before it is used, so keys and tokens are not made of it. One thread's.
class PooledRandom final : public Random {
 public:
  explicit PooledRandom(Random& source) : source_(source) {}
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) {
      if (used_ == pool_.size()) {
        source_.fill(pool_);
        used_ = 0;
      }
      byte = pool_[used_++];
    }
  }

 private:
  Random& source_;
  std::array<std::uint8_t, 1024> pool_{};
  std::size_t used_ = 1024;
};

}  // namespace wary
