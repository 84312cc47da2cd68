// The hosts of a repetition: a fresh link, an agent in each host, and the waiting for them.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "harness/agent_process.h"
#include "harness/outage.h"
#include "harness/repetition.h"

namespace memsync {

// Threads: one.
class RepetitionHosts {
 public:
  // Makes the link and starts the agents, or dials those of real machines. Throws
  // RepetitionFailure, and what make_link() throws. What is given outlives this.
  RepetitionHosts(const RepetitionSetup& setup, InterruptWatch& interrupt);

  Agent& source() noexcept { return agents_.front(); }
  Agent& destination(size_t index = 0) noexcept { return agents_[1 + index]; }
  size_t destinations() const noexcept { return agents_.size() - 1; }
  Link* link() const noexcept { return link_.get(); }  // nullptr between real machines
  // Every host's, by its name.
  nlohmann::json addresses() const;

  // An answer, or the repetition's failure. When the one that is waited for fails because another
  // died, both are named. Cuts and mends the link meanwhile.
  nlohmann::json receive(Agent& agent);
  nlohmann::json call(Agent& agent, const nlohmann::json& request) {
    agent.send(request);
    return receive(agent);
  }
  // The same request to all destinations at once; their answers, in order.
  std::vector<nlohmann::json> call_destinations(const nlohmann::json& request);
  void send_destinations(const nlohmann::json& request);
  std::vector<nlohmann::json> receive_destinations();

  // The workload's own time: the writer works while nobody talks.
  void pause(Nanoseconds duration);

  // t0: the destinations are about to be opened.
  void begin_work();
  // The link stays whole from here on. How long it was cut; nullopt where it never is.
  std::optional<Nanoseconds> end_work();
  // Since begin_work(); nullopt before.
  std::optional<Nanoseconds> work_time() const;

 private:
  void start_agents();
  void dial_agents();
  void same_version(Agent& agent);
  nlohmann::json wait_for(Agent& agent);
  std::optional<RepetitionFailure> other_death(const Agent& agent);
  void look_after_link();

  const RepetitionSetup& setup_;
  InterruptWatch& interrupt_;
  const Deadline deadline_;
  FileDescriptor shared_memory_;
  std::unique_ptr<Link> link_;
  std::optional<Outage> outage_;
  std::optional<Deadline> begun_;
  std::vector<Agent> agents_;  // after link_: they end before their namespaces go
};

}  // namespace memsync
