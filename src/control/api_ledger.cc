// ledger: events as rows and streams, proofs, the public key, the full check.
#include <charconv>

#include "codec/text.h"
#include "control/api.h"
#include "control/names.h"

namespace wary::control {

using codec::Json;

namespace {

constexpr std::size_t kStreamsMax = 64;
constexpr std::size_t kPage = 500;
constexpr std::size_t kLastMax = 10'000;

std::uint64_t number_of(std::string_view text, std::uint64_t fallback) {
  std::uint64_t value = fallback;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() ? value : fallback;
}

std::string summary_of(const contract::Event& event, const Json& detail) {
  if (event.action == "session.cut") {
    return "cut " + std::to_string(detail.integer_or("cut_after_ns", 0) / 1000) + " us after commit";
  }
  if (const std::string_view searched = detail.string_or("searched", ""); !searched.empty()) {
    return "search " + std::string(searched) + ": " + std::to_string(detail.integer_or("found", 0)) + " told";
  }
  if (const std::string_view path = detail.string_or("path", ""); !path.empty()) {
    return std::string(detail.string_or("method", "")) + " " + std::string(detail.string_or("host", "")) +
           std::string(path);
  }
  return std::string(detail.string_or("reason", ""));
}

// "#12" is the event's number; anything else a decision's reference.
Result<std::uint64_t> index_of(ledger::Ledger& ledger, const std::string& reference) {
  if (reference.starts_with('#')) {
    const std::uint64_t index = number_of(std::string_view(reference).substr(1), UINT64_MAX);
    if (index < ledger.head().size) return index;
    return fail(ErrorKind::kNotFound, "event_unknown", "the ledger has no event of this number")
        .expected("# and a number below " + std::to_string(ledger.head().size))
        .found(reference)
        .next("wary ledger tail shows the newest");
  }
  WARY_ASSIGN_OR_RETURN(const auto found,
                        ledger.select({.tenant = {}, .actor = {}, .decision_id = reference, .resource = {}}, 10));
  if (!found.empty()) return found.back().index;  // newest first: the decision came before its cut
  return fail(ErrorKind::kNotFound, "decision_unknown", "no event has this reference")
      .found(reference)
      .next("wary ledger tail shows references as ref=...");
}

}  // namespace

Json event_row(std::uint64_t index, const contract::Event& event) {
  const auto detail = codec::parse_json(event.detail);
  const Json empty = Json::object();
  const Json& members = detail ? *detail : empty;
  Json row = Json::object();
  row.set("index", static_cast<std::int64_t>(index)).set("time", to_rfc3339(event.event_time));
  row.set("outcome", members.string_or("decision", "")).set("actor", std::string_view(event.actor));
  row.set("action", std::string_view(event.action)).set("resource", std::string_view(event.resource));
  row.set("summary", summary_of(event, members)).set("reason", members.string_or("reason", ""));
  row.set("decision", std::string_view(event.decision_id)).set("session", std::string_view(event.session));
  row.set("class", static_cast<std::int64_t>(event.class_uid));
  // Another program asked, and enforces.
  if (const std::string_view pep = members.string_or("pep", ""); !pep.empty()) row.set("pep", pep);
  return row;
}

namespace {

// One reader of the ledger: first what is stored, then what comes, without a gap or a repetition between.
class Follower : public std::enable_shared_from_this<Follower> {
 public:
  Follower(Plane& plane, io::Loop& loop, Api::ExchangePtr exchange, std::string actor, bool is_sse, bool follows,
           std::size_t& streams)
      : plane_(plane),
        loop_(loop),
        exchange_(std::move(exchange)),
        actor_(std::move(actor)),
        is_sse_(is_sse),
        follows_(follows),
        streams_(streams) {}

  void begin(std::uint64_t next) {
    next_ = next;
    if (follows_) {
      listener_ = plane_.on_event([self = shared_from_this()](std::uint64_t, const contract::Event&) { self->more(); });
      const auto self = shared_from_this();
      exchange_->on_closed([self] { self->stop(); });
    }
    more();
  }

 private:
  void stop() {
    stopped_ = true;
    if (listener_ == 0) return;
    plane_.remove_listener(listener_);
    listener_ = 0;
    --streams_;
  }

  // Reads the next page from the ledger; at most one read is under way.
  void more() {
    if (reading_ || stopped_) {
      again_ = true;
      return;
    }
    reading_ = true;
    const Status queued = plane_.ledger().run([self = shared_from_this()](ledger::Ledger& ledger) {
      const std::uint64_t size = ledger.head().size;
      auto page = self->next_ < size ? ledger.read_range(self->next_, kPage)
                                     : Result<std::vector<ledger::StoredEvent>>(std::vector<ledger::StoredEvent>());
      self->loop_.post([self, page = std::move(page)] { self->got(page); });
    });
    if (!queued) got(queued.error());
  }

  void got(const Result<std::vector<ledger::StoredEvent>>& page) {
    reading_ = false;
    if (stopped_) return;
    if (!page) {
      exchange_->write(Json::object({{"error", to_json(page.error())}}).to_string() + "\n");
      stop();
      return exchange_->end();
    }
    for (const ledger::StoredEvent& stored : *page) {
      next_ = stored.index + 1;
      if (!actor_.empty() && stored.event.actor != actor_) continue;
      const std::string row = event_row(stored.index, stored.event).to_string();
      const std::string text = is_sse_ ? "id: " + std::to_string(stored.index) + "\ndata: " + row + "\n\n" : row + "\n";
      if (!exchange_->write(text)) {
        stop();
        return exchange_->end();
      }
    }
    const bool full = page->size() >= kPage;
    if (full || again_) {
      again_ = false;
      return more();
    }
    if (!follows_) exchange_->end();
  }

  Plane& plane_;
  io::Loop& loop_;
  Api::ExchangePtr exchange_;
  std::string actor_;
  bool is_sse_;
  bool follows_;
  std::size_t& streams_;  // counted from the request on, until the reader is gone
  std::uint64_t next_ = 0;
  std::uint64_t listener_ = 0;
  bool reading_ = false;
  bool again_ = false;
  bool stopped_ = false;
};

}  // namespace

void Api::begin_follow(const ExchangePtr& exchange, const std::string& actor, bool is_sse, std::uint64_t after,
                       std::size_t last) {
  const bool follows = is_sse || !exchange->request().parameter("follow").empty();
  if (follows) ++streams_;
  const Status queued =
      plane_.ledger().run([this, exchange, actor, is_sse, after, last, follows](ledger::Ledger& ledger) {
        const std::uint64_t size = ledger.head().size;
        // Resumed behind the last one seen; otherwise the newest few.
        const std::uint64_t next =
            after != UINT64_MAX ? std::min(after + 1, size) : size - std::min<std::uint64_t>(size, last);
        parts_.loop.post([this, exchange, actor, is_sse, next, follows] {
          const std::string type = is_sse ? "text/event-stream" : "application/x-ndjson";
          exchange->start(200, {{"Content-Type", type}, {"Cache-Control", "no-store"}});
          if (is_sse) exchange->write("retry: 1000\n\n");
          std::make_shared<Follower>(plane_, parts_.loop, exchange, actor, is_sse, follows, streams_)->begin(next);
        });
      });
  if (queued) return;
  if (follows) --streams_;
  send_error(exchange, queued.error());
}

void Api::ledger_events(const Caller&, const ExchangePtr& exchange, const std::string&) {
  if (streams_ >= kStreamsMax) {
    return send_error(exchange, fail(ErrorKind::kExhausted, "api_streams", "too many streams are open")
                                    .expected("at most " + std::to_string(kStreamsMax))
                                    .next("close one: a page of the console, or `wary ledger tail --follow`"));
  }
  const http::Request& request = exchange->request();
  const bool is_sse = request.header("accept").find("text/event-stream") != std::string_view::npos;
  const auto after = number_parameter(request, "after", UINT64_MAX), last = number_parameter(request, "last", 100);
  if (!after || !last) return send_error(exchange, after ? last.error() : after.error());
  // What the browser saw last, when it comes back by itself.
  const std::uint64_t seen = number_of(request.header("last-event-id"), *after);
  std::string actor = request.parameter("actor");
  if (!actor.empty()) {
    const auto who = principal_named(plane_.settings(), actor);
    if (!who) return send_error(exchange, Error(who.error()).at("actor"));
    actor = who->to_string();
  }
  begin_follow(exchange, actor, is_sse, seen, std::min<std::size_t>(*last, kLastMax));
}

void Api::ledger_proof(const Caller&, const ExchangePtr& exchange, const std::string& rest) {
  const auto reference = codec::decode_percent(rest);
  if (!reference) return send_error(exchange, reference.error());
  const auto prove = [reference = *reference](ledger::Ledger& ledger) -> Result<Json> {
    WARY_ASSIGN_OR_RETURN(const std::uint64_t index, index_of(ledger, reference));
    WARY_ASSIGN_OR_RETURN(const Bytes entry, ledger.read_entry(index));
    WARY_ASSIGN_OR_RETURN(std::string proof, ledger.proof(index));
    Json out = Json::object();
    out.set("format", "wary-proof-1").set("index", static_cast<std::int64_t>(index));
    out.set("event", codec::encode_base64(entry)).set("proof", std::move(proof));
    return out;
  };
  ask_ledger(exchange, prove, [exchange](const Json& proof) { send_json(exchange, 200, proof); });
}

void Api::ledger_consistency(const Caller&, const ExchangePtr& exchange, const std::string&) {
  const auto from = number_parameter(exchange->request(), "from", UINT64_MAX),
             to = number_parameter(exchange->request(), "to", UINT64_MAX);
  if (!from || !to) return send_error(exchange, from ? to.error() : from.error());
  const auto prove = [from = *from, to = *to](ledger::Ledger& ledger) -> Result<Json> {
    const std::uint64_t newer = to == UINT64_MAX ? ledger.head().size : to;
    WARY_ASSIGN_OR_RETURN(const std::vector<ledger::Hash> proof, ledger.consistency_proof(from, newer));
    WARY_ASSIGN_OR_RETURN(const ledger::Hash old_root, ledger.root_at(from));
    WARY_ASSIGN_OR_RETURN(const ledger::Hash new_root, ledger.root_at(newer));
    Json hashes = Json::array();
    for (const ledger::Hash& hash : proof) hashes.push(Json(codec::encode_base64(hash)));
    Json out = Json::object();
    out.set("from", static_cast<std::int64_t>(from)).set("from_root", codec::encode_base64(old_root));
    out.set("to", static_cast<std::int64_t>(newer)).set("to_root", codec::encode_base64(new_root));
    out.set("proof", std::move(hashes));
    return out;
  };
  ask_ledger(exchange, prove, [exchange](const Json& proof) { send_json(exchange, 200, proof); });
}

void Api::ledger_key(const Caller&, const ExchangePtr& exchange, const std::string&) {
  send_json(exchange, 200, Json::object({{"vkey", Json(parts_.vkey)}}));
}

void Api::ledger_checkpoint(const Caller&, const ExchangePtr& exchange, const std::string&) {
  ask_ledger(
      exchange, [](ledger::Ledger& ledger) { return ledger.checkpoint(); },
      [exchange](const std::string& note) { send_json(exchange, 200, Json::object({{"checkpoint", Json(note)}})); });
}

void Api::ledger_check(const Caller&, const ExchangePtr& exchange, const std::string&) {
  ask_ledger(
      exchange, [](ledger::Ledger& ledger) { return ledger.check(); },
      [exchange](const ledger::CheckReport& report) {
        Json out = Json::object();
        Json findings = Json::array();
        for (const ledger::CheckFinding& finding : report.findings) findings.push(Json(finding.to_string()));
        out.set("entries", static_cast<std::int64_t>(report.entries));
        out.set("segments", static_cast<std::int64_t>(report.segments)).set("findings", std::move(findings));
        send_json(exchange, 200, out);
      });
}

}  // namespace wary::control
