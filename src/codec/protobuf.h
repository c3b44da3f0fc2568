// Protocol Buffers' wire format: fields of a message, read one after another, and written.
//
//   ProtoReader reader(bytes);
//   while (const auto field = reader.next()) {
//     if (field->number == 4 && field->type == ProtoField::kBytes) ... field->bytes ...
//   }
//   if (!reader.ok()) ...                       // cut off, or no field
//
// Groups, numbers of 0, varints over ten bytes and lengths past the end are refused; unknown fields are the caller's to
// pass over. Views borrow from the input. Pure; any thread. Limits: the caller's bytes; nothing is allocated by
// reading.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace wary::codec {

struct ProtoField {
  enum Type : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  std::uint32_t number = 0;
  Type type = kVarint;
  std::uint64_t value = 0;  // of the numeric types
  std::string_view bytes;   // of kBytes
};

class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : rest_(bytes) {}
  // The next field; nothing at the end, or when what is there is none: then ok() is false.
  std::optional<ProtoField> next();
  bool ok() const { return ok_; }

 private:
  std::optional<std::uint64_t> varint();
  std::optional<std::uint64_t> fixed(std::size_t size);
  std::string_view rest_;
  bool ok_ = true;
};

void append_proto_varint(std::string& out, std::uint32_t number, std::uint64_t value);
void append_proto_fixed64(std::string& out, std::uint32_t number, std::uint64_t value);
void append_proto_bytes(std::string& out, std::uint32_t number, std::string_view bytes);

}  // namespace wary::codec
