#include "gateway/exchange.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "codec/text.h"
#include "gateway/connection.h"
#include "gateway/headers.h"
#include "gateway/pages.h"
#include "gateway/upstream_pool.h"

namespace wary::gateway {

namespace http1 = codec::http1;

namespace {

constexpr std::int64_t kReceiptTime = 2 * kNanosPerSecond;
constexpr std::int64_t kTunnelIdleTime = 3600 * kNanosPerSecond;

bool is_idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" || method == "DELETE";
}

// How long the answer's body is, where the application says so. The answer to HEAD says what the one to GET would, and
// has no body (RFC 9110 section 9.3.2).
std::optional<std::uint64_t> length_of(const http1::ResponseHead& head, std::string_view method) {
  if (method != "HEAD" || head.status == 204 || head.status == 304) {
    if (head.framing.kind == http1::BodyKind::kLength || head.framing.kind == http1::BodyKind::kNone) {
      return head.framing.length;
    }
    return std::nullopt;
  }
  const auto length = http1::find_field(head.fields, "content-length");
  std::uint64_t value = 0;
  if (!length) return std::nullopt;
  const auto parsed = std::from_chars(length->data(), length->data() + length->size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != length->data() + length->size()) return std::nullopt;
  return value;
}

}  // namespace

Exchange::Exchange(Worker& worker, ClientSide& client, std::uint64_t connection, std::int32_t stream)
    : worker_(worker), client_(client), connection_(connection), stream_(stream) {}

Exchange::~Exchange() { release_upstream(false); }

void Exchange::recycle(std::int32_t stream) {
  give_up(false);
  stream_ = stream;
  ++waits_;
  waits_for_receipt_ = 0;
  deadline_ = call_ends_ = 0;
  is_grpc_ = is_sign_out_ = answered_ = false;
  method_.clear();
  decision_id_.clear();
  redacted_.clear();
  frames_down_ = {};
}

void Exchange::set_deadline(std::int64_t nanos) {
  deadline_ = worker_.loop().now().nanos + nanos;
  if (call_ends_ != 0) deadline_ = std::min(deadline_, call_ends_);
}

std::size_t Exchange::held_bytes() const {
  return outgoing_.text.capacity() + access_.context.held_bytes() + (upstream_ ? upstream_->held_bytes() : 0);
}

void Exchange::rest() {
  if (!is_idle()) return;
  (void)std::exchange(outgoing_, {});  // assigning alone would keep its texts' room
  std::vector<std::string>().swap(redacted_);
  std::vector<const UpstreamLane*>().swap(tried_);
}

std::size_t Exchange::body_room() const {
  if (state_ != State::kRunning && state_ != State::kTunnel) return 0;
  // A WebSocket's opening has no body: to an application that does not agree to it, what comes behind it would be the
  // next request, of the client's own making.
  if (state_ == State::kRunning && wants_upgrade_) return 0;
  // Until something can leave, what is demanded of the request may still change; it waits for that without its body.
  if (!upstream_->has_way()) return 0;
  const std::size_t queued = upstream_->queued();
  return queued < kRequestQueued ? kRequestQueued - queued : 0;
}

void Exchange::body(std::string_view bytes) {
  if (!upstream_ || bytes.empty()) return;
  body_bytes_ += bytes.size();
  if (state_ == State::kRunning && app_->reach.max_body != 0 && body_bytes_ > app_->reach.max_body) {
    return body_refused({413, "request_too_large", "the application takes no request this large"});
  }
  any_body_sent_ = true;
  if (state_ == State::kTunnel) {
    set_deadline(kTunnelIdleTime);
  } else if (has_left_) {
    set_deadline(app_->reach.answer);
  }
  upstream_->data(bytes);
}

void Exchange::body_end() {
  if (!upstream_ || std::exchange(body_ended_, true)) return;
  if (state_ == State::kTunnel) return on_upstream_sent();
  upstream_->end();
}

// Half a request is with the application: it must never look whole there.
void Exchange::body_refused(const http1::Refusal& refusal) {
  release_upstream(true);
  if (answered_) {
    give_up(true);
    return client_.abort();
  }
  refuse(refusal);
}

bool Exchange::client_has_room() { return upstream_ && upstream_->resume(); }

void Exchange::release_upstream(bool reset) {
  if (upstream_) worker_.upstreams().give_back(std::move(upstream_), reset);
}

void Exchange::leave_live() {
  worker_.live().remove(*this);
  valid_until_.reset();
}

void Exchange::give_up(bool reset) {
  state_ = State::kIdle;
  span_.give_up();
  leave_live();
  release_upstream(reset);
  place_ = {};
  app_ = nullptr;
  hsts_ = {};
  site_.reset();
}

void Exchange::connect(bool may_reuse) {
  if (needs_receipt_ && !worker_.is_durable(sequence_)) return wait_for_receipt();
  state_ = State::kConnecting;
  ++attempts_;
  set_deadline(app_->reach.connect);
  if (std::exchange(expects_continue_, false) && has_body_) client_.ask_for_body();
  // A connection that was used before may be closing while we write: a request that cannot be repeated gets a fresh
  // one.
  const bool repeatable = is_idempotent(method_) && !has_body_ && !wants_upgrade_;
  UpstreamLane& lane = worker_.upstreams().choose(*app_, tried_);
  if (auto call = worker_.upstreams().take(lane, may_reuse && repeatable)) return adopt(std::move(call));
  tried_.push_back(&lane);
  worker_.upstreams().connect(lane, app_->reach.connect, {connection_, stream_, ++waits_});
}

void Exchange::wait_for_receipt() {
  state_ = State::kWaiting;
  waits_for_receipt_ = sequence_;
  set_deadline(kReceiptTime);
  worker_.when_durable(sequence_, connection_, stream_);
}

void Exchange::on_durable(std::uint64_t sequence) {
  if (state_ != State::kWaiting || waits_for_receipt_ != sequence) return;
  waits_for_receipt_ = 0;
  connect(true);
}

// Nothing of it has left. What is framed on a connection that others share counts as left (upstream_http2.cc bounds
// it).
bool Exchange::is_on_its_way() const {
  return state_ == State::kConnecting || (state_ == State::kRunning && !has_left_ && !answered_);
}

// As the Route and the App say by now: the site that this request was decided under is older.
bool Exchange::records_before() const {
  contract::Record record = contract::Record::kWith;
  for (const contract::EntityId* id : {&app_->id, &access_.resource}) {
    const contract::Entity* entity = worker_.point().find_entity(*id);
    if (entity != nullptr) record = record_of(*entity, record);
  }
  return record == contract::Record::kBefore;
}

// A change demands the receipt of a request that was decided before it: one that is on its way waits like any other.
void Exchange::hold_back() {
  const bool connects = state_ == State::kConnecting;
  if (!is_on_its_way() || worker_.is_durable(sequence_)) return;
  // Of the body some is with the call, and nowhere else: it can only be asked again.
  if (!connects && (any_body_sent_ || body_ended_ != !has_body_)) {
    return upstream_failed(503, "policy_changed", "the rules changed while this was on its way");
  }
  release_upstream(true);
  ++waits_;  // a connection that is on its way is nobody's
  tried_.clear();
  --attempts_;
  wait_for_receipt();
}

void Exchange::connected(std::uint64_t wait, Result<std::unique_ptr<UpstreamCall>> call) {
  if (state_ != State::kConnecting || wait != waits_) return;
  if (call) return adopt(std::move(call).value());
  worker_.log().warn("gateway.upstream_unreachable", {{"app", app_->id.id}, {"code", call.error().code}});
  // Nothing of the request has gone anywhere: another place may have it, whatever its method.
  if (app_->endpoints.size() > 1 && attempts_ < app_->reach.attempts && worker_.upstreams().may_retry(*app_)) {
    return connect(true);
  }
  upstream_failed(502, "upstream_unreachable", "the application cannot be reached");
}

void Exchange::adopt(std::unique_ptr<UpstreamCall> call) {
  upstream_ = std::move(call);
  state_ = State::kRunning;
  body_ended_ = !has_body_;
  has_left_ = false;
  tried_.clear();
  // Until something has left, it may be a handshake that nobody answers.
  set_deadline(app_->tls ? app_->reach.connect : app_->reach.answer);
  span_.called(upstream_->place(), app_->is_http2);
  upstream_->begin(outgoing_, *this);
  client_.connection().mark();  // what the client has sent of its body goes on
}

void Exchange::on_answer(const http1::ResponseHead& head, bool has_body) {
  settle();
  if (!upstream_) return;
  const bool switches = head.status == 101;
  std::vector<http1::Field>& fields = worker_.answer_fields();
  forward_response_fields(head, app_->is_console, fields);
  redact(fields);
  if (!switches) add_hsts(fields);
  fields.push_back({"Wary-Decision", decision_id_});
  if (!client_.answer({head.status, fields, length_of(head, method_), has_body, switches, false})) {
    return upstream_failed(502, "upstream_answer_invalid", "the application's answer cannot be written as one message");
  }
  answered_ = true;
  span_.answered(head.status);
  set_deadline(switches ? kTunnelIdleTime : app_->reach.idle);
  if (!switches) return;
  state_ = State::kTunnel;
  body_ended_ = false;
  frames_down_ = {};
  client_.connection().mark();
}

void Exchange::redact(std::vector<http1::Field>& fields) const {
  for (const std::string& name : redacted_) {
    std::erase_if(fields, [&](const http1::Field& field) { return codec::equals_ignoring_case(field.name, name); });
  }
}

// What the application says itself goes first (RFC 6797 section 8.1: a browser reads the first of them alone).
void Exchange::add_hsts(std::vector<http1::Field>& fields) const {
  constexpr std::string_view kHsts = "Strict-Transport-Security";
  const bool is_said = hsts_.empty() || std::ranges::any_of(fields, [&](const http1::Field& field) {
                         return codec::equals_ignoring_case(field.name, kHsts);
                       });
  if (!is_said) fields.push_back({kHsts, hsts_});
}

void Exchange::on_answer_data(std::string_view bytes) {
  settle();
  if (!upstream_) return;
  if (state_ == State::kTunnel) {
    frames_down_.take(bytes);
    set_deadline(kTunnelIdleTime);
  } else {
    set_deadline(app_->reach.idle);
  }
  client_.data(bytes);
}

void Exchange::on_answer_end(const std::vector<http1::Field>& trailers) {
  settle();
  if (!upstream_) return;
  std::vector<http1::Field> kept;  // few answers have any, and then none is allocated
  forward_trailers(trailers, kept);
  redact(kept);
  finish();
  client_.end(kept);
}

// It stays live until the last byte of it is with the kernel, and as long as the connection is open under it.
void Exchange::finish() {
  span_.end();
  release_upstream(false);
  state_ = State::kIdle;
  place_ = {};
  app_ = nullptr;
  hsts_ = {};
  site_.reset();
}

void Exchange::on_upstream_failed(std::string_view code, std::string_view message, bool is_repeatable) {
  // Of a body nothing may have gone, not even that it is empty: the client's side says its end once.
  const bool is_untouched = !answered_ && !any_body_sent_ && body_ended_ == !has_body_;
  if (is_repeatable && is_untouched && is_idempotent(method_) && attempts_ < app_->reach.attempts &&
      worker_.upstreams().may_retry(*app_)) {
    release_upstream(false);
    return connect(false);
  }
  if (code != "upstream_closed") {
    worker_.log().warn("gateway.upstream_refused", {{"app", app_->id.id}, {"code", code}});
    if (code != "upstream_identity") code = "upstream_answer_invalid";
  }
  upstream_failed(502, code, message);
}

void Exchange::on_upstream_sent() {
  // The client's last bytes are with the application before it sees the end.
  if (state_ == State::kTunnel && body_ended_ && upstream_->queued() == 0) {
    finish();
    return client_.end({});
  }
  has_left_ = true;
  if (state_ == State::kRunning && !answered_) set_deadline(app_->reach.answer);
  client_.connection().mark();
}

std::size_t Exchange::answer_room() const { return client_.room(); }

void Exchange::upstream_failed(int status, std::string_view code, std::string_view message) {
  release_upstream(true);
  if (answered_) {
    give_up(true);
    return client_.abort();
  }
  if (is_grpc_) return respond_grpc(status, message);
  const Notice notice{status, code, message, "Try again; if it stays like this, tell the application's owner.",
                      decision_id_};
  respond(status, {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}}, render_json(notice));
}

void Exchange::on_deadline() {
  settle();
  switch (state_) {
    case State::kIdle: return;
    case State::kWaiting:
      if (waits_for_receipt_ == 0) {
        return upstream_failed(504, "sign_in_timeout", "this sign-in was not confirmed in time");
      }
      return upstream_failed(504, "record_timeout", "this access could not be recorded in time");
    case State::kRunning:
      // All of what came is with the application, which waits for the rest as we do.
      if (has_left_ && !body_ended_ && !answered_ && !is_grpc_ && upstream_->queued() == 0) {
        return body_refused({408, "request_timeout", "the rest of the request did not arrive in time"});
      }
      [[fallthrough]];
    case State::kConnecting: return upstream_failed(504, "upstream_timeout", "the application did not answer in time");
    case State::kTunnel: finish(); return client_.abort();
  }
}

// TLS looked at the client's certificate once, when the connection began.
bool Exchange::certificate_has_expired() const {
  const crypto::Certificate* peer = client_.connection().transport().peer();
  return peer != nullptr && peer->not_after <= worker_.clock().unix_time();
}

void Exchange::live_under(const policy::SharedDecision& decision) {
  worker_.live().put(*this, enforce::Dependencies(decision, &decision->depends_on));
  valid_until_ = decision->valid_until;
  const crypto::Certificate* peer = client_.connection().transport().peer();
  if (peer == nullptr) return;
  valid_until_ = valid_until_ ? std::min(*valid_until_, peer->not_after) : peer->not_after;
}

void Exchange::settle() {
  if (!worker_.live().has_marked()) return;
  if (const auto committed = worker_.live().take_mark(*this)) reconsider(*committed);
}

policy::SharedDecision Exchange::decide_again() {
  const auto denied = [](const char* code) {
    return std::make_shared<const contract::Decision>(contract::Decision::deny(code));
  };
  if (certificate_has_expired()) return denied("certificate_expired");
  // No policy speaks of an application that is gone, and one that allows everything would keep it open.
  if (app_ != nullptr && !worker_.point().knows(app_->id)) return denied("application_removed");
  return worker_.point().reconsider(access_);
}

void Exchange::reconsider(std::int64_t committed) {
  const policy::SharedDecision decision = decide_again();
  if (decision->is_allowed()) {
    // Of an answer that has not begun, or a request that has not left.
    const bool demands = keep_obligations(*decision) || (is_on_its_way() && records_before());
    live_under(decision);
    if (demands && !std::exchange(needs_receipt_, true)) hold_back();
    return;
  }
  const contract::EntityId principal = access_.principal, resource = access_.resource;
  const std::string first = decision_id_;
  leave_live();
  // Who signs out ends the session that the answer is for; the answer says no more than that.
  if (is_sign_out_ && !answered_ && !is_idle()) return;
  if (!answered_ && !is_idle() && client_.is_quiet()) {
    release_upstream(true);
    refuse({403, "access_ended", "access ended while this was under way"});
    client_.connection().turn_end();
  } else {
    client_.cut();
  }
  worker_.record_cut({principal, resource, decision, first, committed});
}

}  // namespace wary::gateway
