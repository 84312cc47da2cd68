#include "harness/repetition_hosts.h"

#include "approaches/registry.h"
#include "harness/environment.h"
#include "harness/repetition_parts.h"
#include "lib/os/mapping.h"

namespace memsync {

namespace {

// How long the other side may take to say what it saw when one agent has died.
constexpr auto kWitnessLimit = std::chrono::seconds(12);

using Json = nlohmann::json;

}  // namespace

RepetitionHosts::RepetitionHosts(const RepetitionSetup& setup, InterruptWatch& interrupt)
    : setup_(setup), interrupt_(interrupt), deadline_(after(setup.suite.timeout)) {
  if (setup.remote != nullptr)
    dial_agents();
  else
    start_agents();
}

void RepetitionHosts::dial_agents() {
  agents_.push_back(Agent::dial("source", setup_.remote->source, setup_.remote->token));
  agents_.push_back(Agent::dial("destination0", setup_.remote->destination, setup_.remote->token));
  for (Agent& agent : agents_) same_version(agent);
}

void RepetitionHosts::start_agents() {
  const Workload& workload = setup_.suite.workloads[setup_.cell.workload];
  const ApproachSpec& approach = setup_.suite.approaches[setup_.cell.approach];
  const LinkSpec& spec = setup_.suite.links[setup_.cell.link];
  const Placement placement = setup_.suite.placement_of(approach);
  LinkSetup link = link_setup(setup_.suite, setup_.cell.link, setup_.engine);
  link.destinations = workload.receivers;
  link_ = make_link(link);
  if (spec.cut) outage_.emplace(*link_, *spec.cut);
  if (find_strategy(approach.use)->info().can.shares_memory)
    shared_memory_ = FileDescriptor::memory_file(
        "memsync-region", round_up_to_page(workload.region_bytes) + page_bytes());
  for (const LinkHost& host : link_->hosts()) {
    AgentStart start =
        agent_start(setup_, host.name, host.network,
                    host.name == "source" ? placement.source : placement.destination);
    if (shared_memory_.is_open()) start.shared_memory = &shared_memory_;
    agents_.push_back(Agent::start(start));
  }
}

void RepetitionHosts::same_version(Agent& agent) {
  const std::string version = call(agent, {{"do", "hello"}}).value("version", "unknown");
  if (version != tool_version())
    throw RepetitionFailure("failed", "the " + agent.name() + "'s agent is memsync " + version +
                                          ", this is " + tool_version() +
                                          ": build the same on both machines");
}

Json RepetitionHosts::addresses() const {
  Json all = Json::object();
  if (setup_.remote == nullptr) {
    for (const LinkHost& host : link_->hosts()) all[host.name] = host.address;
    return all;
  }
  const auto host = [](const std::string& address) {
    return address.substr(0, address.rfind(':'));
  };
  return {{"source", host(setup_.remote->source)},
          {"destination0", host(setup_.remote->destination)}};
}

void RepetitionHosts::look_after_link() {
  if (!link_) return;
  link_->check_alive();
  if (outage_) outage_->act();
}

void RepetitionHosts::pause(Nanoseconds duration) {
  const Deadline end = after(duration);
  while (Clock::now() < end) {
    interrupt_.check();
    look_after_link();
    if (auto failure = source().ended()) throw RepetitionFailure(*failure);
    if (Clock::now() >= deadline_)
      throw RepetitionFailure("timeout", "the time ended before the hand-over");
    const Deadline cut = outage_ ? outage_->next() : Deadline::max();
    sleep_until_deadline(std::min({end, cut, after(std::chrono::milliseconds(20))}));
  }
}

std::optional<RepetitionFailure> RepetitionHosts::other_death(const Agent& agent) {
  for (Agent& other : agents_)
    if (&other != &agent)
      if (auto death = other.ended()) return death;
  return std::nullopt;
}

Json RepetitionHosts::receive(Agent& agent) {
  try {
    return wait_for(agent);
  } catch (RepetitionFailure& failure) {
    if (auto death = other_death(agent)) {
      RepetitionFailure both("crashed", std::string(death->what()) + "; " + failure.what());
      both.exit_code = death->exit_code;
      both.signal = death->signal;
      throw RepetitionFailure(both);
    }
    throw;
  }
}

Json RepetitionHosts::wait_for(Agent& agent) {
  std::optional<Deadline> witness_deadline;
  while (true) {
    const Deadline look = std::min({deadline_, witness_deadline.value_or(Deadline::max()),
                                    outage_ ? outage_->next() : Deadline::max(),
                                    after(std::chrono::milliseconds(250))});
    try {
      return agent.receive(look, interrupt_);
    } catch (const RepetitionFailure& failure) {
      if (failure.status != "timeout" || Clock::now() >= deadline_) throw;
      if (witness_deadline && Clock::now() >= *witness_deadline) throw;
    }
    look_after_link();
    if (!witness_deadline && other_death(agent)) witness_deadline = after(kWitnessLimit);
  }
}

std::vector<Json> RepetitionHosts::call_destinations(const Json& request) {
  send_destinations(request);
  return receive_destinations();
}

void RepetitionHosts::send_destinations(const Json& request) {
  for (size_t i = 0; i < destinations(); ++i) destination(i).send(request);
}

std::vector<Json> RepetitionHosts::receive_destinations() {
  std::vector<Json> answers;
  for (size_t i = 0; i < destinations(); ++i) answers.push_back(receive(destination(i)));
  return answers;
}

void RepetitionHosts::begin_work() {
  begun_ = Clock::now();
  if (outage_) outage_->begin();
}

std::optional<Nanoseconds> RepetitionHosts::end_work() {
  if (!outage_) return std::nullopt;
  return outage_->end();
}

std::optional<Nanoseconds> RepetitionHosts::work_time() const {
  if (!begun_) return std::nullopt;
  return Clock::now() - *begun_;
}

}  // namespace memsync
