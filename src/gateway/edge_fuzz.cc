// The whole edge in a simulated world: input bytes choose what a client sends, inside TLS or without, what the
// application answers, what changes and how time goes. Nothing crashes; what the application is sent is the grammar of
// RFC 9112, and recorded as allowed; nothing of it reaches a client whose access has ended; what is held stays bounded.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>

#include "gateway/connection_test_world.h"

namespace {

using namespace wary;
using namespace wary::gateway::test;

// What the application says after alice was revoked: no client may ever see it.
constexpr std::string_view kAfterCut =
    "\x07"
    "after-the-cut-4f1c9a"
    "\x07";
constexpr std::size_t kHeldMost = 4 << 20;

class Script {
 public:
  explicit Script(std::string_view bytes) : bytes_(bytes) {}
  bool is_over() const { return bytes_.empty(); }
  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const auto out = static_cast<std::uint8_t>(bytes_.front());
    bytes_.remove_prefix(1);
    return out;
  }
  std::string_view piece(std::size_t most) {
    const std::string_view out = bytes_.substr(0, std::min<std::size_t>(most, bytes_.size()));
    bytes_.remove_prefix(out.size());
    return out;
  }

 private:
  std::string_view bytes_;
};

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || kMarks.find(c) != kMarks.npos;
  });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  return out;
}

// One line without its CRLF; nothing when there is no whole one. A CR or LF alone is no line's.
bool take_line(std::string_view& rest, std::string_view& line) {
  const std::size_t end = rest.find("\r\n");
  line = rest.substr(0, end);
  if (end == rest.npos && line.ends_with('\r')) line.remove_suffix(1);
  if (line.find_first_of(std::string_view("\r\n\0", 3)) != line.npos) std::abort();
  if (end == rest.npos) return false;
  rest.remove_prefix(end + 2);
  return true;
}

void check_field(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == line.npos || !is_token(line.substr(0, colon))) std::abort();
  for (const char c : line.substr(colon + 1)) {
    if (c != '\t' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)) std::abort();
  }
}

// What one connection of the application was sent, by a grammar apart from our parser's. Ends the program at the first
// byte that is none of it; gives the decision that each head names.
class StrictReader {
 public:
  // `agreed`: to a WebSocket; where an application has not, what comes behind an opening is its next request.
  StrictReader(std::string_view bytes, bool agreed) : rest_(bytes), agreed_(agreed) {}
  std::vector<std::string> decisions() {
    std::vector<std::string> out;
    while (!rest_.empty() && head(out) && body()) {
    }
    return out;
  }
  bool has_tunnel() const { return upgraded_ && agreed_; }

 private:
  bool head(std::vector<std::string>& out) {
    // A tunnel's bytes are nobody's grammar.
    if (upgraded_ && agreed_) return false;
    std::string_view line;
    if (rest_.find("\r\n\r\n") == rest_.npos) return false;
    if (!take_line(rest_, line)) return false;
    const std::size_t first = line.find(' '), last = line.rfind(' ');
    if (first == line.npos || first == last || !is_token(line.substr(0, first))) std::abort();
    if (line.substr(last) != " HTTP/1.1" || line[first + 1] != '/') std::abort();
    for (const char c : line.substr(first + 1, last - first - 1)) {
      if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f || c == '#') std::abort();
    }
    int hosts = 0, framings = 0, decisions = 0;
    length_ = 0;
    chunked_ = false;
    while (take_line(rest_, line) && !line.empty()) {
      check_field(line);
      const std::string name = lower(line.substr(0, line.find(':')));
      std::string_view value = line.substr(line.find(':') + 1);
      value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
      hosts += name == "host";
      if (name == "upgrade") upgraded_ = true;
      if (name == "wary-decision" && ++decisions == 1) out.emplace_back(value);
      if (name == "transfer-encoding") {
        ++framings;
        if (value != "chunked") std::abort();
        chunked_ = true;
      }
      if (name == "content-length") {
        ++framings;
        if (value.empty() || value.size() > 18 || value.find_first_not_of("0123456789") != value.npos) std::abort();
        length_ = std::stoull(std::string(value));
      }
    }
    if (hosts != 1 || framings > 1 || decisions != 1) std::abort();
    return true;
  }
  bool body() {
    if (!chunked_) {
      const bool whole = rest_.size() >= length_;
      rest_.remove_prefix(std::min<std::size_t>(length_, rest_.size()));
      return whole;
    }
    std::string_view line;
    while (take_line(rest_, line)) {
      if (line.empty() || line.size() > 16 || line.find_first_not_of("0123456789abcdefABCDEF") != line.npos)
        std::abort();
      const std::size_t size = std::stoull(std::string(line), nullptr, 16);
      if (size == 0) break;
      if (rest_.size() < size + 2) return false;
      if (rest_.substr(size, 2) != "\r\n") std::abort();
      rest_.remove_prefix(size + 2);
    }
    while (take_line(rest_, line)) {
      if (line.empty()) return true;
      check_field(line);
    }
    return false;
  }
  std::string_view rest_;
  std::uint64_t length_ = 0;
  const bool agreed_;
  bool chunked_ = false, upgraded_ = false;
};

std::string frame(std::uint8_t type, std::uint8_t flags, std::uint8_t stream, std::string_view payload) {
  std::string out = {0,
                     static_cast<char>(payload.size() >> 8),
                     static_cast<char>(payload.size()),
                     static_cast<char>(type),
                     static_cast<char>(flags),
                     0,
                     0,
                     0,
                     static_cast<char>(stream)};
  return out.append(payload);
}

// Literals without an index, short enough for one byte of length.
std::string literal(std::string_view name, std::string_view value) {
  std::string out(1, '\0');
  for (const std::string_view text : {name, value.substr(0, 120)}) {
    out += static_cast<char>(text.size());
    out += text;
  }
  return out;
}

constexpr std::array<std::string_view, 4> kMethods = {"GET", "POST", "HEAD", "PUT"};
constexpr std::array<std::string_view, 4> kPaths = {"/", "/a/b?c=d", "/before/x", "/.wary/continue?code=good&path=%2f"};

class Run {
 public:
  explicit Run(Script script) : script_(script) {}
  void all() {
    world_.site->on_request = [this](AppStream& stream, const AppRequest& request) { answer(stream, request); };
    const std::uint8_t kind = script_.byte();
    is_http2_ = (kind & 1) != 0;
    const bool is_plain = kind < 240;  // nearly all of them: a handshake costs more than all else
    client_ = is_plain ? world_.plain_client() : is_http2_ ? world_.http2_client() : world_.client();
    if (is_http2_) send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, ""));
    for (int steps = 0; !script_.is_over() && steps < 200; ++steps) step();
    world_.run(20);
    check();
    world_.run(100'000);  // every deadline passes
    check();
  }

 private:
  void send(std::string_view bytes) {
    if (client_->is_open() && !closed_) client_->send(bytes);
  }
  std::string cookie() const { return "__Host-wary_session=alice-token"; }

  void request(std::uint8_t what, std::string_view more) {
    const std::string_view method = kMethods[what & 3], path = kPaths[what >> 2 & 3];
    const bool has_body = (what & 16) != 0, begins = (what & 32) != 0;
    if (!is_http2_) {
      std::string text = std::string(method) + " " + std::string(path) +
                         " HTTP/1.1\r\nHost: site.test\r\nCookie: " + cookie() + "\r\n";
      if (begins) return send(text.append(more));
      if (has_body) text += "Content-Length: " + std::to_string(more.size()) + "\r\n";
      return send(text + "\r\n" + std::string(has_body ? more : ""));
    }
    std::string block = literal(":method", method) + literal(":scheme", "https") + literal(":authority", "site.test") +
                        literal(":path", path) + literal("cookie", cookie());
    if (begins) block += more;
    stream_ = static_cast<std::uint8_t>(stream_ + 2);
    send(frame(1, static_cast<std::uint8_t>(has_body ? 4 : 5), stream_, block));
    if (has_body) send(frame(0, 1, stream_, more));
  }

  void answer(AppStream& stream, const AppRequest& request) {
    if (holds_) return;
    const std::string body = revoked_ ? std::string(kAfterCut) : "hello";
    stream.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                (request.method == "HEAD" ? "" : body));
  }
  AppStream* stream(std::uint8_t which) {
    auto& streams = world_.site->streams;
    return streams.empty() ? nullptr : streams[which % streams.size()].get();
  }

  void step() {
    const std::uint8_t what = script_.byte();
    const std::size_t size = script_.byte();
    switch (what % 16) {
      case 0: return send(script_.piece(size));
      case 1: {
        const std::uint8_t which = script_.byte();
        return request(which, script_.piece(size));
      }
      case 2: {
        const std::uint8_t type = script_.byte(), flags = script_.byte(), on = script_.byte();
        return send(frame(type, flags, on, script_.piece(size)));
      }
      case 3: {
        AppStream* app = stream(script_.byte());
        const std::string_view piece = script_.piece(size);
        if (app == nullptr) return;
        said_[app] += revoked_ ? kAfterCut : piece;
        return app->send(revoked_ ? kAfterCut : piece);
      }
      case 4:
        if (AppStream* app = stream(script_.byte())) size % 2 == 0 ? app->close() : app->reset();
        return;
      case 5: return set_revoked(size % 2 == 0);
      case 6:
        return world_.set_policies(size % 2 == 0 ? "permit (principal == Wary::User::\"alice\", action, resource);"
                                                 : "forbid (principal, action, resource);");
      case 7: return world_.give_receipts();
      case 8: holds_ = size % 2 == 0; return;
      case 9: return size % 2 == 0 ? client_->pause() : client_->resume();
      case 10:
        if (size % 8 != 0 || closed_) return;
        closed_ = true;
        return client_->reset();
      case 11: world_.site->accepts = size % 2 == 0; return;
      case 12: return send(std::string(size * 64, static_cast<char>(script_.byte())));
      case 13: return world_.run(static_cast<std::int64_t>(size) * 40);
      case 14: return world_.run(static_cast<std::int64_t>(size % 8));
      default: return world_.run(2);
    }
  }
  void set_revoked(bool revoked) {
    if (revoked == revoked_) return;
    if (!revoked) revoked_ = false;  // what is asked while the change is on its way may be answered
    world_.change({make_user("alice", revoked)});
    world_.run(1);  // the change is with the worker before anything else comes
    revoked_ = revoked;
  }

  void check() {
    if (client_->received.find(kAfterCut) != std::string::npos) std::abort();
    if (world_.worker->held_bytes() > kHeldMost) std::abort();
    std::vector<std::string> allowed;
    for (const contract::Event& event : world_.events()) {
      if (event.detail.find("\"decision\":\"allow\"") != std::string::npos) allowed.push_back(event.decision_id);
    }
    bool has_tunnel = false;
    for (const auto& stream : world_.site->streams) {
      StrictReader reader(stream->received, said_[stream.get()].find("HTTP/1.1 101") != std::string::npos);
      for (const std::string& decision : reader.decisions()) {
        if (std::count(allowed.begin(), allowed.end(), decision) != 1) std::abort();
      }
      has_tunnel = has_tunnel || reader.has_tunnel();
    }
    // Our own parser agrees; it does not know where a tunnel begins.
    if (world_.site->garbage != 0 && !has_tunnel) std::abort();
  }

  World world_;
  Script script_;
  std::unique_ptr<Client> client_;
  std::map<const AppStream*, std::string> said_;  // by the application, beside its usual answer
  bool is_http2_ = false, revoked_ = false, holds_ = false, closed_ = false;
  std::uint8_t stream_ = 255;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Run(Script({reinterpret_cast<const char*>(data), std::min<std::size_t>(size, 8192)})).all();  // NOLINT
  return 0;
}
