#include "gateway/health_probe.h"

#include <array>

#include "codec/http1.h"

namespace wary::gateway {

namespace http1 = codec::http1;

namespace {

constexpr std::size_t kProbeHeadMost = 16 * 1024;

}  // namespace

HealthProbe::HealthProbe(io::Loop& loop, const io::Address& address, const HealthCheck& check, std::string host,
                         bool connects_only, std::int64_t now, Done done)
    : loop_(loop),
      address_(address),
      check_(check),
      host_(std::move(host)),
      connects_only_(connects_only),
      deadline_(now + check.timeout),
      done_(std::move(done)) {}

HealthProbe::~HealthProbe() = default;

void HealthProbe::start() {
  loop_.connect(address_, check_.timeout,
                [this, alive = std::weak_ptr<int>(alive_)](Result<std::unique_ptr<io::Stream>> stream) {
                  if (!alive.expired()) connected(std::move(stream));
                });
}

void HealthProbe::connected(Result<std::unique_ptr<io::Stream>> stream) {
  if (is_over()) return;
  if (!stream || connects_only_) return finish(stream.ok());
  stream_ = secure ? secure(std::move(stream).value()) : std::move(stream).value();
  http1::RequestParts parts;
  parts.method = "GET";
  parts.path = check_.path;
  parts.host = host_;
  parts.keep_alive = false;
  if (!http1::append_request_head(out_, parts, {{"User-Agent", "wary-health"}})) return finish(false);
  stream_->on_ready([this, alive = std::weak_ptr<int>(alive_)](bool, bool) {
    if (!alive.expired()) ready();
  });
  ready();
}

void HealthProbe::ready() {
  if (is_over()) return;
  while (!out_.empty()) {
    const io::IoCount put = stream_->write(as_bytes(out_));
    if (put.state == io::IoCount::State::kWouldBlock) break;
    if (put.state != io::IoCount::State::kSome) return finish(false);
    out_.erase(0, put.count);
  }
  std::array<std::uint8_t, 4096> buffer;  // NOLINT: read() fills it
  for (;;) {
    const io::IoCount got = stream_->read(buffer);
    if (got.state == io::IoCount::State::kWouldBlock) break;
    if (got.state != io::IoCount::State::kSome) return finish(false);
    in_ += as_text(ByteView(buffer).first(got.count));
    if (in_.size() > kProbeHeadMost) return finish(false);
    if (const auto status = final_status()) return finish(*status >= 200 && *status < 400);
  }
  stream_->want(true, !out_.empty());
}

// Past interim answers, once it is there; 0 when it is no answer at all.
std::optional<int> HealthProbe::final_status() const {
  std::string_view rest = in_;
  for (;;) {
    http1::HeadScan scan;
    http1::ResponseHead head;
    const http1::HeadResult result = http1::parse_response_head(rest, scan, "GET", head);
    if (result.progress == http1::Progress::kNeedMore) return std::nullopt;
    if (result.progress == http1::Progress::kRefused) return 0;
    if (head.status >= 200 || head.status == 101) return head.status;
    rest.remove_prefix(result.consumed);
  }
}

void HealthProbe::sweep(std::int64_t now) {
  if (!is_over() && now >= deadline_) finish(false);
}

void HealthProbe::finish(bool well) {
  stream_.reset();
  const Done done = std::move(done_);
  done_ = nullptr;
  if (done) done(well);
}

}  // namespace wary::gateway
