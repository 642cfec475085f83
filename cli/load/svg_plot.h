// A plot as inline SVG. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace deeprack::cli {

struct PlotPoint {
  double x = 0, y = 0;
  std::string label;  // "" for none
};

// Points are joined in their order. Points with a coordinate that is not finite are left out.
struct PlotLine {
  std::string name;
  std::vector<PlotPoint> points;
};

struct Plot {
  std::string title, x_axis, y_axis;  // the axes' names with their units
  std::vector<PlotLine> lines;        // at most six
  bool doubling_x = false;            // the x axis is logarithmic, a tick for each power of two; x > 0
};

// Axes begin at 0; a doubling x axis begins at a power of two. Colours come from the page's style: classes
// line0 to line5.
std::string SvgOf(const Plot& plot);

// Values from 0 to at least `largest`, 1, 2 or 5 times a power of ten apart: at most seven. {0, 1} when
// `largest` is not positive.
std::vector<double> AxisTicks(double largest);

// Powers of two from at most `least` to at least `largest`. {1, 2} unless 0 < least <= largest.
std::vector<double> DoublingTicks(double least, double largest);

// Text with the characters that HTML gives a meaning replaced.
std::string HtmlText(absl::string_view text);

}  // namespace deeprack::cli
