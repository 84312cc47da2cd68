#include "harness/access_policy.h"

#include <algorithm>
#include <fmt/format.h>
#include <fnmatch.h>
#include <fstream>
#include <stdexcept>

#include "harness/suite_document.h"

namespace memsync {

namespace {

constexpr const char* kRights[] = {"read", "publish", "finalize"};

const char* name_of(Right right) {
  return kRights[static_cast<size_t>(right)];
}

std::string text_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kSuiteBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad())
    throw std::invalid_argument("--policy " + path + " can't be read");
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

// A file's node, with the words for what is not as it should be.
struct Place {
  const std::string& file;
  const SuiteNode& node;

  [[noreturn]] void refuse(const std::string& sentence) const {
    throw SuiteError(file, node.at, sentence);
  }
  const SuiteNode& expect(SuiteNode::Kind kind, const char* what) const {
    if (node.kind != kind) refuse(what);
    return node;
  }
};

std::vector<std::string> names_of(const Place& place) {
  std::vector<std::string> names;
  const auto& list = place.expect(SuiteNode::Kind::list, "write a list of names: [a, \"b/*\"]");
  for (const SuiteNode& item : list.items)
    names.push_back(Place{place.file, item}
                        .expect(SuiteNode::Kind::scalar, "a name is one word, in quotes if need be")
                        .text);
  return names;
}

bool is_called(const PeerIdentity& identity, const std::string& name) {
  return identity.common_name == name ||
         std::ranges::find(identity.names, name) != identity.names.end();
}

}  // namespace

AccessPolicy AccessPolicy::from_file(const std::string& path) {
  AccessPolicy policy;
  policy.path_ = path;
  const SuiteNode root = read_document(text_of_file(path), path);
  const Place all{path, root};
  all.expect(SuiteNode::Kind::map, "a policy begins with `schema: 1` and `allow:`");
  const SuiteNode* allow = nullptr;
  bool has_schema = false;
  for (size_t i = 0; i < root.keys.size(); ++i) {
    const Place key{path, root.keys[i]};
    if (key.node.text == "schema" && root.items[i].text == "1" && !has_schema)
      has_schema = true;
    else if (key.node.text == "allow" && allow == nullptr)
      allow = &root.items[i];
    else
      key.refuse("a policy has `schema: 1` and `allow:`, once each, and nothing else");
  }
  if (!has_schema || allow == nullptr) all.refuse("a policy has `schema: 1` and `allow:`");
  for (const SuiteNode& item :
       Place{path, *allow}.expect(SuiteNode::Kind::list, "`allow` is a list of entries").items) {
    const Place place{path, item};
    place.expect(SuiteNode::Kind::map, "an entry looks like {who: NAME, read: [NAME]}");
    Entry entry;
    for (size_t i = 0; i < item.keys.size(); ++i) {
      const std::string& key = item.keys[i].text;
      const Place value{path, item.items[i]};
      const auto* const right = std::ranges::find(kRights, key);
      if (key == "who")
        entry.who = value.expect(SuiteNode::Kind::scalar, "`who` is one name, or \"*\"").text;
      else if (right != std::end(kRights))
        entry.names[right - std::begin(kRights)] = names_of(value);
      else
        Place{path, item.keys[i]}.refuse("an entry has who, read, publish and finalize, no '" +
                                         key + "'");
    }
    if (entry.who.empty()) place.refuse("an entry says who: a certificate's name, or \"*\"");
    policy.entries_.push_back(std::move(entry));
  }
  return policy;
}

template <typename Matches>
bool AccessPolicy::allows(const PeerIdentity& who, Right right, const Matches& matches) const {
  return std::ranges::any_of(entries_, [&](const Entry& entry) {
    return (entry.who == "*" || is_called(who, entry.who)) &&
           std::ranges::any_of(entry.names[static_cast<size_t>(right)], matches);
  });
}

std::string AccessPolicy::objection(const PeerIdentity& who, Right right,
                                    const std::string& name) const {
  const auto matches = [&](const std::string& pattern) {
    return ::fnmatch(pattern.c_str(), name.c_str(), FNM_NOESCAPE) == 0;
  };
  if (allows(who, right, matches)) return "";
  return fmt::format("{} does not let '{}' {} '{}'", path_, who.common_name, name_of(right), name);
}

std::string AccessPolicy::objection(const PeerIdentity& who, Right right) const {
  if (allows(who, right, [](const std::string&) { return true; })) return "";
  return fmt::format("{} does not let '{}' {} anything", path_, who.common_name, name_of(right));
}

}  // namespace memsync
