// memsync: the command line.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <fmt/format.h>

#include "harness/agent.h"
#include "harness/campaign.h"
#include "harness/commands.h"
#include "harness/environment.h"
#include "harness/exit_codes.h"
#include "harness/peer_programs.h"
#include "harness/results_verbs.h"
#include "harness/use_commands.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

constexpr const char* kDescription =
    "memsync measures how to keep a region of memory in sync between two Linux hosts.\n\n"
    "Two hosts are two network namespaces on this machine (or two real machines), the link between "
    "them is emulated\n"
    "and calibrated, every byte is checked, and each repetition becomes one row of runs.csv.";
constexpr const char* kFooter =
    "Examples:\n"
    "  memsync doctor                       what this machine can measure, and what to do about "
    "the rest\n"
    "  memsync run quick                    a first campaign, about a minute\n"
    "  memsync run quick --content FILE     the same with your file as the region\n"
    "  memsync report results/<campaign>    one HTML page of it\n"
    "  memsync serve FILE                   outside a campaign: its bytes for `memsync pull`\n"
    "  memsync receive DIR                  outside a campaign: what `memsync push` brings\n"
    "  memsync hub DIR                      outside a campaign: the same for many receivers\n\n"
    "Exit codes: 0 ok, 1 regression, 3 inconclusive, 4 incomplete or failed cells, 5 unsupported "
    "here,\n"
    "64 usage, 70 internal or results can't be written, 130 interrupted.";

// The verbs that only read results: Python, one package.
constexpr const char* kResultVerbs[][2] = {
    {"demands", "say whether what a suite demands holds, and write demands.csv"},
    {"plot", "draw the figures of a results directory"},
    {"report", "write report.html of a results directory"},
    {"compare", "say what changed from one campaign to another"},
    {"gate", "decide whether a campaign may pass, against a baseline"},
    {"ab", "compare two revisions of this repository, taking turns round by round"},
    {"verify", "check that a results directory is whole and unchanged"},
};

struct CommandLine {
  RunOptions run;
  ServeOptions serve;
  PullOptions pull;
  PushOptions push;
  ReceiveOptions receive;
  HubOptions hub;
  CertificatesOptions certificates;
  bool json = false;
  bool dry_run = false;
  std::string filter, profile, engine = "auto", listen, token, remote_source, remote_destination,
                               time_budget;
  int control_fd = -1;
  int shared_memory_fd = -1;
  unsigned reps = 0, rounds = 0;
  std::string seed;
  std::vector<std::string> peers;
};

void declare_run(CLI::App& app, CommandLine& line) {
  auto* run = app.add_subcommand("run", "run a suite: a name (see list) or a path");
  run->add_option("suite", line.run.suite, "name or path of the suite");
  run->add_option("--resume", line.run.resume, "go on with an interrupted campaign's directory");
  run->add_option("--out", line.run.out, "exactly this results directory, which is not there yet");
  run->add_option("--content", line.run.content, "make this file every region, byte for byte");
  run->add_option("--reps", line.reps, "repetitions per cell instead of the suite's")
      ->check(CLI::Range(1U, 1'000'000U));
  run->add_option("--filter", line.run.filter, "only these cells, e.g. series=uffd-*,link=lan");
  run->add_option("--seed", line.seed,
                  "seed of content, accesses and order instead of the suite's");
  run->add_flag("--controls", line.run.controls,
                "add cells that must come out equal (a twin), slower (a planted delay) and lowest "
                "(floor)");
  run->add_option("--time-budget", line.time_budget,
                  "begin no round that would not end within, e.g. 10min");
  run->add_option("--rounds", line.rounds,
                  "stop after so many more rounds of all cells; --resume goes on")
      ->check(CLI::Range(1U, 1'000'000U));
  run->add_option("--source-agent", line.remote_source,
                  "HOST:PORT of `memsync agent --listen` on the source machine");
  run->add_option("--destination-agent", line.remote_destination,
                  "the same on the destination machine");
  run->add_option("--agent-token", line.token, "what the agents printed");
  run->add_option("--peer", line.peers,
                  "NAME=EXECUTABLE: the program of the series that use peer:NAME; may be repeated");
  run->add_flag("--concurrent", line.run.concurrent,
                "don't wait for another campaign on this machine");
  run->add_flag("--json", line.run.json,
                "print the counts of each status as one line of JSON before the directory");
  run->footer("Example: memsync run quick --reps 5 --filter link=lan --controls");
}

void declare_others(CLI::App& app, CommandLine& line) {
  auto* doctor =
      app.add_subcommand("doctor", "what this machine can and cannot measure, with the next step");
  doctor->add_flag("--json", line.json, "as JSON");
  doctor->footer("Example: memsync doctor");
  auto* list = app.add_subcommand("list", "approaches, links, workloads, suites, metrics");
  list->add_flag("--json", line.json, "as JSON");
  list->add_option("--filter", line.filter, "only entries that contain this text");
  list->footer("Example: memsync list --filter userfaultfd");
  auto* plan = app.add_subcommand(
      "plan", "what a suite would run here, how long, what is unsupported; runs nothing");
  plan->add_option("suite", line.run.suite, "name or path of the suite")->required();
  plan->add_option("--content", line.run.content, "make this file every region");
  plan->add_option("--reps", line.reps, "repetitions per cell")->check(CLI::Range(1U, 1'000'000U));
  plan->add_option("--filter", line.run.filter, "only these cells");
  plan->add_option("--peer", line.peers, "NAME=EXECUTABLE, as of run");
  plan->add_flag("--controls", line.run.controls, "with the control cells that run adds");
  plan->add_flag("--json", line.json, "as JSON");
  plan->footer("Example: memsync plan quick");
  auto* calibrate =
      app.add_subcommand("calibrate", "measure the emulated links and the copy rate of this host");
  calibrate->add_option("link", line.profile, "one profile; default: all");
  calibrate->add_option("--engine", line.engine, "auto, tc, tun or none");
  calibrate->add_flag("--json", line.json, "as JSON");
  calibrate->footer("Example: memsync calibrate lan --engine tun");
  auto* clean =
      app.add_subcommand("clean", "end what a killed campaign may have left, and only that");
  clean->add_flag("--dry-run", line.dry_run, "say it, don't do it");
  clean->add_flag("--json", line.json, "as JSON");
  clean->footer("Example: memsync clean --dry-run");
  auto* agent = app.add_subcommand("agent", "be one host of a campaign on real machines");
  agent->add_option("--listen", line.listen, "ADDRESS:PORT to wait for the conductor at");
  agent->add_option("--token", line.token, "what a conductor must know; default: a new random one");
  agent->add_option("--control-fd", line.control_fd, "used by the conductor itself")->group("");
  agent->add_option("--shared-memory-fd", line.shared_memory_fd, "used by the conductor itself")
      ->group("");
  agent->footer("Example: memsync agent --listen 192.0.2.7:7700");
}

int dispatch(const CLI::App& app, CommandLine& line) {
  const std::string verb = app.get_subcommands().at(0)->get_name();
  if (line.reps != 0) line.run.reps = line.reps;
  line.run.peers = parse_peers(line.peers);
  if (!line.seed.empty()) line.run.seed = parse_count(line.seed);
  if (line.rounds > 0) line.run.rounds = line.rounds;
  if (!line.time_budget.empty()) line.run.time_budget = parse_duration(line.time_budget);
  if (line.remote_source.empty() != line.remote_destination.empty())
    throw SuiteError("real machines need both --source-agent and --destination-agent");
  if (!line.remote_source.empty())
    line.run.remote = RemoteAgents{line.remote_source, line.remote_destination, line.token};
  if (verb == "run" && line.run.suite.empty() == line.run.resume.empty())
    throw SuiteError("name a suite to run, or --resume DIR, not both: memsync run quick");
  const bool changed = line.run.reps || line.run.seed || !line.run.out.empty() ||
                       !line.run.content.empty() || !line.run.filter.empty() || line.run.controls ||
                       line.run.time_budget || !line.run.peers.empty();
  if (verb == "run" && !line.run.resume.empty() && changed)
    throw SuiteError(
        "a campaign goes on as it began: --resume takes no --reps, --seed, --out, "
        "--content, --filter, --controls, --peer or --time-budget");
  if (verb == "agent" && line.control_fd >= 0)
    return run_agent(ControlChannel(FileDescriptor(line.control_fd)), line.shared_memory_fd);
  if (verb == "agent") return listen_as_agent(line.listen, line.token);
  if (verb == "serve") return serve_command(line.serve);
  if (verb == "pull") return pull_command(line.pull);
  if (verb == "push") return push_command(line.push);
  if (verb == "receive") return receive_command(line.receive);
  if (verb == "hub") return hub_command(line.hub);
  if (verb == "ca") return certificates_command(line.certificates);
  enter_user_namespace();
  if (verb == "doctor") return doctor_command(line.json);
  if (verb == "list") return list_command(line.json, line.filter);
  if (verb == "plan") return plan_command(line.run, line.json);
  if (verb == "calibrate") return calibrate_command(line.profile, line.engine, line.json);
  if (verb == "clean") return clean_command(line.dry_run, line.json);
  return run_campaign(line.run);
}

// A result that could not be told is no success.
int told(int code) {
  return std::fflush(stdout) == 0 ? code : exit_code::kInternal;
}

// CLI11 says only that a verb is missing; people want to know which they mistyped.
std::string unknown_verb(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return "";
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands({})) verbs.push_back(verb->get_name());
  if (std::find(verbs.begin(), verbs.end(), argv[1]) != verbs.end()) return "";
  return fmt::format("there is no verb '{}'{}", argv[1], did_you_mean(argv[1], verbs));
}

// Usage errors in one sentence; everything else of CLI11 (help, version) as it is.
int parse_and_dispatch(int argc, char** argv) {
  for (const auto& [verb, help] : kResultVerbs)
    if (argc > 1 && std::string(argv[1]) == verb)
      return results_command(verb, {argv + 2, argv + argc});
  CLI::App app(kDescription, "memsync");
  app.footer(kFooter);
  app.set_version_flag("--version", tool_version());
  app.require_subcommand(1);
  CommandLine line;
  line.run.command_line.assign(argv, argv + argc);
  line.pull.command = take_command(argc, argv);
  declare_run(app, line);
  declare_others(app, line);
  declare_serve(app, line.serve);
  declare_pull(app, line.pull);
  declare_push(app, line.push);
  declare_receive(app, line.receive);
  declare_hub(app, line.hub);
  declare_certificates(app, line.certificates);
  for (const auto& [verb, help] : kResultVerbs) app.add_subcommand(verb, help);
  if (const std::string problem = unknown_verb(app, argc, argv); !problem.empty()) {
    fmt::print(stderr, "memsync: {}; see memsync --help\n", problem);
    return exit_code::kUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    fmt::print(stderr, "memsync: {}; see memsync --help\n", error.what());
    return exit_code::kUsage;
  }
  return dispatch(app, line);
}

}  // namespace

}  // namespace memsync

int main(int argc, char** argv) {
  using namespace memsync;
  try {
    return told(parse_and_dispatch(argc, argv));
  } catch (const SuiteError& error) {
    fmt::print(stderr, "memsync: {}\n", error.what());
    return exit_code::kUsage;
  } catch (const std::invalid_argument& error) {
    fmt::print(stderr, "memsync: {}\n", error.what());
    return exit_code::kUsage;
  } catch (const Interrupted&) {
    return exit_code::kInterrupted;
  } catch (const std::exception& error) {
    fmt::print(stderr, "memsync: {}\n", error.what());
    return exit_code::kInternal;
  }
}
