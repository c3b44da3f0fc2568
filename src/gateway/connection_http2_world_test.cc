// The parts of connection_http2_test_client.h.
#include "codec/text.h"
#include "gateway/connection_http2_test_client.h"
#include "http/tls_stream.h"

namespace wary::gateway::test {

namespace {

std::string value_of(const std::vector<std::pair<std::string, std::string>>& fields, std::string_view name) {
  for (const auto& [key, value] : fields) {
    if (codec::equals_ignoring_case(key, name)) return value;
  }
  return "";
}

}  // namespace

std::string Http2TestClient::Answer::field(std::string_view name) const { return value_of(fields, name); }
std::string Http2TestClient::Answer::trailer(std::string_view name) const { return value_of(trailers, name); }
std::string Http2TestApp::Call::field(std::string_view name) const { return value_of(fields, name); }

Http2TestClient::Http2TestClient(World& world, const std::string& name, bool as_workload)
    : world_(world),
      name_(name),
      client_(world.http2_client(name, as_workload)),
      session_(http::Http2Role::kClient, *this) {
  const std::string host = name.substr(0, name.find('.'));
  if (!as_workload) cookie_ = "__Host-wary_session=alice" + (host == "site" ? "" : "-" + host) + "-token";
}

Http2TestClient::Http2TestClient(World& world, std::unique_ptr<Client> plain)
    : world_(world),
      name_("site.test"),
      cookie_("__Host-wary_session=alice-token"),
      client_(std::move(plain)),
      session_(http::Http2Role::kClient, *this) {}

Http2TestClient::Fields Http2TestClient::head(std::string_view method, std::string_view path, std::string_view cookie) {
  Fields fields = {{":method", method}, {":scheme", "https"}, {":authority", name_}, {":path", path}};
  if (cookie.empty()) cookie = cookie_;
  if (!cookie.empty()) fields.push_back({"cookie", cookie});
  return fields;
}

std::int32_t Http2TestClient::send(const Fields& fields, std::string_view body, bool ends) {
  const std::int32_t stream = session_.submit_request(fields, ends && body.empty());
  REQUIRE(stream > 0);
  if (!body.empty() || !ends) session_.write(stream, body);
  if (ends && !body.empty()) session_.end(stream, {});
  turn();
  return stream;
}

void Http2TestClient::write(std::int32_t stream, std::string_view bytes, bool ends) {
  session_.write(stream, bytes);
  if (ends) session_.end(stream, {});
  turn();
}

void Http2TestClient::reset(std::int32_t stream) {
  session_.reset(stream, http::kHttp2Cancel);
  turn();
}

void Http2TestClient::turn() {
  const std::string bytes = client_->received.substr(taken_);
  taken_ = client_->received.size();
  if (!bytes.empty()) session_.receive(bytes);
  std::string out;
  session_.flush(out, 1 << 20);
  if (!out.empty() && client_->is_open()) client_->send(out);
}

void Http2TestClient::run(std::int64_t millis) {
  for (std::int64_t i = 0; i < millis; ++i) {
    turn();
    world_.run(1);
  }
  turn();
}

void Http2TestClient::on_block(std::int32_t stream, const http::Http2Block& block, bool ends) {
  Answer& answer = answers_[stream];
  if (!block.is_trailer) {
    if (block.status < 200) return;
    answer.status = block.status;
  }
  auto& target = block.is_trailer ? answer.trailers : answer.fields;
  for (const auto& field : block.fields) target.emplace_back(field.name, field.value);
  if (ends) answer.whole = true;
}

void Http2TestClient::on_data(std::int32_t stream, std::string_view bytes) {
  answers_[stream].body += bytes;
  if (consumes) session_.consume(stream, bytes.size());
}

void Http2TestClient::on_closed(std::int32_t stream, std::uint32_t error) {
  answers_[stream].closed = true;
  answers_[stream].error = error;
}

Http2TestApp::Http2TestApp(io::Loop& loop, const io::Address& address, const crypto::TlsServerContext* tls)
    : loop_(loop) {
  on_end = [](Peer& peer, std::int32_t stream, Call& call) {
    peer.session.submit_answer(stream, 200, {{"content-type", "text/plain"}}, false);
    peer.session.write(stream, call.path);
    peer.session.end(stream, {});
  };
  auto listener = loop_.listen(address, {}, [this, tls](std::unique_ptr<io::Stream> stream) {
    if (tls != nullptr) {
      stream = std::make_unique<http::TlsStream>(loop_, std::move(stream), crypto::TlsSession(*tls));
    }
    peers.push_back(std::make_unique<Peer>(*this, std::move(stream)));
    peers.back()->flush();
  });
  REQUIRE(listener.ok());
  listener_ = std::move(*listener);
}

Http2TestApp::~Http2TestApp() = default;

Http2TestApp::Call& Http2TestApp::call(std::size_t peer, std::int32_t stream) { return peers.at(peer)->calls[stream]; }

Http2TestApp::Peer::Peer(Http2TestApp& owner, std::unique_ptr<io::Stream> connection)
    : app(owner), stream(std::move(connection)), session(http::Http2Role::kServer, *this) {
  stream->on_ready([this](bool, bool) { ready(); });
  stream->want(true, false);
}

void Http2TestApp::Peer::ready() {
  std::array<std::uint8_t, 4096> buffer;
  while (stream) {
    const io::IoCount got = stream->read(buffer);
    if (got.state == io::IoCount::State::kWouldBlock) break;
    if (got.state != io::IoCount::State::kSome) {
      was_reset = got.state == io::IoCount::State::kFailed;
      stream.reset();
      return;
    }
    session.receive(as_text(ByteView(buffer).first(got.count)));
  }
  flush();
}

void Http2TestApp::Peer::flush() {
  session.flush(out, 1 << 20);
  while (stream && !out.empty()) {
    const io::IoCount put = stream->write(as_bytes(out));
    if (put.state != io::IoCount::State::kSome) break;
    out.erase(0, put.count);
  }
  if (stream) stream->want(true, !out.empty());
}

void Http2TestApp::Peer::on_block(std::int32_t id, const http::Http2Block& block, bool ends) {
  Call& call = calls[id];
  if (!block.is_trailer) {
    call.method = block.method;
    call.path = block.path;
    call.authority = block.authority;
    call.protocol = block.protocol;
    call.scheme = block.scheme;
  }
  for (const auto& field : block.fields) call.fields.emplace_back(field.name, field.value);
  if (!block.is_trailer && app.on_head) app.on_head(*this, id, call);
  if (ends) on_end(id);
}

void Http2TestApp::Peer::on_data(std::int32_t id, std::string_view bytes) {
  calls[id].body += bytes;
  if (consumes) session.consume(id, bytes.size());
}

void Http2TestApp::Peer::on_end(std::int32_t id) {
  calls[id].ended = true;
  if (app.on_end) app.on_end(*this, id, calls[id]);
}

void Http2TestApp::Peer::on_closed(std::int32_t id, std::uint32_t error) {
  calls[id].closed = true;
  calls[id].error = error;
}

}  // namespace wary::gateway::test
