#include "codec/protobuf.h"

#include <doctest/doctest.h>

#include <limits>

using namespace wary::codec;

TEST_CASE("a message that was written is read back") {
  std::string out;
  append_proto_varint(out, 1, 150);
  append_proto_varint(out, 2, std::numeric_limits<std::uint64_t>::max());
  append_proto_bytes(out, 15, "text");
  append_proto_bytes(out, 16, "");
  CHECK(out.substr(0, 3) == "\x08\x96\x01");          // the encoding guide's own example
  out += std::string("\x1d\x01\x02\x03\x04", 5);      // field 3, four bytes
  out += std::string("\x21\x01\0\0\0\0\0\0\x80", 9);  // field 4, eight
  ProtoReader reader(out);
  CHECK(reader.next()->value == 150);
  CHECK(reader.next()->value == std::numeric_limits<std::uint64_t>::max());
  const auto text = reader.next();
  CHECK(text->number == 15);
  CHECK(text->bytes == "text");
  CHECK(reader.next()->number == 16);
  CHECK(reader.next()->value == 0x04030201);
  CHECK(reader.next()->value == 0x8000000000000001);
  CHECK(!reader.next());
  CHECK(reader.ok());
}

TEST_CASE("what is cut off or no field is refused") {
  for (const std::string& bytes :
       {std::string("\x08"), std::string("\x08\x80"), std::string("\x0a\x05"), std::string("\x0a\x05 abc"),
        std::string("\0", 1), std::string("\x0b"), std::string("\x0f\x01"), std::string("\x0d\1\1"),
        std::string("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
        std::string("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")}) {
    ProtoReader reader(bytes);
    CHECK(!reader.next());
    CHECK(!reader.ok());
    CHECK(!reader.next());
  }
}
