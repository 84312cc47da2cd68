#include "harness/repetition_parts.h"

#include "approaches/options.h"
#include "harness/campaign_tls.h"
#include "harness/repetition_folders.h"
#include "harness/workload_wire.h"
#include "lib/region/digest.h"

namespace memsync {

namespace {

// An agent's own limits come after the conductor's, so that a repetition that takes too long is
// always a timeout and never a race of two deadlines.
constexpr auto kAgentGrace = std::chrono::seconds(5);

}  // namespace

LinkSetup link_setup(const Suite& suite, size_t link, LinkEngine engine) {
  LinkSetup setup;
  setup.engine = engine;
  setup.shape = suite.links[link].shape;
  setup.cpu = suite.placement.link;
  setup.idle = suite.links[link].idle;
  setup.dials = suite.links[link].dials;
  return setup;
}

AgentStart agent_start(const RepetitionSetup& setup, const std::string& name,
                       const NetworkNamespace& network, std::optional<unsigned> cpu) {
  AgentStart agent;
  agent.name = name;
  agent.network = &network;
  agent.cpu = cpu;
  agent.log_path = log_path(setup, name);
  return agent;
}

nlohmann::json prepare_request(const RepetitionSetup& setup, const std::string& host,
                               const nlohmann::json& addresses) {
  const ApproachSpec& approach = setup.suite.approaches[setup.cell.approach];
  nlohmann::json request = {
      {"do", "prepare"},
      {"role", host == "source" ? "source" : "destination"},
      {"host", host},
      {"approach", approach.use},
      {"options", approach.with},
      {"workload", to_json(setup.suite.workloads[setup.cell.workload])},
      {"seed", setup.suite.seed},
      {"draw", setup.draw},
      {"may_sleep", setup.suite.links[setup.cell.link].idle == IdleCpus::sleep},
      {"keep_dir", make_keep_folder(setup, host)},
      {"region_id", to_hex(digest_of(std::as_bytes(std::span(setup.run_id))))},
      {"limit_s", seconds(setup.suite.timeout + kAgentGrace)},
      {"addresses", addresses}};
  const auto tls = approach.with.find(std::string(kTlsOption.name));
  if (tls != approach.with.end() && tls->second == "on") request["tls"] = campaign_tls(host);
  return request;
}

void expect_digest(const nlohmann::json& got, const Digest& wanted, const std::string& what,
                   const std::string& where) {
  if (got == to_hex(wanted)) return;
  throw RepetitionFailure("corrupt", what + " at the " + where + ": digest " +
                                         got.get<std::string>() + " instead of " + to_hex(wanted));
}

void copy_member(const nlohmann::json& from, const char* member, Row& row,
                 std::string_view column) {
  if (!from.contains(member)) return;
  if (from[member].is_number_unsigned())
    row.set(column, from[member].get<uint64_t>());
  else
    row.set(column, from[member].get<double>());
}

}  // namespace memsync
