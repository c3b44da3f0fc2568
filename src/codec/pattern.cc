#include "codec/pattern.h"

#include <algorithm>
#include <string>

#include "codec/text.h"

namespace wary::codec {

namespace {

constexpr std::size_t kPatternBytes = 1024;
constexpr std::size_t kStates = 2000;
constexpr std::size_t kGroups = 32;
constexpr std::uint32_t kOpen = UINT32_MAX;  // an exit not yet connected

// The code point there and how many bytes it has; the text is UTF-8.
std::uint32_t code_at(std::string_view text, std::size_t at, std::size_t length) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at + i])); };
  if (length == 1) return byte(0);
  std::uint32_t code = byte(0) & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) code = code << 6 | (byte(i) & 0x3f);
  return code;
}

}  // namespace

// Thompson's construction: a piece has a first state and exits that are connected to what follows.
class PatternCompiler {
 public:
  explicit PatternCompiler(std::string_view text) : text_(text) {}

  Result<Pattern> compile() {
    if (text_.size() > kPatternBytes || !is_utf8(text_)) return refuse("a pattern is UTF-8 and at most 1,024 bytes");
    WARY_ASSIGN_OR_RETURN(const Piece piece, alternatives(0));
    if (at_ != text_.size()) return refuse("a group closes that was not opened");
    connect(piece, add({Pattern::Op::kMatch, 0, 0}));
    if (pattern_.states_.size() > kStates) return refuse("the pattern is too large");
    pattern_.start_ = piece.first;
    return std::move(pattern_);
  }

 private:
  using Op = Pattern::Op;
  struct Exit {
    std::uint32_t state;
    bool second;
  };
  struct Piece {
    std::uint32_t first = 0;
    std::vector<Exit> exits;
  };

  Error refuse(std::string_view message) const {
    return fail(ErrorKind::kInvalid, "pattern_syntax", message).at("byte " + std::to_string(at_)).found(text_);
  }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool ends_alternative() const { return at_ >= text_.size() || peek() == '|' || peek() == ')'; }

  std::uint32_t add(Pattern::State state) {
    pattern_.states_.push_back(state);
    return static_cast<std::uint32_t>(pattern_.states_.size() - 1);
  }
  void connect(const Piece& piece, std::uint32_t to) {
    for (const Exit exit : piece.exits) {
      (exit.second ? pattern_.states_[exit.state].second : pattern_.states_[exit.state].first) = to;
    }
  }
  Piece single(Pattern::State state) {
    const std::uint32_t index = add(state);
    return {index, {{index, false}}};
  }
  Piece set(Pattern::Set set) {
    pattern_.sets_.push_back(std::move(set));
    return single({Op::kSet, kOpen, static_cast<std::uint32_t>(pattern_.sets_.size() - 1)});
  }

  Result<Piece> alternatives(std::size_t depth) {
    if (depth > kGroups) return refuse("groups are nested too deep");
    WARY_ASSIGN_OR_RETURN(Piece left, sequence(depth));
    while (peek() == '|') {
      ++at_;
      WARY_ASSIGN_OR_RETURN(const Piece right, sequence(depth));
      left.first = add({Op::kSplit, left.first, right.first});
      left.exits.insert(left.exits.end(), right.exits.begin(), right.exits.end());
    }
    return left;
  }

  Result<Piece> sequence(std::size_t depth) {
    Piece whole = single({Op::kJump, kOpen, 0});
    while (!ends_alternative()) {
      WARY_ASSIGN_OR_RETURN(Piece next, repeated(depth));
      connect(whole, next.first);
      whole.exits = std::move(next.exits);
      if (pattern_.states_.size() > kStates) return refuse("the pattern is too large");
    }
    return whole;
  }

  // An atom and its repetition. {n,m} parses the atom's text again for each copy: simple, and bounded by kStates.
  Result<Piece> repeated(std::size_t depth) {
    const std::size_t start = at_;
    WARY_ASSIGN_OR_RETURN(Piece piece, atom(depth));
    std::size_t least = 1, most = 1;
    bool endless = false;
    switch (peek()) {
      case '*':
        least = 0;
        endless = true;
        ++at_;
        break;
      case '+':
        endless = true;
        ++at_;
        break;
      case '?':
        least = 0;
        ++at_;
        break;
      case '{': WARY_RETURN_IF_ERROR(counts(least, most, endless)); break;
      default: return piece;
    }
    if (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{') return refuse("a repetition is not repeated");
    const std::size_t end = at_;
    Piece whole = single({Op::kJump, kOpen, 0});
    const std::size_t copies = endless ? std::max<std::size_t>(least, 1) : most;
    std::vector<Exit> early;
    for (std::size_t i = 0; i < copies; ++i) {
      if (i != 0) {
        at_ = start;
        WARY_ASSIGN_OR_RETURN(piece, atom(depth));
        at_ = end;
      }
      const bool last_of_endless = endless && i + 1 == copies;
      if (i >= least) {
        const std::uint32_t split = add({Op::kSplit, piece.first, kOpen});
        early.push_back({split, true});
        connect(whole, split);
        if (last_of_endless) {
          connect(piece, split);
          piece.exits.clear();
        }
      } else {
        connect(whole, piece.first);
        if (last_of_endless) {
          const std::uint32_t split = add({Op::kSplit, piece.first, kOpen});
          connect(piece, split);
          piece.exits = {{split, true}};
        }
      }
      whole.exits = piece.exits;
      if (pattern_.states_.size() > kStates) return refuse("the pattern is too large");
    }
    whole.exits.insert(whole.exits.end(), early.begin(), early.end());
    return whole;
  }

  Status counts(std::size_t& least, std::size_t& most, bool& endless) {
    ++at_;
    if (!number(least)) return refuse("a count is {n}, {n,} or {n,m}");
    most = least;
    if (peek() == ',') {
      ++at_;
      endless = peek() == '}';
      if (!endless && !number(most)) return refuse("a count is {n}, {n,} or {n,m}");
    }
    if (peek() != '}' || most < least) return refuse("a count is {n}, {n,} or {n,m}");
    ++at_;
    return {};
  }
  bool number(std::size_t& value) {
    const std::size_t start = at_;
    value = 0;
    while (peek() >= '0' && peek() <= '9' && at_ - start < 4)
      value = value * 10 + static_cast<std::size_t>(text_[at_++] - '0');
    return at_ != start;
  }

  Result<Piece> atom(std::size_t depth) {
    switch (peek()) {
      case '(': {
        ++at_;
        if (peek() == '?' && peek(1) == ':') at_ += 2;
        WARY_ASSIGN_OR_RETURN(Piece inside, alternatives(depth + 1));
        if (peek() != ')') return refuse("a group is not closed");
        ++at_;
        return inside;
      }
      case '[': return character_class();
      case '.': ++at_; return set({true, {{'\n', '\n'}, {'\r', '\r'}}});
      case '^': ++at_; return single({Op::kStart, kOpen, 0});
      case '$': ++at_; return single({Op::kEnd, kOpen, 0});
      case '*':
      case '+':
      case '?':
      case '{':
      case '}':
      case ']': return refuse("this character is escaped with a backslash");
      default: break;
    }
    Pattern::Set one;
    WARY_RETURN_IF_ERROR(item(one));
    return set(std::move(one));
  }

  // One character or escape, added to `out`.
  Status item(Pattern::Set& out) {
    if (at_ >= text_.size()) return refuse("the pattern ends too early");
    if (peek() != '\\') {
      const std::size_t length = utf8_length_at(text_, at_);
      const std::uint32_t code = code_at(text_, at_, length);
      out.ranges.emplace_back(code, code);
      at_ += length;
      return {};
    }
    const char name = peek(1);
    constexpr std::string_view kNames = "nrtfv";
    constexpr std::string_view kBytes = "\n\r\t\f\v";
    const auto add_range = [&](std::uint32_t first, std::uint32_t last) { out.ranges.emplace_back(first, last); };
    switch (name) {
      case 'd': add_range('0', '9'); break;
      case 'D':
        add_range(0, '0' - 1);
        add_range('9' + 1, 0x10ffff);
        break;
      case 'w':
        add_range('0', '9');
        add_range('A', 'Z');
        add_range('_', '_');
        add_range('a', 'z');
        break;
      case 'W':
        add_range(0, '0' - 1);
        add_range('9' + 1, 'A' - 1);
        add_range('Z' + 1, '_' - 1);
        add_range('`', '`');
        add_range('z' + 1, 0x10ffff);
        break;
      case 's':
        add_range('\t', '\r');
        add_range(' ', ' ');
        break;
      case 'S':
        add_range(0, '\t' - 1);
        add_range('\r' + 1, ' ' - 1);
        add_range(' ' + 1, 0x10ffff);
        break;
      default: {
        const std::size_t known = name == '\0' ? std::string_view::npos : kNames.find(name);
        const auto byte = static_cast<unsigned char>(known != std::string_view::npos ? kBytes[known] : name);
        const bool punctuation = byte > 0x20 && byte < 0x7f && hex_value(name) < 0 &&
                                 !((name >= 'a' && name <= 'z') || (name >= 'A' && name <= 'Z'));
        if (known == std::string_view::npos && !punctuation) return refuse("this escape is not known");
        add_range(byte, byte);
      }
    }
    at_ += 2;
    return {};
  }

  Result<Piece> character_class() {
    Pattern::Set out;
    ++at_;
    if (peek() == '^') {
      out.negated = true;
      ++at_;
    }
    while (peek() != ']') {
      const std::size_t before = out.ranges.size();
      WARY_RETURN_IF_ERROR(item(out));
      if (peek() != '-' || peek(1) == ']') continue;
      ++at_;
      Pattern::Set last;
      WARY_RETURN_IF_ERROR(item(last));
      const bool single_ends = out.ranges.size() == before + 1 && last.ranges.size() == 1 &&
                               out.ranges.back().first == out.ranges.back().second &&
                               last.ranges[0].first == last.ranges[0].second;
      if (!single_ends || last.ranges[0].first < out.ranges.back().first) return refuse("this is no range");
      out.ranges.back().second = last.ranges[0].first;
    }
    ++at_;
    return set(std::move(out));
  }

  std::string_view text_;
  std::size_t at_ = 0;
  Pattern pattern_;
};

Result<Pattern> Pattern::compile(std::string_view text) { return PatternCompiler(text).compile(); }

bool Pattern::Set::has(std::uint32_t code) const {
  const bool inside = std::any_of(ranges.begin(), ranges.end(),
                                  [code](const auto& range) { return code >= range.first && code <= range.second; });
  return inside != negated;
}

// The states alive between two code points: each at most once.
struct Pattern::Threads {
  explicit Threads(std::size_t states) : present(states, 0) {}
  std::vector<std::uint32_t> sets;  // those that wait for a code point
  std::vector<std::uint32_t> work;
  std::vector<std::uint8_t> present;
  bool matched = false;
  void clear() {
    sets.clear();
    std::fill(present.begin(), present.end(), std::uint8_t{0});
  }
};

void Pattern::follow(Threads& threads, std::uint32_t state, bool at_start, bool at_end) const {
  threads.work.assign(1, state);
  while (!threads.work.empty()) {
    const std::uint32_t index = threads.work.back();
    threads.work.pop_back();
    if (threads.present[index] != 0) continue;
    threads.present[index] = 1;
    const State& current = states_[index];
    switch (current.op) {
      case Op::kSet: threads.sets.push_back(index); break;
      case Op::kSplit: threads.work.push_back(current.second); [[fallthrough]];
      case Op::kJump: threads.work.push_back(current.first); break;
      case Op::kStart:
        if (at_start) threads.work.push_back(current.first);
        break;
      case Op::kEnd:
        if (at_end) threads.work.push_back(current.first);
        break;
      case Op::kMatch: threads.matched = true; break;
    }
  }
}

bool Pattern::matches(std::string_view text) const {
  Threads now(states_.size()), next(states_.size());
  for (std::size_t at = 0;;) {
    follow(now, start_, at == 0, at == text.size());
    if (now.matched) return true;
    if (at == text.size()) return false;
    const std::size_t length = utf8_length_at(text, at);
    if (length == 0) return false;
    const std::uint32_t code = code_at(text, at, length);
    at += length;
    next.clear();
    for (const std::uint32_t index : now.sets) {
      if (sets_[states_[index].second].has(code)) follow(next, states_[index].first, false, at == text.size());
    }
    if (next.matched) return true;
    std::swap(now, next);
  }
}

}  // namespace wary::codec
