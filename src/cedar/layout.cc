#include "cedar/layout.h"

#include <algorithm>
#include <array>

#include "cedar/lexer.h"

namespace wary::cedar {

namespace {

struct Range {
  char32_t first, last;
};
// Unicode 15.1: combining marks and format characters of common scripts; East Asian wide and emoji.
constexpr std::array<Range, 12> kNoColumn = {{{0x0000, 0x001F},
                                              {0x007F, 0x009F},
                                              {0x0300, 0x036F},
                                              {0x0483, 0x0489},
                                              {0x0591, 0x05BD},
                                              {0x1AB0, 0x1AFF},
                                              {0x1DC0, 0x1DFF},
                                              {0x200B, 0x200F},
                                              {0x20D0, 0x20FF},
                                              {0xFE00, 0xFE0F},
                                              {0xFE20, 0xFE2F},
                                              {0xE0100, 0xE01EF}}};
constexpr std::array<Range, 11> kTwoColumns = {{{0x1100, 0x115F},
                                                {0x2E80, 0x303E},
                                                {0x3041, 0x33FF},
                                                {0x3400, 0x4DBF},
                                                {0x4E00, 0x9FFF},
                                                {0xA000, 0xA4CF},
                                                {0xAC00, 0xD7A3},
                                                {0xF900, 0xFAFF},
                                                {0xFF00, 0xFF60},
                                                {0x1F300, 0x1FAFF},
                                                {0x20000, 0x3FFFD}}};

template <typename Ranges>
bool is_in(const Ranges& ranges, char32_t c) {
  return std::any_of(ranges.begin(), ranges.end(), [c](Range range) { return c >= range.first && c <= range.last; });
}

class Renderer {
 public:
  explicit Renderer(std::size_t width) : width_(width) {}

  std::string render(const Layout& layout) {
    stack_.push_back({0, false, &layout});
    while (!stack_.empty()) {
      const Step step = stack_.back();
      stack_.pop_back();
      write(step);
    }
    return std::move(out_);
  }

 private:
  struct Step {
    std::size_t indent;
    bool flat;
    const Layout* layout;
  };

  void write(const Step& step) {
    const Layout& at = *step.layout;
    switch (at.kind) {
      case Layout::Kind::kText:
        out_ += at.text;
        column_ += display_width(at.text);
        break;
      case Layout::Kind::kLine:
      case Layout::Kind::kSoftLine:
        if (!step.flat) {
          new_line(step);
        } else if (at.kind == Layout::Kind::kLine) {
          out_ += ' ';
          ++column_;
        }
        break;
      case Layout::Kind::kHardLine: new_line(step); break;
      case Layout::Kind::kParts: push(at, step.indent, step.flat); break;
      case Layout::Kind::kNest: push(at, step.indent + at.indent, step.flat); break;
      case Layout::Kind::kGroup: push(at, step.indent, step.flat || fits(at)); break;
    }
  }

  void push(const Layout& layout, std::size_t indent, bool flat) {
    for (auto part = layout.parts.rbegin(); part != layout.parts.rend(); ++part)
      stack_.push_back({indent, flat, &*part});
  }

  void new_line(const Step& step) {
    column_ = stack_.empty() ? step.indent : stack_.back().indent;
    while (!out_.empty() && out_.back() == ' ') out_.pop_back();
    if (!out_.empty() && out_.back() != '\n') out_ += '\n';
    out_.append(column_, ' ');
  }

  // The group on one line, and then what stands behind it up to where a line may end.
  bool fits(const Layout& layout) {
    std::size_t column = column_;
    std::size_t rest = stack_.size();
    bool flat = true;
    ahead_.assign(1, &layout);
    while (true) {
      if (ahead_.empty()) {
        if (rest == 0) return true;
        flat = false;
        ahead_.push_back(stack_[--rest].layout);
      }
      const Layout& at = *ahead_.back();
      ahead_.pop_back();
      switch (at.kind) {
        case Layout::Kind::kText: column += display_width(at.text); break;
        case Layout::Kind::kHardLine: return !flat;
        case Layout::Kind::kLine:
          if (!flat) return true;
          ++column;
          break;
        case Layout::Kind::kSoftLine:
          if (!flat) return true;
          break;
        default:
          for (auto part = at.parts.rbegin(); part != at.parts.rend(); ++part) ahead_.push_back(&*part);
      }
      if (column > width_) return false;
    }
  }

  std::size_t width_;
  std::size_t column_ = 0;
  std::string out_;
  std::vector<Step> stack_;
  std::vector<const Layout*> ahead_;
};

Layout make(Layout::Kind kind, Sequence sequence) {
  Layout out;
  out.kind = kind;
  for (Layout& part : sequence.items) out.add(std::move(part));
  return out;
}

}  // namespace

Layout& Layout::add(Layout part) {
  const bool is_nothing =
      part.parts.empty() && (part.kind == Kind::kParts || part.kind == Kind::kNest || part.kind == Kind::kGroup);
  if (!is_nothing) parts.push_back(std::move(part));
  return *this;
}

Layout text(std::string_view text) {
  Layout out;
  out.kind = Layout::Kind::kText;
  out.text = text;
  return out;
}
Layout line() { return make(Layout::Kind::kLine, {}); }
Layout soft_line() { return make(Layout::Kind::kSoftLine, {}); }
Layout hard_line() { return make(Layout::Kind::kHardLine, {}); }
Layout parts(Sequence sequence) { return make(Layout::Kind::kParts, std::move(sequence)); }
Layout group(Sequence sequence) { return make(Layout::Kind::kGroup, std::move(sequence)); }
Layout nest(std::size_t indent, Sequence sequence) {
  Layout out = make(Layout::Kind::kNest, std::move(sequence));
  out.indent = indent;
  return out;
}

std::string render(const Layout& layout, std::size_t width) { return Renderer(width).render(layout); }

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    width += is_in(kNoColumn, c) ? 0U : is_in(kTwoColumns, c) ? 2U : 1U;
  }
  return width;
}

}  // namespace wary::cedar
