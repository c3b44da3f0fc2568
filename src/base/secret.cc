#include "base/secret.h"

#include <sys/mman.h>

#include <cstring>
#include <utility>

#include "base/check.h"

namespace wary {

Secret::Secret(std::size_t size) : size_(size) {
  if (size == 0) return;
  constexpr std::size_t kPage = 4096;
  mapped_ = (size + kPage - 1) / kPage * kPage;
  void* memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  WARY_CHECK(memory != MAP_FAILED);
  data_ = static_cast<std::uint8_t*>(memory);
  // Best effort by design: RLIMIT_MEMLOCK may be small, and a secret that may be swapped beats a process that cannot
  // run.
  (void)mlock(memory, mapped_);
  (void)madvise(memory, mapped_, MADV_DONTDUMP);
  (void)madvise(memory, mapped_, MADV_WIPEONFORK);
}

Secret Secret::copy_of(ByteView bytes) {
  Secret secret(bytes.size());
  if (!bytes.empty()) std::memcpy(secret.data_, bytes.data(), bytes.size());
  return secret;
}

Secret Secret::take(Bytes& bytes) {
  Secret secret = copy_of(bytes);
  wipe(bytes.data(), bytes.size());
  bytes.clear();
  return secret;
}

Secret::Secret(Secret&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_(std::exchange(other.mapped_, 0)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    release();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    mapped_ = std::exchange(other.mapped_, 0);
  }
  return *this;
}

Secret::~Secret() { release(); }

void Secret::release() {
  if (data_ == nullptr) return;
  wipe(data_, size_);
  munmap(data_, mapped_);
  data_ = nullptr;
  size_ = mapped_ = 0;
}

bool equals_in_constant_time(ByteView a, ByteView b) {
  if (a.size() != b.size()) return false;
  volatile std::uint8_t difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference = static_cast<std::uint8_t>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

void wipe(void* data, std::size_t size) {
  if (size != 0) explicit_bzero(data, size);
}

}  // namespace wary
