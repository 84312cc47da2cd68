// YAML's text as a tree that remembers where each node stands, within bounds set beforehand.
//
// yaml-cpp's own Node forgets duplicate keys and recurses as deep as its input asks. So the event
// stream is read instead: depth is refused as it is entered, anchors, aliases and tags are refused.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/suite.h"

namespace memsync {

struct SuiteNode {
  enum class Kind : uint8_t { nothing, scalar, list, map };
  Kind kind = Kind::nothing;
  std::string text{};              // scalar
  std::vector<SuiteNode> keys{};   // map: scalars, in the file's order, duplicates included
  std::vector<SuiteNode> items{};  // list: its items; map: the value of each key
  SuitePosition at{};
};

inline constexpr size_t kSuiteBytesMax = 1 << 20;
inline constexpr size_t kSuiteDepthMax = 8;

// One YAML document. Throws SuiteError naming `file` for what isn't YAML, isn't UTF-8 text, or
// exceeds the bounds.
SuiteNode read_document(std::string_view text, const std::string& file);

}  // namespace memsync
