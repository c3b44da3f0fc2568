#include "gateway/signer_desk.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "crypto/x509.h"

namespace wary::gateway {

SignerDesk::SignerDesk(io::Loop& home, Clock& clock, Signer signer)
    : home_(home),
      clock_(clock),
      signer_(std::move(signer)),
      loop_(io::make_epoll_loop(clock)),
      thread_([loop = loop_.get()] { loop->run(); }) {}

SignerDesk::~SignerDesk() {
  alive_.reset();
  loop_->stop();
  if (signer_.interrupt) signer_.interrupt();
  thread_.join();
}

void SignerDesk::ask(Ask ask, std::function<void(Told)> told) {
  WARY_CHECK(!std::exchange(asking_, true));
  loop_->post([this, ask = std::move(ask), told = std::move(told), alive = std::weak_ptr<int>(alive_)] {
    home_.post([this, answered = answer(ask), told, alive] {
      if (alive.expired()) return;
      asking_ = false;
      told(answered);
    });
  });
}

Result<SignerDesk::Made> SignerDesk::issue(const Ask& ask, const std::vector<std::string>& names) const {
  WARY_ASSIGN_OR_RETURN(crypto::PrivateKey key, crypto::PrivateKey::generate(crypto::KeyType::kEcdsaP256));
  WARY_ASSIGN_OR_RETURN(const Bytes csr, crypto::make_csr(key, ask.subject));
  WARY_ASSIGN_OR_RETURN(IssuedCertificate certificate,
                        names.empty() ? signer_.issue_own(csr, ask.own) : signer_.issue(csr, names));
  const std::int64_t now = clock_.unix_time().nanos;
  return Made{{std::move(certificate.chain), std::make_shared<const crypto::PrivateKey>(std::move(key))},
              names,
              certificate.not_after,
              {now + std::max((certificate.not_after.nanos - now) / 3, kNanosPerSecond)}};
}

SignerDesk::Told SignerDesk::answer(const Ask& ask) const {
  Told told;
  const auto take = [&told](auto made, auto& to) {
    if (made) {
      to = std::move(made).value();
    } else if (!told.failure) {
      told.failure = std::move(made).error();
    }
    return to.has_value();
  };
  const auto is_away = [&told] { return told.failure && told.failure->kind == ErrorKind::kUnavailable; };
  if (ask.roots) take(signer_.trusted(), told.roots);
  // Names that cannot be had do not keep what is shown already from being renewed.
  if (!ask.names.empty() && !is_away() && !take(issue(ask, ask.names), told.certificate) && !ask.others.empty() &&
      !is_away()) {
    take(issue(ask, ask.others), told.certificate);
  }
  if (!ask.own.empty() && !is_away()) take(issue(ask, {}), told.own);
  return told;
}

}  // namespace wary::gateway
