// Who may dial: a stateful filter in the middle, by nft(8), whatever the engine.
#include <algorithm>
#include <exception>
#include <stdexcept>

#include "lib/os/process.h"
#include "netem/topology.h"

namespace memsync {

namespace {

// What a host begins has the direction `original` in the kernel's connection table, the answers to
// it `reply`. A packet that passes a TUN device comes through the middle twice and is looked at
// where it enters. (nft(8), "CONNTRACK EXPRESSIONS")
constexpr const char* kRules = R"(
table ip dials {
  chain entered {
    type filter hook prerouting priority raw; policy accept;
    iifname != { "source", "destination" } notrack
  }
  chain begun {
    type filter hook forward priority filter; policy accept;
    iifname "source" ct direction original drop
  }
}
)";

std::string problem_of_filtering() {
  if (!find_program("nft"))
    return "a destination that can't be dialled needs nft, which is not here; run scripts/setup "
           "run";
  try {
    forbid_source_to_dial(NetworkNamespace::create());
    return "";
  } catch (const std::exception& problem) {
    return "a destination that can't be dialled needs nf_tables: " + std::string(problem.what());
  }
}

}  // namespace

void forbid_source_to_dial(const NetworkNamespace& middle) {
  const auto result = run_tool({"nft", "-f", "-"}, kRules, &middle);
  if (result.ok()) return;
  std::string words = result.output;
  std::replace(words.begin(), words.end(), '\n', ' ');
  throw std::runtime_error("nft: " + result.end.describe() + ": " + words);
}

std::string_view dials_name(Dials dials) noexcept {
  return dials == Dials::any ? "any" : "destination";
}

std::string dials_problem(Dials dials) {
  if (dials == Dials::any) return "";
  static const std::string kProblem = problem_of_filtering();
  return kProblem;
}

}  // namespace memsync
