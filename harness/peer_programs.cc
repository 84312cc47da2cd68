#include "harness/peer_programs.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <unistd.h>
#include <vector>

#include "approaches/peer.h"
#include "lib/region/quantity.h"

namespace memsync {

std::map<std::string, std::string> parse_peers(std::span<const std::string> given) {
  std::map<std::string, std::string> peers;
  for (const std::string& text : given) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
      throw std::invalid_argument("--peer " + text + ": write NAME=EXECUTABLE");
    const std::string name = text.substr(0, equals);
    const std::string path = std::filesystem::absolute(text.substr(equals + 1)).string();
    if (!std::filesystem::is_regular_file(path) || ::access(path.c_str(), X_OK) != 0)
      throw std::invalid_argument("--peer " + name + ": " + path + " is no file to execute");
    if (!peers.emplace(name, path).second)
      throw std::invalid_argument("--peer " + name + " is given twice");
  }
  return peers;
}

void refuse_unused_peers(const Suite& suite, const std::map<std::string, std::string>& peers) {
  std::vector<std::string> used;
  for (const ApproachSpec& approach : suite.approaches)
    if (is_peer(approach.use)) used.emplace_back(peer_name(approach.use));
  for (const auto& [name, path] : peers)
    if (std::ranges::find(used, name) == used.end())
      throw SuiteError("--peer " + name + ": the suite has no approach peer:" + name +
                       did_you_mean(name, used));
}

}  // namespace memsync
