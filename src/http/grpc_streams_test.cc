#include "http/grpc_streams.h"

#include <doctest/doctest.h>
#include <nghttp2/nghttp2.h>

using namespace wary;
using namespace wary::http;

namespace {

enum FrameType : char { kDataFrame = 0, kHeadersFrame = 1, kResetFrame = 3, kSettingsFrame = 4, kGoAwayFrame = 7 };
constexpr char kEnds = 1, kHeadEnds = 4;

std::string raw_frame(FrameType type, int flags, int stream, std::string_view payload) {
  std::string out;
  for (const int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(stream >> shift);
  return out += payload;
}

std::string literal(std::string_view name, std::string_view value) {
  std::string out(1, '\0');
  out += static_cast<char>(name.size());
  out += name;
  out += static_cast<char>(value.size());
  return out += value;
}

// The head of a call that goes on.
std::string talk(int stream, std::string_view more = {}, int flags = kHeadEnds, std::string_view path = "/a.B/Talk") {
  return raw_frame(kHeadersFrame, flags, stream,
                   literal(":method", "POST") + literal(":scheme", "http") + literal(":path", path) +
                       literal(":authority", "a") + literal("content-type", "application/grpc") + std::string(more));
}

std::string data(int stream, std::string_view bytes, int flags = 0) {
  return raw_frame(kDataFrame, flags, stream, bytes);
}

// What a client reads: the frames, and the fields of their heads as `name: value;`.
class Reader {
 public:
  Reader() { REQUIRE(nghttp2_hd_inflate_new(&inflater_) == 0); }
  ~Reader() { nghttp2_hd_inflate_del(inflater_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  std::string read(std::string bytes) {
    std::string fields;
    for (std::size_t at = 0; at + 9 <= bytes.size();) {
      const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[at + i]); };
      const std::size_t size = std::size_t{byte(0)} << 16 | std::size_t{byte(1)} << 8 | byte(2);
      if (byte(3) == kHeadersFrame) fields += inflate(std::string_view(bytes).substr(at + 9, size));
      at += 9 + size;
    }
    return bytes + fields;
  }

 private:
  std::string inflate(std::string_view block) {
    std::string out;
    for (;;) {
      nghttp2_nv field;
      int flags = 0;
      const auto* in = reinterpret_cast<const std::uint8_t*>(block.data());
      const ssize_t taken = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, in, block.size(), 1);
      REQUIRE(taken >= 0);
      block.remove_prefix(static_cast<std::size_t>(taken));
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        out.append(reinterpret_cast<const char*>(field.name), field.namelen) += ": ";
        out.append(reinterpret_cast<const char*>(field.value), field.valuelen) += ";";
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    }
    nghttp2_hd_inflate_end_headers(inflater_);
    return out;
  }
  nghttp2_hd_inflater* inflater_ = nullptr;
};

// A session that answers each message by "<message", and what it was told of.
struct Talker {
  std::vector<std::string> messages;
  std::vector<std::int32_t> half_closed, finished, closed;
  bool answers = true, refuses = false;
  GrpcStreams* streams = nullptr;
  Http2 session;
  GrpcStreams calls;
  explicit Talker(Http2Limits limits = {})
      : session(
            [this](const Http2Request& request) {
              if (streams->is_stream(request.path)) return streams->answer(request);
              return answer_grpc(request, [](const Http2Request&, std::string_view message) {
                return GrpcResult{GrpcCode::kOk, "", std::string(message)};
              });
            },
            limits),
        calls(session, {.is_stream = [](std::string_view path) { return path == "/a.B/Talk"; },
                        .open =
                            [this](const Http2Request&) {
                              return GrpcResult{refuses ? GrpcCode::kPermissionDenied : GrpcCode::kOk, "no", ""};
                            },
                        .on_message =
                            [this](std::int32_t stream, std::string_view message) {
                              messages.emplace_back(message);
                              if (message == "bye") return streams->finish(stream, GrpcCode::kOk, "");
                              if (answers) streams->write(stream, "<" + std::string(message));
                            },
                        .on_half_closed = nullptr,
                        .on_finished = [this](std::int32_t stream) { finished.push_back(stream); }}) {
    streams = &calls;
    session.on_closed = [this](std::int32_t stream) {
      closed.push_back(stream);
      calls.closed(stream);
    };
    (void)session.receive("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + raw_frame(kSettingsFrame, 0, 0, ""));
  }
  std::string hear(std::string_view bytes) { return reader.read(session.receive(bytes)); }
  std::string flush() { return reader.read(session.flush()); }
  Reader reader;
};

bool holds(std::string_view bytes, std::string_view part) { return bytes.find(part) != std::string_view::npos; }
std::string status(int code) { return "grpc-status: " + std::to_string(code) + ";"; }
std::string reset(int stream, char code) { return raw_frame(kResetFrame, 0, stream, std::string("\0\0\0", 3) + code); }

}  // namespace

TEST_CASE("messages of a call that goes on are handled as they come") {
  Talker talker;
  CHECK(holds(talker.hear(talk(1)), "application/grpc"));
  CHECK(talker.messages.empty());
  CHECK(holds(talker.hear(data(1, frame_grpc("one"))), frame_grpc("<one")));
  CHECK(holds(talker.hear(data(1, frame_grpc("two"))), frame_grpc("<two")));
  CHECK(talker.messages == std::vector<std::string>{"one", "two"});
  CHECK(talker.closed.empty());
}

TEST_CASE("a message may come in parts, and two in one frame") {
  Talker talker;
  (void)talker.hear(talk(1));
  const std::string bytes = frame_grpc("parts") + frame_grpc("") + frame_grpc("more");
  for (const char byte : bytes.substr(0, 12)) (void)talker.hear(data(1, std::string(1, byte)));
  CHECK(talker.messages == std::vector<std::string>{"parts"});
  const std::string out = talker.hear(data(1, bytes.substr(12)));
  CHECK(talker.messages == std::vector<std::string>{"parts", "", "more"});
  CHECK(holds(out, frame_grpc("<") + frame_grpc("<more")));
}

TEST_CASE("a client that ends its side has had its answers, and the status then") {
  Talker talker;
  (void)talker.hear(talk(1));
  const std::string out = talker.hear(data(1, frame_grpc("last"), kEnds));
  CHECK(holds(out, frame_grpc("<last")));
  CHECK(holds(out, status(0)));
  CHECK(talker.finished == std::vector<std::int32_t>{1});
  CHECK(talker.closed == std::vector<std::int32_t>{1});
  // One that says nothing at all.
  CHECK(holds(talker.hear(talk(3, {}, kHeadEnds | kEnds)), status(0)));
  CHECK(talker.calls.size() == 0);
  // One that is cut off within a message.
  (void)talker.hear(talk(5));
  CHECK(holds(talker.hear(data(5, frame_grpc("whole").substr(0, 7), kEnds)), status(3)));
  CHECK(talker.messages == std::vector<std::string>{"last"});
}

TEST_CASE("one who wants to go on after the client's end says so") {
  Reader reader;
  GrpcStreams* streams = nullptr;
  std::vector<std::int32_t> ended;
  Http2 session([&](const Http2Request& request) { return streams->answer(request); });
  GrpcStreams calls(session, {.is_stream = [](std::string_view) { return true; },
                              .open = [](const Http2Request&) { return GrpcResult{GrpcCode::kOk, "", ""}; },
                              .on_message = [](std::int32_t, std::string_view) {},
                              .on_half_closed = [&](std::int32_t stream) { ended.push_back(stream); },
                              .on_finished = nullptr});
  streams = &calls;
  (void)reader.read(session.receive("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + raw_frame(kSettingsFrame, 0, 0, "") + talk(1) +
                                    data(1, frame_grpc("x"), kEnds)));
  CHECK(ended == std::vector<std::int32_t>{1});
  CHECK(calls.write(1, "later"));
  CHECK(holds(session.flush(), frame_grpc("later")));
  calls.finish(1, GrpcCode::kOk, "");
  CHECK(holds(reader.read(session.flush()), status(0)));
  CHECK(!calls.write(1, "late"));
}

TEST_CASE("a call that its client resets is over, and nothing is written to it") {
  Talker talker;
  (void)talker.hear(talk(1) + data(1, frame_grpc("x")));
  (void)talker.hear(reset(1, 8));
  CHECK(talker.closed == std::vector<std::int32_t>{1});
  CHECK(talker.finished.empty());
  CHECK(!talker.calls.write(1, "y"));
  CHECK(!talker.session.is_over());
}

TEST_CASE("a call whose client's time has passed ends") {
  Talker talker;
  (void)talker.hear(talk(1, literal("grpc-timeout", "2S")) + talk(3));
  talker.calls.pass({10 * kNanosPerSecond});
  talker.calls.pass({11 * kNanosPerSecond});
  CHECK(talker.flush().empty());
  talker.calls.pass({12 * kNanosPerSecond});
  CHECK(holds(talker.flush(), status(4)));
  CHECK(talker.finished == std::vector<std::int32_t>{1});
  CHECK(talker.calls.size() == 1);
  CHECK(holds(talker.hear(talk(5, literal("grpc-timeout", "0S"))), status(4)));
  CHECK(holds(talker.hear(talk(7, literal("grpc-timeout", "2x"))), status(3)));
  (void)talker.hear(talk(9, literal("grpc-timeout", "99999999H")));
  talker.calls.pass({INT64_MAX - 5});
  CHECK(talker.calls.size() == 2);
}

TEST_CASE("what comes after the end is not handled") {
  Talker talker;
  (void)talker.hear(talk(1));
  // Ours, with more in the same frame: it is told to stop.
  std::string out = talker.hear(data(1, frame_grpc("bye") + frame_grpc("more")));
  CHECK(holds(out, status(0)));
  CHECK(holds(out, reset(1, 0)));
  out = talker.hear(data(1, frame_grpc("and more")) + talk(3) + data(3, frame_grpc("x")));
  CHECK(talker.messages == std::vector<std::string>{"bye", "x"});
  CHECK(!talker.session.is_over());
  // The client's own: an error of its side.
  (void)talker.hear(talk(5, {}, kHeadEnds | kEnds));
  (void)talker.hear(data(5, frame_grpc("late")));
  CHECK(talker.messages.size() == 2);
}

TEST_CASE("a refused call is told to stop, and what it sends meanwhile is passed over") {
  Talker talker;
  talker.refuses = true;
  const std::string out = talker.hear(talk(1) + data(1, frame_grpc("x")) + data(1, std::string(10'000, 'x')));
  CHECK(holds(out, status(7)));
  CHECK(holds(out, reset(1, 0)));
  CHECK(talker.messages.empty());
  CHECK(talker.calls.size() == 0);
  CHECK(!talker.session.is_over());
}

TEST_CASE("messages without end are held back") {
  Talker talker;
  talker.answers = false;
  (void)talker.hear(talk(1));
  std::string out;
  int sent = 0;
  while (talker.finished.empty() && ++sent < 1000) out = talker.hear(data(1, frame_grpc("")));
  CHECK(sent == 101);
  CHECK(holds(out, status(8)));
  // Time forgives two a second.
  (void)talker.hear(talk(3));
  for (int second = 1; second < 500; ++second) {
    (void)talker.hear(data(3, frame_grpc("") + frame_grpc("")));
    talker.calls.pass({second * kNanosPerSecond});
  }
  CHECK(talker.calls.size() == 1);
  // And so does an answer; but who takes none of them is reset.
  Talker busy(Http2Limits{.unsent_bytes = 100'000});
  (void)busy.hear(talk(1));
  for (int i = 0; i < 1000; ++i) (void)busy.hear(data(1, frame_grpc("x")));
  CHECK(busy.messages.size() == 1000);
  for (int i = 0; i < 400 && busy.closed.empty(); ++i) (void)busy.hear(data(1, frame_grpc(std::string(1000, 'x'))));
  CHECK(busy.closed == std::vector<std::int32_t>{1});
}

TEST_CASE("what is too large, compressed or without end is refused") {
  Talker talker;
  CHECK(holds(talker.hear(talk(1) + data(1, std::string("\0\0\x10\0\1", 5))), status(8)));
  CHECK(holds(talker.hear(talk(3) + data(3, std::string("\1\0\0\0\0", 5))), status(12)));
  CHECK(holds(talker.hear(talk(5, literal("grpc-encoding", "gzip"))), status(12)));
  // A message that is never whole: what is unread is bounded, of a call and of all together.
  Talker narrow(Http2Limits{.body_bytes = 100, .bodies_bytes = 150});
  (void)narrow.hear(talk(1) + data(1, std::string("\0\0\0\4\0", 5)));
  std::string out;
  for (int i = 0; i < 10; ++i) out += narrow.hear(data(1, std::string(10, 'x')));
  CHECK(holds(out, reset(1, 7)));
  CHECK(narrow.calls.size() == 0);
  (void)narrow.hear(talk(3) + data(3, std::string("\0\0\0\4\0", 5) + std::string(85, 'x')));
  CHECK(narrow.calls.size() == 1);
  out = narrow.hear(talk(5) + data(5, std::string("\0\0\0\4\0", 5) + std::string(85, 'x')));
  CHECK(holds(out, reset(5, 7)));
  // What was read counts no more.
  for (int i = 0; i < 100; ++i) (void)narrow.hear(talk(2 * i + 7) + data(2 * i + 7, frame_grpc("0123456789"), kEnds));
  CHECK(narrow.messages.size() == 100);
}

TEST_CASE("calls that begin with one message are served beside") {
  Talker talker;
  (void)talker.hear(talk(1));
  const std::string out = talker.hear(talk(3, {}, kHeadEnds, "/a.B/Once") + data(3, frame_grpc("once"), kEnds));
  CHECK(holds(out, frame_grpc("once")));
  CHECK(holds(talker.hear(data(1, frame_grpc("on"))), frame_grpc("<on")));
}
