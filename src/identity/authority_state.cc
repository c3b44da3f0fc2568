#include "identity/authority_state.h"

#include <algorithm>
#include <array>

#include "codec/json.h"
#include "codec/text.h"
#include "keystore/key_store.h"

namespace wary::identity {

namespace {

constexpr std::size_t kStateMax = 512 * 1024;
constexpr std::size_t kRecordsMax = 64;
constexpr std::string_view kStateName = "authority.state";
constexpr std::array<std::string_view, 4> kStages = {"next", "active", "old", "tainted"};

codec::Json json_of(const KeyRecord& record) {
  codec::Json out = codec::Json::object();
  out.set("key", std::string_view(record.key)).set("store", std::string_view(record.store));
  out.set("shown", codec::encode_base64(record.shown)).set("stage", kStages[static_cast<std::size_t>(record.stage)]);
  return out.set("made", record.made.nanos).set("until", record.until.nanos);
}

codec::Json json_of(const KeyRecords& records) {
  codec::Json out = codec::Json::array();
  for (const KeyRecord& record : records) out.push(json_of(record));
  return out;
}

bool read_record(const codec::Json& json, KeyRecord& record) {
  record.key = json.string_or("key", "");
  record.store = json.string_or("store", "");
  const auto* const stage = std::ranges::find(kStages, json.string_or("stage", ""));
  auto shown = codec::decode_base64(json.string_or("shown", ""));
  if (!keystore::check_key_name(record.key) || record.store.empty() || stage == kStages.end() || !shown) return false;
  record.stage = static_cast<KeyStage>(stage - kStages.begin());
  record.shown = std::move(shown).value();
  record.made = {json.integer_or("made", 0)};
  record.until = {json.integer_or("until", 0)};
  return true;
}

bool read_records(const codec::Json& state, std::string_view name, KeyRecords& records) {
  const codec::Json* list = state.find(name);
  if (list == nullptr || !list->is_array() || list->items().size() > kRecordsMax) return false;
  for (const codec::Json& item : list->items()) {
    if (!read_record(item, records.emplace_back())) return false;
  }
  return true;
}

bool is_whole(const KeyRecords& records) {
  const auto count = [&](KeyStage stage) { return std::ranges::count(records, stage, &KeyRecord::stage); };
  return count(KeyStage::kActive) == 1 && count(KeyStage::kNext) <= 1;
}

bool read_content(const codec::Json& json, AuthorityState& state) {
  if (json.integer_or("version", 0) != 1) return false;
  state.trust_domain = json.string_or("trust_domain", "");
  const std::int64_t sequence = json.integer_or("sequence", 0);
  state.sequence = static_cast<std::uint64_t>(sequence);
  state.complete = json.bool_or("complete", false);
  return sequence > 0 && read_records(json, "roots", state.roots) &&
         read_records(json, "intermediates", state.intermediates) && read_records(json, "tokens", state.tokens) &&
         read_records(json, "retired", state.retired) && is_whole(state.roots) && is_whole(state.intermediates) &&
         is_whole(state.tokens);
}

}  // namespace

std::string_view to_string(KeyKind kind) {
  return kind == KeyKind::kRoot ? "root" : kind == KeyKind::kIntermediate ? "intermediate" : "token";
}
KeyRecords& records_of(AuthorityState& state, KeyKind kind) {
  return kind == KeyKind::kRoot ? state.roots : kind == KeyKind::kIntermediate ? state.intermediates : state.tokens;
}
const KeyRecords& records_of(const AuthorityState& state, KeyKind kind) {
  return kind == KeyKind::kRoot ? state.roots : kind == KeyKind::kIntermediate ? state.intermediates : state.tokens;
}

KeyRecord* find_stage(KeyRecords& records, KeyStage stage) {
  const auto at = std::ranges::find(records, stage, &KeyRecord::stage);
  return at == records.end() ? nullptr : &*at;
}
const KeyRecord* find_stage(const KeyRecords& records, KeyStage stage) {
  const auto at = std::ranges::find(records, stage, &KeyRecord::stage);
  return at == records.end() ? nullptr : &*at;
}

Result<AuthorityState> read_state(io::Files& files, const std::string& path, const crypto::SealKey& seal) {
  WARY_ASSIGN_OR_RETURN(const Bytes stored, io::read_file(files, path, kStateMax));
  const auto damaged = [&](std::string_view why) {
    return fail(ErrorKind::kDataLoss, "authority_state", "what the authority remembers is damaged")
        .at(path)
        .found(why)
        .next("restore this file from a backup; no new authority takes its place");
  };
  const auto opened = crypto::unseal(seal, kStateName, stored);
  if (!opened) return damaged(opened.error().code);
  const auto json = codec::parse_json(as_text(opened->reveal()), {.bytes = kStateMax, .depth = 8});
  AuthorityState state;
  if (!json || !read_content(*json, state)) return damaged("content of another form");
  return state;
}

Status write_state(io::Files& files, const std::string& path, const crypto::SealKey& seal, Random& random,
                   const AuthorityState& state) {
  codec::Json json = codec::Json::object();
  json.set("version", 1).set("trust_domain", std::string_view(state.trust_domain));
  json.set("sequence", static_cast<std::int64_t>(state.sequence)).set("complete", state.complete);
  json.set("roots", json_of(state.roots)).set("intermediates", json_of(state.intermediates));
  json.set("tokens", json_of(state.tokens)).set("retired", json_of(state.retired));
  WARY_ASSIGN_OR_RETURN(const Bytes sealed, crypto::seal(seal, kStateName, as_bytes(json.to_string()), random));
  return io::write_file_atomically(files, path, sealed);
}

}  // namespace wary::identity
