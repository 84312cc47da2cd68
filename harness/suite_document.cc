#include "harness/suite_document.h"

#include <algorithm>
#include <optional>
#include <sstream>
#include <utility>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

namespace memsync {

namespace {

SuitePosition position_of(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {static_cast<unsigned>(mark.line) + 1, static_cast<unsigned>(mark.column) + 1};
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7f;
}

// Builds the tree from the parser's events. A map's children come as key, value, key, value.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const std::string& file) : file_(file) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    add({.kind = SuiteNode::Kind::nothing, .at = position_of(mark)});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_reference(mark); }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override { refuse_reference(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    // Escapes in quotes can make what the text itself may not hold; it would reach terminals.
    if (std::ranges::any_of(value, is_control))
      throw SuiteError(file_, position_of(mark), "control bytes are no part of a suite");
    add({.kind = SuiteNode::Kind::scalar, .text = value, .at = position_of(mark)});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(SuiteNode::Kind::list, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(SuiteNode::Kind::map, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

  SuiteNode take() { return root_ ? std::move(*root_) : SuiteNode{}; }

 private:
  void open(SuiteNode::Kind kind, const YAML::Mark& mark, const std::string& tag,
            YAML::anchor_t anchor) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    if (open_.size() == kSuiteDepthMax)
      throw SuiteError(file_, position_of(mark),
                       "nested more than " + std::to_string(kSuiteDepthMax) + " deep");
    open_.push_back({.kind = kind, .at = position_of(mark)});
  }
  void close() {
    SuiteNode done = std::move(open_.back());
    open_.pop_back();
    add(std::move(done));
  }
  void add(SuiteNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    SuiteNode& parent = open_.back();
    const bool is_key =
        parent.kind == SuiteNode::Kind::map && parent.keys.size() == parent.items.size();
    if (is_key && node.kind != SuiteNode::Kind::scalar)
      throw SuiteError(file_, node.at, "a key is a plain word");
    (is_key ? parent.keys : parent.items).push_back(std::move(node));
  }

  void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) const {
    if (anchor != YAML::NullAnchor) refuse_reference(mark);
  }
  [[noreturn]] void refuse_reference(const YAML::Mark& mark) const {
    throw SuiteError(file_, position_of(mark),
                     "anchors and aliases are not part of a suite: write the value out");
  }
  void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
    // "?" is a plain node, "!" a quoted one (YAML 1.2, 3.3.2 "Resolved Tags").
    if (tag.empty() || tag == "?" || tag == "!") return;
    throw SuiteError(file_, position_of(mark),
                     "tags are not part of a suite: leave '" + tag + "' out");
  }

  const std::string& file_;  // outlives the builder
  std::vector<SuiteNode> open_;
  std::optional<SuiteNode> root_;
};

// Length of the UTF-8 sequence that starts at `index`, 0 when it is malformed (RFC 3629, 4).
size_t utf8_length(std::string_view text, size_t index) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(index);
  if (lead < 0x80) return 1;
  size_t length = 0;
  unsigned char low = 0x80, high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) length = 2;
  if (lead >= 0xe0 && lead <= 0xef) length = 3;
  if (lead >= 0xf0 && lead <= 0xf4) length = 4;
  if (length == 0 || text.size() - index < length) return 0;
  if (lead == 0xe0) low = 0xa0;
  if (lead == 0xed) high = 0x9f;
  if (lead == 0xf0) low = 0x90;
  if (lead == 0xf4) high = 0x8f;
  for (size_t i = index + 1; i < index + length; ++i) {
    if (byte(i) < low || byte(i) > high) return 0;
    low = 0x80;
    high = 0xbf;
  }
  return length;
}

// What YAML forbids or would misread is refused with its place, before the parser sees it.
void check_text(std::string_view text, const std::string& file) {
  if (text.size() > kSuiteBytesMax)
    throw SuiteError(file, {}, "larger than " + std::to_string(kSuiteBytesMax) + " B: no suite");
  SuitePosition at{1, 1};
  bool is_indentation = true;
  for (size_t index = 0; index < text.size();) {
    const size_t length = utf8_length(text, index);
    if (length == 0 || is_control(text[index]))
      throw SuiteError(file, at, "not text: a suite is UTF-8 without control bytes");
    if (text[index] == '\t' && is_indentation)
      throw SuiteError(file, at, "a tab in the indentation: YAML wants spaces");
    if (text[index] == '\n') {
      at = {at.line + 1, 1};
      is_indentation = true;
    } else {
      at.column += 1;
      is_indentation = is_indentation && text[index] == ' ';
    }
    index += length;
  }
}

}  // namespace

SuiteNode read_document(std::string_view text, const std::string& file) {
  check_text(text, file);
  TreeBuilder builder(file);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return {};
    TreeBuilder second(file);
    if (parser.HandleNextDocument(second))
      throw SuiteError(file, {}, "more than one YAML document: one file, one suite");
  } catch (const YAML::Exception& problem) {
    throw SuiteError(file, position_of(problem.mark), "not YAML: " + problem.msg);
  }
  return builder.take();
}

}  // namespace memsync
