#include "link/update.h"

#include <algorithm>
#include <span>
#include <tuple>

#include "base/limits.h"
#include "crypto/hash.h"

namespace wary::link {

namespace {

constexpr std::string_view kMagic = "WUP2";
constexpr std::string_view kDomain = "wary snapshot v2\n";
constexpr std::size_t kPathMost = 16;
constexpr std::size_t kNameBytes = 128;
constexpr std::size_t kSignatureBytes = 64;
constexpr std::size_t kEventsPerBatch = 4096;

void append_text(Bytes& out, std::string_view text) {
  append_big_endian(out, static_cast<std::uint32_t>(text.size()));
  append(out, as_bytes(text));
}

// A cursor over one message: every take fails past the end, and end() wants that nothing is left.
class Cursor {
 public:
  explicit Cursor(ByteView bytes) : bytes_(bytes) {}

  template <typename T>
  Result<T> number() {
    if (bytes_.size() - at_ < sizeof(T)) return short_message();
    const T value = read_big_endian<T>(bytes_.data() + at_);
    at_ += sizeof(T);
    return value;
  }
  Result<ByteView> bytes(std::size_t size_max) {
    WARY_ASSIGN_OR_RETURN(const std::uint32_t size, number<std::uint32_t>());
    if (size > size_max || size > bytes_.size() - at_) return short_message();
    at_ += size;
    return bytes_.subspan(at_ - size, size);
  }
  Result<std::string> text(std::size_t size_max) {
    WARY_ASSIGN_OR_RETURN(const ByteView taken, bytes(size_max));
    return std::string(as_text(taken));
  }
  Status magic(std::string_view expected) {
    if (as_text(bytes_.subspan(0, std::min(bytes_.size(), expected.size()))) != expected) return short_message();
    at_ = expected.size();
    return {};
  }
  Status fill(std::span<std::uint8_t> out) {
    if (bytes_.size() - at_ < out.size()) return short_message();
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at_), out.size(), out.begin());
    at_ += out.size();
    return {};
  }
  Status end() {
    if (at_ != bytes_.size()) return short_message();
    return {};
  }
  Error refuse() const { return short_message(); }

 private:
  Error short_message() const {
    return fail(ErrorKind::kInvalid, "update_syntax", "a link message is not well formed")
        .at("byte " + std::to_string(at_));
  }
  ByteView bytes_;
  std::size_t at_ = 0;
};

crypto::Digest leaf_of(const Update& update) {
  Bytes out{0};
  append_text(out, update.view);
  append(out, crypto::sha256(as_bytes(update.content)));
  return crypto::sha256(out);
}

crypto::Digest node_of(const crypto::Digest& left, const crypto::Digest& right) {
  Bytes out{1};
  append(out, left);
  append(out, right);
  return crypto::sha256(out);
}

}  // namespace

Bytes signed_part(const Update& update) {
  crypto::Digest root = leaf_of(update);
  for (const PathStep& step : update.path) {
    root = step.is_left ? node_of(step.digest, root) : node_of(root, step.digest);
  }
  Bytes out = to_bytes(kDomain);
  append_text(out, update.history);
  append_big_endian(out, update.from);
  append_big_endian(out, update.to);
  append_big_endian(out, static_cast<std::uint64_t>(update.published));
  append_big_endian(out, static_cast<std::uint64_t>(update.committed));
  append(out, root);
  return out;
}

Status sign_together(std::vector<Update>& updates, const std::function<Result<Bytes>(ByteView message)>& sign) {
  if (updates.empty()) return {};
  const auto step_of = [](const Update& update) {
    return std::tie(update.history, update.from, update.to, update.published, update.committed);
  };
  std::vector<crypto::Digest> row;
  std::vector<std::size_t> place;  // of each update's ancestor in the row
  for (Update& update : updates) {
    if (step_of(update) != step_of(updates.front())) {
      return fail(ErrorKind::kInvalid, "update_together", "updates signed together are of one step").at(update.view);
    }
    update.path.clear();
    place.push_back(row.size());
    row.push_back(leaf_of(update));
  }
  while (row.size() > 1) {
    std::vector<crypto::Digest> above;
    for (std::size_t i = 0; i < row.size(); i += 2) {
      above.push_back(i + 1 < row.size() ? node_of(row[i], row[i + 1]) : row[i]);
    }
    for (std::size_t i = 0; i < updates.size(); ++i) {
      const std::size_t sibling = place[i] ^ 1U;
      if (sibling < row.size()) updates[i].path.push_back({(place[i] & 1U) != 0, row[sibling]});
      place[i] /= 2;
    }
    row = std::move(above);
  }
  WARY_ASSIGN_OR_RETURN(const Bytes signature, sign(signed_part(updates.front())));
  for (Update& update : updates) update.signature = signature;
  return {};
}

Bytes encode(const Update& update) {
  Bytes out = to_bytes(kMagic);
  append_text(out, update.history);
  append_text(out, update.view);
  append_big_endian(out, update.from);
  append_big_endian(out, update.to);
  append_big_endian(out, static_cast<std::uint64_t>(update.published));
  append_big_endian(out, static_cast<std::uint64_t>(update.committed));
  append_text(out, update.content);
  out.push_back(static_cast<std::uint8_t>(update.path.size()));
  for (const PathStep& step : update.path) {
    out.push_back(step.is_left ? 1 : 0);
    append(out, step.digest);
  }
  append_text(out, as_text(update.signature));
  return out;
}

Result<Update> decode_update(ByteView bytes) {
  Cursor cursor(bytes);
  Update update;
  WARY_RETURN_IF_ERROR(cursor.magic(kMagic));
  WARY_ASSIGN_OR_RETURN(update.history, cursor.text(kNameBytes));
  WARY_ASSIGN_OR_RETURN(update.view, cursor.text(kNameBytes));
  WARY_ASSIGN_OR_RETURN(update.from, cursor.number<std::uint64_t>());
  WARY_ASSIGN_OR_RETURN(update.to, cursor.number<std::uint64_t>());
  WARY_ASSIGN_OR_RETURN(const std::uint64_t published, cursor.number<std::uint64_t>());
  update.published = static_cast<std::int64_t>(published);
  WARY_ASSIGN_OR_RETURN(const std::uint64_t committed, cursor.number<std::uint64_t>());
  update.committed = static_cast<std::int64_t>(committed);
  WARY_ASSIGN_OR_RETURN(update.content, cursor.text(limits::kFrameBytes));
  WARY_ASSIGN_OR_RETURN(const std::uint8_t steps, cursor.number<std::uint8_t>());
  if (steps > kPathMost) return cursor.refuse();
  for (std::uint8_t i = 0; i < steps; ++i) {
    PathStep step;
    WARY_ASSIGN_OR_RETURN(const std::uint8_t side, cursor.number<std::uint8_t>());
    if (side > 1) return cursor.refuse();
    step.is_left = side == 1;
    WARY_RETURN_IF_ERROR(cursor.fill(step.digest));
    update.path.push_back(step);
  }
  WARY_ASSIGN_OR_RETURN(const ByteView signature, cursor.bytes(kSignatureBytes));
  update.signature.assign(signature.begin(), signature.end());
  WARY_RETURN_IF_ERROR(cursor.end());
  return update;
}

Bytes encode(const Hello& hello) {
  Bytes out;
  append_text(out, hello.node);
  append_text(out, hello.history);
  append_big_endian(out, hello.revision);
  return out;
}

Result<Hello> decode_hello(ByteView bytes) {
  Cursor cursor(bytes);
  Hello hello;
  WARY_ASSIGN_OR_RETURN(hello.node, cursor.text(kNameBytes));
  WARY_ASSIGN_OR_RETURN(hello.history, cursor.text(kNameBytes));
  WARY_ASSIGN_OR_RETURN(hello.revision, cursor.number<std::uint64_t>());
  WARY_RETURN_IF_ERROR(cursor.end());
  return hello;
}

Bytes encode(const EventBatch& batch) {
  Bytes out;
  std::size_t size = 20;
  for (const Bytes& event : batch.events) size += 4 + event.size();
  out.reserve(size);
  append_big_endian(out, batch.boot);
  append_big_endian(out, batch.first_sequence);
  append_big_endian(out, static_cast<std::uint32_t>(batch.events.size()));
  for (const Bytes& event : batch.events) append_text(out, as_text(event));
  return out;
}

Result<EventBatch> decode_event_batch(ByteView bytes) {
  Cursor cursor(bytes);
  EventBatch batch;
  WARY_ASSIGN_OR_RETURN(batch.boot, cursor.number<std::uint64_t>());
  WARY_ASSIGN_OR_RETURN(batch.first_sequence, cursor.number<std::uint64_t>());
  WARY_ASSIGN_OR_RETURN(const std::uint32_t count, cursor.number<std::uint32_t>());
  if (count > kEventsPerBatch) {
    return fail(ErrorKind::kInvalid, "update_syntax", "too many events in one message").found(std::to_string(count));
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    WARY_ASSIGN_OR_RETURN(const ByteView event, cursor.bytes(limits::kLedgerEntryBytes));
    batch.events.emplace_back(event.begin(), event.end());
  }
  WARY_RETURN_IF_ERROR(cursor.end());
  return batch;
}

Bytes encode(const Receipt& receipt) {
  Bytes out;
  append_big_endian(out, receipt.boot);
  append_big_endian(out, receipt.sequence);
  return out;
}

Result<Receipt> decode_receipt(ByteView bytes) {
  Cursor cursor(bytes);
  Receipt receipt;
  WARY_ASSIGN_OR_RETURN(receipt.boot, cursor.number<std::uint64_t>());
  WARY_ASSIGN_OR_RETURN(receipt.sequence, cursor.number<std::uint64_t>());
  WARY_RETURN_IF_ERROR(cursor.end());
  return receipt;
}

}  // namespace wary::link
