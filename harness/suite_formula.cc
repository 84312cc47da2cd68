#include "harness/suite_formula.h"

#include <array>
#include <charconv>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "harness/columns.h"
#include "lib/os/clock.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

constexpr size_t kLengthMax = 400;
constexpr unsigned kDepthMax = 32;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

std::string number_text(double value) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} ? std::string(text.data(), end) : "0";
}

// A number with a unit, in SI units: seconds, bytes, bytes per second, a share.
double quantity_value(const std::string& text, std::string_view unit) {
  if (unit == "%") return parse_ratio(text);
  if (unit.ends_with("bit/s")) return static_cast<double>(parse_bit_rate(text)) / 8;
  if (unit.ends_with("/s")) return static_cast<double>(parse_byte_rate(text));
  if (unit.ends_with("B")) return static_cast<double>(parse_bytes(text));
  return seconds(parse_duration(text));
}

// sum := product (('+'|'-') product)*   product := factor (('*'|'/') factor)*
// factor := '-' factor | number[unit] | column | '(' sum ')' | ('min'|'max') '(' sum (',' sum)* ')'
class FormulaReader {
 public:
  explicit FormulaReader(std::string_view text) : text_(text) {}

  std::string read() {
    if (text_.size() > kLengthMax)
      refuse("longer than " + std::to_string(kLengthMax) + " characters: no formula");
    sum();
    if (peek() != '\0') refuse("'" + std::string(text_.substr(at_)) + "' is too much");
    return std::move(out_);
  }

 private:
  [[noreturn]] static void refuse(const std::string& sentence) {
    throw std::invalid_argument(sentence);
  }
  // The next character that isn't a space; 0 at the end.
  char peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char wanted) {
    if (peek() != wanted) return false;
    out_ += text_[at_++];
    return true;
  }
  void close() {
    if (!take(')')) refuse("a ')' is missing");
  }

  void sum() {
    if (++depth_ > kDepthMax) refuse("nested too deep for a formula");
    do product();
    while (take('+') || take('-'));
    --depth_;
  }
  void product() {
    do factor();
    while (take('*') || take('/'));
  }
  void factor() {
    if (++depth_ > kDepthMax) refuse("nested too deep for a formula");
    if (take('-')) {
      factor();
    } else if (take('(')) {
      sum();
      close();
    } else if (is_digit(peek())) {
      number();
    } else if (is_letter(peek())) {
      name();
    } else {
      refuse("a number or a column is missing" +
             (peek() == '\0' ? std::string(" at its end")
                             : " before '" + std::string(text_.substr(at_)) + "'"));
    }
    --depth_;
  }

  void number() {
    const size_t start = at_;
    while (at_ < text_.size() && (is_digit(text_[at_]) || text_[at_] == '.')) ++at_;
    const size_t unit = at_;
    while (at_ < text_.size() && (is_letter(text_[at_]) || text_[at_] == '%')) ++at_;
    // "20MiB/s" is a rate, "3ms/size" a division.
    const std::string_view rest = text_.substr(at_);
    if (at_ > unit && rest.starts_with("/s") && (rest.size() == 2 || !is_letter(rest[2]))) at_ += 2;
    const std::string written(text_.substr(start, at_ - start));
    if (at_ > unit) {
      out_ += number_text(quantity_value(written, text_.substr(unit, at_ - unit)));
      return;
    }
    double value = 0;
    const auto [end, error] = std::from_chars(written.data(), written.data() + written.size(),
                                              value, std::chars_format::fixed);
    if (error != std::errc{} || end != written.data() + written.size())
      refuse("'" + written + "' is no number");
    out_ += number_text(value);
  }

  void name() {
    const size_t start = at_;
    while (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_]))) ++at_;
    const std::string word(text_.substr(start, at_ - start));
    out_ += word;
    if ((word == "min" || word == "max") && take('(')) {
      do sum();
      while (take(','));
      close();
      return;
    }
    std::vector<std::string> names;
    for (const Column& column : columns()) {
      if (!is_number(column)) continue;
      if (column.name == word) return;
      names.emplace_back(column.name);
    }
    refuse("runs.csv has no column '" + word + "' of numbers" + did_you_mean(word, names));
  }

  const std::string_view text_;
  size_t at_ = 0;
  unsigned depth_ = 0;
  std::string out_;
};

}  // namespace

std::string checked_formula(std::string_view text) {
  return FormulaReader(text).read();
}

}  // namespace memsync
