// Frames whole and byte by byte: the same payload, the same control frames, the same end; and what is written is read.
#include <cstdlib>
#include <string>

#include "codec/websocket.h"

namespace {

using namespace wary;
using namespace wary::codec;

std::string run_frames(ByteView bytes, websocket::Side side, std::size_t step) {
  websocket::Reader reader(side);
  Bytes plain;
  std::string seen;
  std::size_t at = 0;
  Status status;
  for (; at < bytes.size() && status; at += step) {
    status = reader.take(bytes.subspan(at, std::min(step, bytes.size() - at)), plain,
                         [&](websocket::Opcode opcode, ByteView payload) {
                           if (payload.size() > websocket::kControlMost) std::abort();
                           seen += std::to_string(static_cast<int>(opcode)) + ":" + std::string(as_text(payload)) +
                                   "@" + std::to_string(plain.size()) + ";";
                         });
  }
  return seen + "|" + std::string(as_text(plain)) + "|" + (status ? "" : status.error().code);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView bytes(data, size);
  for (const auto side : {websocket::Side::kServer, websocket::Side::kClient}) {
    if (run_frames(bytes, side, size) != run_frames(bytes, side, 1)) std::abort();
  }
  Bytes frame, plain;
  websocket::append_frame(frame, websocket::Opcode::kBinary, bytes, std::array<std::uint8_t, 4>{data[0], 7, 0, 255});
  websocket::Reader reader(websocket::Side::kServer);
  if (!reader.take(frame, plain, {}) || as_text(plain) != as_text(bytes)) std::abort();
  return 0;
}
