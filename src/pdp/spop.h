// Spop: HAProxy's Stream Processing Offload Protocol 2.0, the agent's side of one connection. Bytes in, bytes out.
//
//   Spop spop(authority, "unix uid 99");
//   send(spop.receive(bytes));
//   if (spop.is_over()) close after sending;
//
// A NOTIFY's message is one question; its arguments are texts method, uri, host, cookies and the address client
// (missing ones are empty, others ignored). The ACK sets, in the transaction's scope under the engine's prefix: allow
// (boolean), status (200, 401, 403, 400), decision, principal, session (texts). Whatever is not understood ends the
// connection with a DISCONNECT that says why, and HAProxy then has no `allow`. Fragments are refused (status 10).
// Thread rule: one thread's. Limits: frames of kFrameMax bytes, less if HAProxy says so; one message a frame, 32
// arguments a message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pdp/authority.h"

namespace wary::pdp {

class Spop {
 public:
  static constexpr std::size_t kFrameMax = 16 * 1024;
  static constexpr std::size_t kFrameMin = 256;

  Spop(Authority& authority, std::string pep) : authority_(authority), pep_(std::move(pep)) {}
  // What is to be sent now.
  std::string receive(std::string_view bytes);
  bool is_over() const { return is_over_; }

 private:
  std::string frame(std::string_view body);
  std::string hello(std::string_view payload);
  std::string notify(std::uint64_t stream, std::uint64_t number, std::string_view payload);
  std::string disconnect(std::uint32_t status, std::string_view why);

  Authority& authority_;
  std::string pep_;
  std::string in_;
  std::size_t frame_max_ = kFrameMax;
  bool said_hello_ = false;
  bool is_over_ = false;
};

}  // namespace wary::pdp
