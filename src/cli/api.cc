#include "cli/api.h"

#include "http/client.h"

namespace wary::cli {

namespace {

io::Address admin_socket(const Context& context) {
  return io::Address::unix_socket(context.data + "/run/waryd/admin.sock");
}

Error not_running(const Context& context, Error error) {
  if (error.code != "connect_refused" && error.code != "connect_failed") return error;
  return fail(ErrorKind::kUnavailable, "not_running", "wary is not running on this data directory")
      .at(context.data)
      .next("start it with `wary dev`, or name another directory with --data");
}

ErrorKind kind_of(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(ErrorKind::kInternal); ++i) {
    const auto kind = static_cast<ErrorKind>(i);
    if (to_string(kind) == name) return kind;
  }
  return ErrorKind::kInternal;
}

Status check(const http::ClientResponse& response) {
  if (response.status >= 200 && response.status < 300) return {};
  const auto body = codec::parse_json(response.body);
  const codec::Json* error = body ? body->find("error") : nullptr;
  if (error != nullptr) return error_from_json(*error, ErrorKind::kInternal);
  return fail(ErrorKind::kInternal, "api_answer", "the control plane's answer is not understood")
      .found("status " + std::to_string(response.status));
}

Result<codec::Json> fetch_json(Context& context, const io::Address& address, const http::ClientRequest& request) {
  auto response = http::fetch(context.clock, address, request);
  if (!response) return not_running(context, std::move(response).error());
  WARY_RETURN_IF_ERROR(check(*response));
  Limits limits;
  limits.bytes = std::size_t{64} << 20;
  limits.items = 1'000'000;
  limits.total = 10'000'000;
  return codec::parse_json(response->body.empty() ? "{}" : response->body, limits);
}

}  // namespace

std::string text_of(const codec::Json& json, std::string_view name) { return std::string(json.string_or(name, "")); }

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.resize(width, ' ');
  return text;
}

Error error_from_json(const codec::Json& json, ErrorKind fallback) {
  const std::string_view kind = json.string_or("kind", "");
  Error error = fail(kind.empty() ? fallback : kind_of(kind), json.string_or("code", "api_answer"),
                     json.string_or("message", ""));
  error.where = json.string_or("where", "");
  error.expected_text = json.string_or("expected", "");
  error.found_text = json.string_or("found", "");
  error.next_step = json.string_or("next", "");
  return error;
}

Result<codec::Json> call_api(Context& context, const std::string& method, const std::string& path,
                             const std::optional<codec::Json>& body, const std::string& query) {
  http::ClientRequest request;
  request.method = method;
  request.path = path;
  request.query = query;
  if (body) {
    request.headers.emplace_back("Content-Type", "application/json");
    request.body = body->to_string();
  }
  return fetch_json(context, admin_socket(context), request);
}

Result<codec::Json> call_supervisor(Context& context, const std::string& method, const std::string& path,
                                    const codec::Json& body, std::int64_t timeout_nanos) {
  http::ClientRequest request;
  request.method = method;
  request.path = path;
  request.headers.emplace_back("Content-Type", "application/json");
  request.body = body.to_string();
  request.timeout_nanos = timeout_nanos;
  return fetch_json(context, io::Address::unix_socket(context.data + "/run/supervisor.sock"), request);
}

Status stream_api(Context& context, const std::string& path, const std::string& query,
                  const std::function<bool(const codec::Json&)>& on_line) {
  http::ClientRequest request;
  request.path = path;
  request.query = query;
  request.timeout_nanos = 0;
  std::string held;
  Status failed;
  auto response = http::fetch(context.clock, admin_socket(context), request, [&](std::string_view data) {
    held += data;
    for (std::size_t end = held.find('\n'); end != std::string::npos; end = held.find('\n')) {
      const auto line = codec::parse_json(std::string_view(held).substr(0, end));
      if (!line) {
        failed = line.error();
        return false;
      }
      if (const codec::Json* error = line->find("error")) {
        failed = error_from_json(*error, ErrorKind::kInternal);
        return false;
      }
      if (!on_line(*line)) return false;
      held.erase(0, end + 1);
    }
    return true;
  });
  if (!response) return not_running(context, std::move(response).error());
  return failed;
}

}  // namespace wary::cli
