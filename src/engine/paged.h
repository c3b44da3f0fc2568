// Paged: numbers to what they name, in pages that successive revisions share. Private to engine/.
//
//   Paged<EntityBlock> next = current;          // a pointer a page
//   next.put(changes, [](const EntityBlock* old) { ... });
//
// A value; what it points to is not its own. Immutable for whoever got a const one; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace wary::engine {

template <typename T>
class Paged {
 public:
  static constexpr std::uint32_t kBits = 8;
  static constexpr std::uint32_t kSize = 1U << kBits;
  using Page = std::array<const T*, kSize>;
  using Change = std::pair<std::uint32_t, const T*>;  // null: gone

  [[gnu::always_inline]] const T* find(std::uint32_t number) const {
    const std::uint32_t page = number >> kBits;
    if (page >= pages_.size() || pages_[page] == nullptr) return nullptr;
    return (*pages_[page])[number & (kSize - 1)];
  }
  void prefetch(std::uint32_t number) const {
    const std::uint32_t page = number >> kBits;
    if (page < pages_.size() && pages_[page] != nullptr) __builtin_prefetch(&(*pages_[page])[number & (kSize - 1)]);
  }
  std::size_t size() const { return size_; }  // of what is there
  // Everything there, by ascending number.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const auto& page : pages_) {
      if (page == nullptr) continue;
      for (const T* item : *page) {
        if (item != nullptr) visit(*item);
      }
    }
  }
  // Starts with pages that outlive this and every copy of it; `size` of what is there.
  void adopt(std::span<const Page> pages, std::size_t size) {
    pages_.reserve(pages.size());
    for (const Page& page : pages) pages_.emplace_back(std::shared_ptr<const Page>(), &page);  // owns nothing
    size_ = size;
  }
  // Changes by ascending number; calls replaced(old) for each that there was.
  template <typename Replaced>
  void put(std::span<const Change> changes, Replaced replaced) {
    std::shared_ptr<Page> page;
    std::uint32_t number = 0xFFFFFFFF;
    for (const auto& [at, item] : changes) {
      if (at >> kBits != number) {
        number = at >> kBits;
        if (pages_.size() <= number) pages_.resize(number + 1);
        page = pages_[number] != nullptr ? std::make_shared<Page>(*pages_[number]) : std::make_shared<Page>();
        pages_[number] = page;
      }
      const T*& slot = (*page)[at & (kSize - 1)];
      if (slot != nullptr) {
        replaced(*slot);
        --size_;
      }
      slot = item;
      if (item != nullptr) ++size_;
    }
  }

 private:
  std::vector<std::shared_ptr<const Page>> pages_;  // shared between the tables of successive revisions
  std::size_t size_ = 0;
};

}  // namespace wary::engine
