#include "harness/repetition_update.h"

#include <algorithm>

#include "harness/repetition_parts.h"

namespace memsync {

namespace {

using Json = nlohmann::json;

class Update {
 public:
  Update(const RepetitionSetup& setup, RepetitionHosts& hosts, Expectations& expectations)
      : workload_index_(setup.cell.workload),
        workload_(setup.suite.workloads[workload_index_]),
        hosts_(hosts),
        expectations_(expectations),
        // Two machines have two clocks.
        is_watched_(workload_.is_watched && setup.remote == nullptr) {}

  UpdateOutcome run() {
    if (workload_.writer)
      beside_writer();
    else
      in_rounds();
    return outcome_;
  }

 private:
  void in_rounds() {
    // A first touch would be pulled within the change, whose time is to be that of noticing it.
    if (workload_.changes_at_destination)
      expect_digest(hosts_.call(hosts_.destination(), {{"do", "digest"}}).at("digest"),
                    expectations_.content(workload_index_), "the region");
    outcome_.write_s = 0;
    for (uint64_t round = 0; round < workload_.rounds; ++round) {
      const Json synced = is_watched_ ? watched_round(round) : unwatched_round(round);
      outcome_.syncs_s.push_back(synced.at("sync_s"));
      *outcome_.write_s += synced.at("write_s").get<double>();
      compare(expectations_.after_round(workload_index_, round),
              "the region after round " + std::to_string(round + 1));
    }
  }

  Json unwatched_round(uint64_t round) {
    Agent& writer = workload_.changes_at_destination ? hosts_.destination() : hosts_.source();
    return hosts_.call(writer, {{"do", "dirty_and_sync"}, {"round", round}});
  }

  // Each destination notes what it will see, then looks for it while the source works.
  Json watched_round(uint64_t round) {
    hosts_.call_destinations({{"do", "expect_round"}, {"round", round}});
    hosts_.send_destinations({{"do", "await_round"}});
    const Json synced = unwatched_round(round);
    const int64_t changed_ns = synced.at("changed_ns");
    std::vector<double> lags_s;
    for (const Json& seen : hosts_.receive_destinations())
      lags_s.push_back(static_cast<double>(seen.at("equal_ns").get<int64_t>() - changed_ns) * 1e-9);
    const auto [first, last] = std::ranges::minmax(lags_s);
    outcome_.first_lags_s.push_back(first);
    outcome_.all_lags_s.push_back(last);
    return synced;
  }

  void beside_writer() {
    Agent& source = hosts_.source();
    hosts_.call(source, {{"do", "write_start"}});
    for (uint64_t round = 0; round < workload_.rounds; ++round) {
      hosts_.pause(workload_.after);
      outcome_.syncs_s.push_back(hosts_.call(source, {{"do", "sync"}}).at("sync_s"));
    }
    const Json stopped = hosts_.call(source, {{"do", "write_stop"}});
    hosts_.call(source, {{"do", "sync"}});
    compare(expectations_.after_writer(workload_index_, stopped.at("operations")),
            "the region after the writer's last operation");
  }

  // Whoever is kept in sync holds these bytes.
  void compare(const Digest& wanted, const std::string& what) {
    if (workload_.changes_at_destination) {
      expect_digest(hosts_.call(hosts_.source(), {{"do", "digest"}}).at("digest"), wanted, what,
                    "source");
      outcome_.checked_bytes += workload_.region_bytes;
      return;
    }
    const auto answers = hosts_.call_destinations({{"do", "digest"}});
    for (size_t i = 0; i < answers.size(); ++i)
      expect_digest(answers[i].at("digest"), wanted, what,
                    answers.size() == 1 ? "destination" : hosts_.destination(i).name());
    outcome_.checked_bytes += workload_.region_bytes * answers.size();
  }

  const size_t workload_index_;
  const Workload& workload_;
  RepetitionHosts& hosts_;
  Expectations& expectations_;
  const bool is_watched_;
  UpdateOutcome outcome_;
};

}  // namespace

UpdateOutcome run_update(const RepetitionSetup& setup, RepetitionHosts& hosts,
                         Expectations& expectations) {
  return Update(setup, hosts, expectations).run();
}

}  // namespace memsync
