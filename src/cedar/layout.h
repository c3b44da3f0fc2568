// Layouts: text that may break into lines where it does not fit (Wadler, "A prettier printer", 1998). Private to
// cedar/.
//
//   const Layout list = group({text("["), nest(1, {text("a,"), line(), text("b")}), text("]")});
//   std::string out = render(list, 80);
//
// A group stands on one line when it and what follows it, up to the next place that may break, fits; a hard line never
// does. A line is indented as what follows it. Lines without text are left out, and blanks at the end of a line.
// Time: the size of the layout times the width.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wary::cedar {

struct Layout {
  enum class Kind : std::uint8_t {
    kParts,
    kText,
    kLine,      // a blank where it fits, a new line elsewhere
    kSoftLine,  // nothing where it fits
    kHardLine,
    kNest,
    kGroup,
  };
  Kind kind = Kind::kParts;
  std::size_t indent = 0;  // of kNest: how much further its lines stand
  std::string text;
  std::vector<Layout> parts;

  Layout& add(Layout part);  // empty ones are left out; returns *this
};

// Layouts in a row; braces keep their order, and nothing is copied: a nested text is laid out in linear time.
struct Sequence {
  template <typename... Layouts>
    requires(std::same_as<Layouts, Layout> && ...)
  Sequence(Layouts&&... layouts) {  // NOLINT: a braced list is a sequence
    items.reserve(sizeof...(layouts));
    (items.push_back(std::move(layouts)), ...);
  }
  std::vector<Layout> items;
};

Layout text(std::string_view text);
Layout line();
Layout soft_line();
Layout hard_line();
Layout parts(Sequence sequence);
Layout nest(std::size_t indent, Sequence sequence);
Layout group(Sequence sequence);

std::string render(const Layout& layout, std::size_t width);

// Columns a text takes on a terminal: two for wide characters, none for combining ones.
std::size_t display_width(std::string_view text);

}  // namespace wary::cedar
