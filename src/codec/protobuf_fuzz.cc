// What is read and written again is read the same.
#include <cstdlib>
#include <vector>

#include "codec/protobuf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wary::codec;
  ProtoReader reader({reinterpret_cast<const char*>(data), size});
  std::vector<ProtoField> fields;
  std::string out;
  while (const auto field = reader.next()) {
    if (field->type == ProtoField::kFixed32 || field->type == ProtoField::kFixed64) continue;
    if (field->type == ProtoField::kBytes)
      append_proto_bytes(out, field->number, field->bytes);
    else
      append_proto_varint(out, field->number, field->value);
    fields.push_back(*field);
  }
  ProtoReader again(out);
  for (const ProtoField& field : fields) {
    const auto other = again.next();
    if (!other || other->number != field.number || other->bytes != field.bytes || other->value != field.value)
      std::abort();
  }
  if (again.next() || !again.ok()) std::abort();
  return 0;
}
