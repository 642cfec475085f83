#include "cli/load/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace deeprack::cli {
namespace {

constexpr double kWidth = 560, kHeight = 340;
constexpr double kLeft = 70, kRight = 20, kTop = 56, kBottom = 52;
constexpr int kMostTicks = 6;  // steps between ticks

// From values to places in the drawing.
struct Scale {
  double from, to, least, largest;
  bool doubling = false;  // places are even in the logarithm

  double At(double value) const {
    const double share = doubling ? std::log2(value / least) / std::log2(largest / least)
                                  : (value - least) / (largest - least);
    return from + (to - from) * share;
  }
};

std::string TextAt(double x, double y, const char* anchor, absl::string_view text,
                   absl::string_view more = "") {
  return absl::StrFormat("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>%s</text>\n", x, y, anchor, more,
                         HtmlText(text));
}

std::string Rule(double x1, double y1, double x2, double y2) {
  return absl::StrFormat("<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x1, y1,
                         x2, y2);
}

bool Shown(const PlotPoint& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

std::string LineOf(const PlotLine& line, size_t number, const Scale& x, const Scale& y) {
  std::string places, marks;
  for (const PlotPoint& point : line.points) {
    if (!Shown(point)) continue;
    const double px = x.At(point.x), py = y.At(point.y);
    absl::StrAppendFormat(&places, "%.1f,%.1f ", px, py);
    absl::StrAppendFormat(&marks, "<circle class=\"line%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", number,
                          px, py);
    if (!point.label.empty()) marks += TextAt(px + 6, py - 6, "start", point.label);
  }
  return absl::StrFormat("<polyline class=\"line%d\" points=\"%s\"/>\n%s", number, places, marks);
}

// The lines' names stand above the plot, three in a row.
std::string NameOf(const PlotLine& line, size_t number) {
  const double name_x = kLeft + static_cast<double>(number % 3) * 160;
  const double name_y = 34 + static_cast<double>(number / 3) * 14;
  return absl::StrFormat("<circle class=\"line%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", number, name_x,
                         name_y - 4) +
         TextAt(name_x + 8, name_y, "start", line.name);
}

}  // namespace

std::vector<double> AxisTicks(double largest) {
  if (!(largest > 0) || !std::isfinite(largest)) return {0, 1};
  double step = std::pow(10, std::floor(std::log10(largest / kMostTicks)));
  for (const double factor : {1, 2, 5, 10}) {
    if (largest <= step * factor * kMostTicks) {
      step *= factor;
      break;
    }
  }
  std::vector<double> ticks;
  for (int i = 0; ticks.empty() || ticks.back() < largest; ++i) ticks.push_back(i * step);
  return ticks;
}

std::vector<double> DoublingTicks(double least, double largest) {
  if (!(least > 0) || !(largest >= least) || !std::isfinite(largest)) return {1, 2};
  std::vector<double> ticks = {std::exp2(std::floor(std::log2(least)))};
  while (ticks.back() < largest || ticks.size() < 2) ticks.push_back(2 * ticks.back());
  return ticks;
}

std::string HtmlText(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string SvgOf(const Plot& plot) {
  double least_x = std::numeric_limits<double>::infinity(), most_x = 0, most_y = 0;
  for (const PlotLine& line : plot.lines) {
    for (const PlotPoint& point : line.points) {
      if (!Shown(point)) continue;
      least_x = std::min(least_x, point.x);
      most_x = std::max(most_x, point.x);
      most_y = std::max(most_y, point.y);
    }
  }
  const std::vector<double> y_ticks = AxisTicks(most_y);
  const std::vector<double> x_ticks = plot.doubling_x ? DoublingTicks(least_x, most_x) : AxisTicks(most_x);
  const Scale x = {kLeft, kWidth - kRight, x_ticks.front(), x_ticks.back(), plot.doubling_x};
  const Scale y = {kHeight - kBottom, kTop, 0, y_ticks.back()};

  std::string svg = absl::StrFormat("<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%s\">\n",
                                    kWidth, kHeight, HtmlText(plot.title));
  svg += TextAt(kWidth / 2, 16, "middle", plot.title, " class=\"title\"");
  for (const double tick : x_ticks) {
    svg += Rule(x.At(tick), y.from, x.At(tick), y.to) +
           TextAt(x.At(tick), y.from + 16, "middle", absl::StrFormat("%g", tick));
  }
  for (const double tick : y_ticks) {
    svg += Rule(x.from, y.At(tick), x.to, y.At(tick)) +
           TextAt(x.from - 6, y.At(tick) + 4, "end", absl::StrFormat("%g", tick));
  }
  svg += TextAt((x.from + x.to) / 2, kHeight - 14, "middle", plot.x_axis);
  const double middle = (y.from + y.to) / 2;
  svg += TextAt(16, middle, "middle", plot.y_axis,
                absl::StrFormat(" transform=\"rotate(-90 16 %.1f)\"", middle));
  for (size_t i = 0; i < plot.lines.size(); ++i) {
    svg += LineOf(plot.lines[i], i, x, y);
    if (plot.lines.size() > 1) svg += NameOf(plot.lines[i], i);
  }
  return svg + "</svg>\n";
}

}  // namespace deeprack::cli
