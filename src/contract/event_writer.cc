#include "contract/event_writer.h"

#include <array>

#include "base/check.h"
#include "base/limits.h"

namespace wary::contract {

namespace {

constexpr std::size_t kTexts = 8;
constexpr std::size_t kSizeBytes = 4;

template <typename T>
void append_number(std::string& out, T value) {
  std::array<char, sizeof(T)> bytes;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes[i] = static_cast<char>(value >> (8 * (sizeof(T) - 1 - i)) & 0xff);
  }
  out.append(bytes.data(), bytes.size());
}

void append_sized_text(std::string& out, std::string_view text) {
  append_number(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

}  // namespace

EventWriter::EventWriter(std::string& bytes, const EventHead& head) : bytes_(bytes) {
  fits_ = head.source.size() <= kEventSourceMax && head.tenant.size() <= limits::kNameBytes;
  bytes_.assign(kEventMagic);
  append_sized_text(bytes_, head.source);
  append_number(bytes_, head.boot);
  append_number(bytes_, head.sequence);
  append_sized_text(bytes_, head.tenant);
  append_number(bytes_, static_cast<std::uint32_t>(head.class_uid));
  append_number(bytes_, head.activity_id);
  append_number(bytes_, static_cast<std::uint64_t>(head.event_time.nanos));
  append_number(bytes_, std::uint64_t{0});
}

void EventWriter::text(std::string_view text) {
  begin_text() += text;
  end_text();
}

std::string& EventWriter::begin_text() {
  bytes_.append(kSizeBytes, '\0');
  text_at_ = bytes_.size();
  return bytes_;
}

void EventWriter::end_text() {
  WARY_CHECK(text_at_ != 0 && ++texts_ <= kTexts);
  const std::size_t size = bytes_.size() - text_at_;
  // The detail may use what the entry has; the others are names.
  fits_ = fits_ && size <= (texts_ == kTexts ? limits::kLedgerEntryBytes : limits::kFreeTextBytes);
  for (std::size_t i = 0; i < kSizeBytes; ++i) {
    bytes_[text_at_ - kSizeBytes + i] = static_cast<char>(size >> (8 * (kSizeBytes - 1 - i)) & 0xff);
  }
  text_at_ = 0;
}

bool EventWriter::finish() {
  WARY_CHECK(texts_ == kTexts && text_at_ == 0);
  append_number(bytes_, std::uint32_t{0});  // no raw bytes
  return fits_ && bytes_.size() <= limits::kLedgerEntryBytes;
}

}  // namespace wary::contract
