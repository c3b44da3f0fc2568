#include "codec/websocket.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "codec/text.h"

namespace wary::codec::websocket {
namespace {

struct TakenFrames {
  std::string plain;
  std::vector<std::string> controls;
  std::string code;
};

TakenFrames take_frames(Side side, std::string_view hex) {
  TakenFrames out;
  Reader reader(side);
  Bytes plain;
  const auto bytes = decode_hex(hex);
  REQUIRE(bytes.ok());
  const Status taken = reader.take(*bytes, plain, [&](Opcode opcode, ByteView payload) {
    out.controls.push_back(std::to_string(static_cast<int>(opcode)) + " " + std::string(as_text(payload)));
  });
  out.plain = as_text(plain);
  if (!taken) out.code = taken.error().code;
  return out;
}

TEST_CASE("frames of RFC 6455 section 5.7 are read, masked and not, whole and in parts") {
  CHECK(take_frames(Side::kClient, "820548656c6c6f").plain == "Hello");
  CHECK(take_frames(Side::kServer, "828537fa213d7f9f4d5158").plain == "Hello");
  CHECK(take_frames(Side::kClient, "020348656c80026c6f").plain == "Hello");
  const auto between = take_frames(Side::kClient, "020148890548656c6c6f800169");
  CHECK(between.plain == "Hi");
  CHECK(between.controls == std::vector<std::string>{"9 Hello"});
}

TEST_CASE("what does not follow the protocol is refused by its own code") {
  CHECK(take_frames(Side::kClient, "c20148").code == "websocket_reserved");
  CHECK(take_frames(Side::kClient, "810148").code == "websocket_opcode");  // text
  CHECK(take_frames(Side::kClient, "830148").code == "websocket_opcode");
  CHECK(take_frames(Side::kClient, "828537fa213d7f9f4d5158").code == "websocket_mask");
  CHECK(take_frames(Side::kServer, "820548656c6c6f").code == "websocket_mask");
  CHECK(take_frames(Side::kClient, "0900").code == "websocket_control");      // a ping in parts
  CHECK(take_frames(Side::kClient, "897e007e").code == "websocket_control");  // a long one
  CHECK(take_frames(Side::kClient, "827e0005").code == "websocket_length");
  CHECK(take_frames(Side::kClient, "827f000000000000ffff").code == "websocket_length");
  CHECK(take_frames(Side::kClient, "827f0000000001000001").code == "websocket_length");
  CHECK(take_frames(Side::kClient, "8000").code == "websocket_order");
  CHECK(take_frames(Side::kClient, "02008200").code == "websocket_order");
}

TEST_CASE("what is written is read, at every size of length") {
  for (const std::size_t size : {0UL, 1UL, 125UL, 126UL, 65535UL, 65536UL, 70000UL}) {
    Bytes payload(size, 0x5a), frame, plain;
    append_frame(frame, Opcode::kBinary, payload, std::array<std::uint8_t, 4>{1, 2, 3, 4});
    Reader server(Side::kServer);
    REQUIRE(server.take(frame, plain, {}).ok());
    CHECK(plain == payload);
    frame.clear();
    plain.clear();
    append_frame(frame, Opcode::kBinary, payload, std::nullopt);
    Reader client(Side::kClient);
    REQUIRE(client.take(frame, plain, {}).ok());
    CHECK(plain == payload);
  }
}

}  // namespace
}  // namespace wary::codec::websocket
