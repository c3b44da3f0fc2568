#include "control/node_challenges.h"

#include <algorithm>

#include "codec/text.h"

namespace wary::control {

namespace {

constexpr std::int64_t kGoodFor = 30 * kNanosPerSecond;
constexpr std::size_t kUsedMost = 4096;
constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kTextBytes = 8 + sizeof(node::Nonce) + sizeof(crypto::Digest);
constexpr std::string_view kSealDomain = "wary node challenge 1", kSecretDomain = "wary node challenge secret 1";

void add_sealed_part(Bytes& out, ByteView part) {
  append_big_endian(out, static_cast<std::uint32_t>(part.size()));
  append(out, part);
}

Error no_challenge(std::string_view why) {
  return fail(ErrorKind::kDenied, "node_challenge", why).next("ask for another challenge: the node does so by itself");
}

}  // namespace

NodeChallenges::NodeChallenges(Clock& clock, Random& random) : clock_(clock), random_(random), key_(kKeyBytes) {
  random_.fill(key_.reveal_mutable());
}

crypto::Digest NodeChallenges::seal(std::int64_t until, const node::Nonce& server_nonce, const Purpose& purpose) const {
  Bytes message;
  add_sealed_part(message, as_bytes(kSealDomain));
  append_big_endian(message, static_cast<std::uint64_t>(until));
  message.push_back(static_cast<std::uint8_t>(purpose.method));
  add_sealed_part(message, server_nonce);
  add_sealed_part(message, purpose.node_nonce);
  add_sealed_part(message, purpose.csr_sha256);
  add_sealed_part(message, as_bytes(purpose.client));
  return crypto::hmac_sha256(key_.reveal(), message);
}

NodeChallenges::Made NodeChallenges::make(const Purpose& purpose) {
  Made made;
  random_.fill(made.server_nonce);
  const std::int64_t until = clock_.monotonic().nanos + kGoodFor;
  Bytes bytes;
  append_big_endian(bytes, static_cast<std::uint64_t>(until));
  append(bytes, made.server_nonce);
  append(bytes, seal(until, made.server_nonce, purpose));
  made.text = codec::encode_base64(bytes);
  return made;
}

Result<node::Nonce> NodeChallenges::open(std::string_view text, const Purpose& purpose) const {
  const auto bytes = codec::decode_base64(text.substr(0, 2 * kTextBytes));
  if (!bytes || bytes->size() != kTextBytes) return no_challenge("this is no challenge");
  const auto until = static_cast<std::int64_t>(read_big_endian<std::uint64_t>(bytes->data()));
  node::Nonce nonce;
  std::copy_n(bytes->begin() + 8, nonce.size(), nonce.begin());
  const ByteView mac = ByteView(*bytes).subspan(8 + nonce.size());
  if (!equals_in_constant_time(mac, seal(until, nonce, purpose))) {
    return no_challenge("this challenge was made for something else, for somebody else, or before a restart");
  }
  if (until <= clock_.monotonic().nanos) return no_challenge("this challenge is too old");
  if (used_.contains(nonce)) return no_challenge("this challenge was answered already");
  return nonce;
}

Status NodeChallenges::use(const node::Nonce& server_nonce) {
  const std::int64_t now = clock_.monotonic().nanos;
  if (used_.size() >= kUsedMost) std::erase_if(used_, [&](const auto& each) { return each.second <= now; });
  if (used_.size() >= kUsedMost) {
    return fail(ErrorKind::kExhausted, "node_challenges", "too many machines joined within the last 30 seconds")
        .next("try again in a few seconds");
  }
  // None is good for longer from now on.
  used_.emplace(server_nonce, now + kGoodFor);
  return {};
}

Secret NodeChallenges::secret_of(const node::Nonce& server_nonce, ByteView of) const {
  Bytes message;
  add_sealed_part(message, as_bytes(kSecretDomain));
  add_sealed_part(message, server_nonce);
  add_sealed_part(message, of);
  crypto::Digest digest = crypto::hmac_sha256(key_.reveal(), message);
  Secret out = Secret::copy_of(digest);
  wipe(digest.data(), digest.size());
  return out;
}

}  // namespace wary::control
