// What a review of policies reads: what is in force, and recorded decisions with all that was asked.
#include <algorithm>

#include "control/api.h"

namespace wary::control {

using codec::Json;

namespace {

constexpr std::size_t kPageBytes = std::size_t{1} << 20;
constexpr std::size_t kPageEvents = 4'000;
constexpr std::uint64_t kReadAtOnce = 250;
constexpr std::string_view kCredentialType = "Wary::Credential";

// The first event that the ledger took at `since` or later; its clock may have been set, so it is about then.
Result<std::uint64_t> first_since(ledger::Ledger& ledger, UnixTime since) {
  std::uint64_t low = 0;
  std::uint64_t high = ledger.head().size;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    WARY_ASSIGN_OR_RETURN(const contract::Event event, ledger.read(middle));
    if (event.receive_time < since) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// A decision as its reader needs it to ask again. The detail stays text: it is read where there is time.
Json decision_row(const ledger::StoredEvent& stored) {
  const contract::Event& event = stored.event;
  Json row = Json::object();
  row.set("index", static_cast<std::int64_t>(stored.index)).set("at", event.event_time.nanos);
  row.set("actor", std::string_view(event.actor)).set("action", std::string_view(event.action));
  row.set("resource", std::string_view(event.resource)).set("decision", std::string_view(event.decision_id));
  row.set("detail", std::string_view(event.detail));
  return row;
}

bool is_decision(const contract::Event& event) { return !event.decision_id.empty() && event.action != "session.cut"; }

struct Range {
  std::uint64_t from = 0;
  std::uint64_t to = UINT64_MAX;
};

// One page: what lies in the range until it is full. `next` is where the following one begins.
Result<Json> read_decisions(ledger::Ledger& ledger, Range range) {
  const std::uint64_t size = ledger.head().size;
  range.to = std::min(range.to, size);
  range.from = std::min(range.from, range.to);
  Json rows = Json::array();
  std::int64_t others = 0;
  std::uint64_t next = range.from;
  std::size_t bytes = 0;
  while (next < range.to && bytes < kPageBytes && next - range.from < kPageEvents) {
    const std::uint64_t count = std::min(kReadAtOnce, range.to - next);
    WARY_ASSIGN_OR_RETURN(const auto page, ledger.read_range(next, count));
    if (page.empty()) break;
    for (const ledger::StoredEvent& stored : page) {
      next = stored.index + 1;
      if (!is_decision(stored.event)) {
        ++others;
        continue;
      }
      bytes += stored.event.detail.size() + 200;
      rows.push(decision_row(stored));
    }
  }
  Json out = Json::object();
  out.set("size", static_cast<std::int64_t>(size)).set("from", static_cast<std::int64_t>(range.from));
  out.set("to", static_cast<std::int64_t>(range.to)).set("next", static_cast<std::int64_t>(next));
  return out.set("others", others).set("decisions", std::move(rows));
}

Json policies_of(const policy::Snapshot& snapshot) {
  Json out = Json::array();
  for (const policy::PolicyText& text : snapshot.policies().texts()) {
    Json one = Json::object();
    one.set("id", std::string_view(text.id)).set("text", std::string_view(text.text));
    one.set("file", std::string_view(text.file)).set("line", static_cast<std::int64_t>(text.first_line));
    out.push(std::move(one));
  }
  return out;
}

}  // namespace

void Api::ledger_decisions(const Caller&, const ExchangePtr& exchange, const std::string&) {
  const http::Request& request = exchange->request();
  const auto from = number_parameter(request, "from", UINT64_MAX), to = number_parameter(request, "to", UINT64_MAX),
             last = number_parameter(request, "last", UINT64_MAX), since = number_parameter(request, "since", 0);
  for (const auto* number : {&from, &to, &last, &since}) {
    if (!*number) return send_error(exchange, number->error());
  }
  const auto read = [from = *from, to = *to, last = *last, since = *since](ledger::Ledger& ledger) -> Result<Json> {
    if (from != UINT64_MAX) return read_decisions(ledger, {from, to});
    const std::uint64_t size = ledger.head().size;
    Range range{size - std::min(size, last), to};
    if (since != 0) {
      const UnixTime time{static_cast<std::int64_t>(std::min<std::uint64_t>(since, INT64_MAX))};
      WARY_ASSIGN_OR_RETURN(const std::uint64_t first, first_since(ledger, time));
      range.from = std::max(range.from, first);
    }
    return read_decisions(ledger, range);
  };
  ask_ledger(exchange, read, [exchange](const Json& page) { send_json(exchange, 200, page); });
}

// Pages of one revision: the listing is made with the first and kept until the last.
void Api::live_snapshot(const Caller&, const ExchangePtr& exchange, const std::string&) {
  const http::Request& request = exchange->request();
  const auto revision = number_parameter(request, "revision", UINT64_MAX), at = number_parameter(request, "at", 0);
  if (!revision || !at) return send_error(exchange, revision ? at.error() : revision.error());
  policy::SnapshotPtr snapshot = plane_.snapshot();
  if (*revision != UINT64_MAX) {
    auto then = plane_.snapshot_at(*revision);
    if (!then) return send_error(exchange, then.error());
    snapshot = std::move(*then);
  }
  if (listed_ != snapshot) {
    listing_.clear();
    for (const contract::Entity* entity : snapshot->all_entities()) {
      if (entity->id.type != kCredentialType) listing_.push_back(entity);  // nothing is decided by a cookie's hash
    }
    listed_ = snapshot;
  }
  Json out = Json::object();
  out.set("revision", static_cast<std::int64_t>(snapshot->revision()));
  out.set("total", static_cast<std::int64_t>(listing_.size()));
  if (*at == 0) out.set("policies", policies_of(*snapshot));
  std::size_t next = std::min<std::uint64_t>(*at, listing_.size());
  Json list = Json::array();
  for (std::size_t bytes = 0; next < listing_.size() && bytes < kPageBytes; ++next) {
    Json one = contract::to_json(*listing_[next]);
    bytes += 200 + 200 * (listing_[next]->attributes.size() + listing_[next]->tags.size());
    list.push(std::move(one));
  }
  out.set("entities", std::move(list)).set("next", static_cast<std::int64_t>(next));
  if (next == listing_.size()) {
    listing_.clear();
    listed_ = nullptr;
  }
  send_json(exchange, 200, out);
}

}  // namespace wary::control
