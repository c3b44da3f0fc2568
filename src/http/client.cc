#include "http/client.h"

#include "codec/text.h"
#include "http/call.h"

namespace wary::http {

namespace {

constexpr std::int64_t kConnectTimeout = 5 * kNanosPerSecond;

}  // namespace

std::string_view ClientResponse::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (codec::equals_ignoring_case(key, name)) return value;
  }
  return {};
}

Result<ClientResponse> fetch(Clock& clock, const io::Address& address, const ClientRequest& request,
                             const OnData& on_data) {
  const auto loop = io::make_epoll_loop(clock);
  Result<ClientResponse> answer = ClientResponse{};
  Call call(
      request, {},
      [&](Result<ClientResponse> done) {
        answer = std::move(done);
        loop->stop();
      },
      on_data);
  WARY_RETURN_IF_ERROR(call.prepare());
  if (request.timeout_nanos > 0) {
    loop->after(request.timeout_nanos,
                [&] { call.finish(fail(ErrorKind::kTimeout, "http_timeout", "no whole answer in time")); });
  }
  loop->connect(address, kConnectTimeout, [&](Result<std::unique_ptr<io::Stream>> stream) {
    if (!stream) return call.finish(std::move(stream).error());
    call.begin(std::move(stream).value());
  });
  loop->run();
  return answer;
}

}  // namespace wary::http
