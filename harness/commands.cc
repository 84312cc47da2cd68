#include "harness/commands.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sched.h>
#include <unistd.h>

#include "harness/cleaner.h"
#include "harness/controls.h"
#include "harness/doctor.h"
#include "harness/environment.h"
#include "harness/exit_codes.h"
#include "harness/machine.h"
#include "harness/peer_programs.h"
#include "harness/registry_json.h"
#include "lib/region/quantity.h"
#include "netem/calibration.h"

namespace memsync {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

int print_json(const Json& json, int code) {
  fmt::print("{}\n", json.dump(2));
  return code;
}

bool matches(const Json& entry, const std::string& filter) {
  return filter.empty() || entry.dump().find(filter) != std::string::npos;
}

void print_approach(const Json& approach) {
  fmt::print("  {:<14} {}{}\n", approach["name"].get<std::string>(),
             approach["summary"].get<std::string>(),
             approach["available"].get<bool>() ? "" : "  [not here]");
  for (const auto& reason : approach["unmet"])
    fmt::print("  {:<14} not here: {}\n", "", reason.get<std::string>());
  for (const auto& option : approach["options"])
    fmt::print("  {:<14}   {} = {}  {}\n", "", option["name"].get<std::string>(),
               option["default"].get<std::string>(), option["help"].get<std::string>());
}

// Where measured facts of this host are kept between campaigns.
std::string state_file(const std::string& name) {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  const std::string folder =
      state != nullptr ? state : std::string(home != nullptr ? home : "/tmp") + "/.local/state";
  fs::create_directories(folder + "/memsync");
  return folder + "/memsync/" + name;
}

struct NamedShape {
  std::string name;
  LinkShape shape;
};

std::vector<NamedShape> shapes_of_profiles(const std::string& wanted) {
  std::vector<NamedShape> shapes;
  std::vector<std::string> names;
  for (const LinkProfile& profile : link_profiles()) {
    names.emplace_back(profile.name);
    if (!wanted.empty() && wanted != profile.name) continue;
    NamedShape named{std::string(profile.name), {}};
    if (!profile.rate.empty() && profile.rate != "unlimited")
      named.shape.bits_per_second = parse_bit_rate(profile.rate);
    named.shape.rtt = parse_duration(profile.rtt);
    shapes.push_back(named);
  }
  if (shapes.empty())
    throw SuiteError("there is no link profile '" + wanted + "'" + did_you_mean(wanted, names));
  return shapes;
}

LinkEngine engine_for(const std::string& wanted) {
  for (const EngineState& engine : probe_engines()) {
    if (wanted != "auto" && wanted != engine_name(engine.engine)) continue;
    if (engine.available) return engine.engine;
    if (wanted != "auto")
      throw std::runtime_error("link engine " + wanted + " can't run here: " + engine.reason +
                               "; " + engine.next_step);
  }
  throw SuiteError("no link engine '" + wanted + "' can run here: see memsync doctor");
}

}  // namespace

int doctor_command(bool json) {
  const Json found = examine_machine();
  const int code = found["ok"].get<bool>() ? exit_code::kOk : exit_code::kUnsupported;
  if (json) return print_json(found, code);
  for (const auto& check : found["checks"]) {
    fmt::print("{:<8} {:<24} {}\n", check["state"].get<std::string>(),
               check["name"].get<std::string>(), check["detail"].get<std::string>());
    if (check["state"] != "ok" && !check["next_step"].get<std::string>().empty() &&
        check["next_step"] != check["detail"])
      fmt::print("{:<8} {:<24} -> {}\n", "", "", check["next_step"].get<std::string>());
  }
  fmt::print("{}\n",
             code == exit_code::kOk ? "this machine can measure" : "nothing can be measured here");
  return code;
}

int list_command(bool json, const std::string& filter) {
  Json list = list_json();
  for (auto& [kind, entries] : list.items()) {
    Json kept = Json::array();
    for (const auto& entry : entries)
      if (matches(entry, filter)) kept.push_back(entry);
    entries = kept;
  }
  if (json) return print_json(list, exit_code::kOk);
  for (const auto& [kind, entries] : list.items()) {
    fmt::print("{}\n", kind);
    for (const auto& entry : entries) {
      if (kind == "approaches") {
        print_approach(entry);
        continue;
      }
      std::string text =
          entry.value("summary", entry.value("question", entry.value("description", "")));
      if (kind == "links")
        text = fmt::format("{}, RTT {}: {}", entry["rate"].get<std::string>(),
                           entry["rtt"].get<std::string>(), text);
      if (kind == "link_engines")
        text = entry["available"].get<bool>() ? "usable"
                                              : "not here: " + entry["reason"].get<std::string>();
      fmt::print("  {:<22} {}\n", entry["name"].get<std::string>(), text);
    }
  }
  return exit_code::kOk;
}

int plan_command(const RunOptions& options, bool json) {
  Suite suite = load_suite(options.suite, suite_folders());
  refuse_unused_peers(suite, options.peers);
  if (!options.content.empty()) use_content_file(suite, options.content);
  if (options.reps) suite.reps = *options.reps;
  Machine machine = this_machine();
  machine.peers = options.peers;
  const Plan plan = options.controls ? make_plan_with_controls(suite, machine, options.filter)
                                     : make_plan(suite, machine, options.filter);
  if (json) {
    fmt::print("{}\n", to_json(plan, suite));
    return exit_code::kOk;
  }
  fmt::print("suite {} over engine {}: {}\n", suite.name, engine_name(plan.engine), suite.question);
  for (const Cell& cell : plan.cells)
    fmt::print("  {:<44} {:<12} {}\n", cell.cell_id, cell_status_name(cell.status),
               cell.status == CellStatus::planned ? fmt::format("{:.1f} s each", cell.estimated_s)
                                                  : cell.reason);
  fmt::print("{} repetitions after {} warm-up, about {:.0f} s in all, at most {} of memory\n",
             suite.reps, suite.warmup, plan.estimated_s,
             format_bytes(static_cast<double>(plan.memory_bytes)));
  return exit_code::kOk;
}

int calibrate_command(const std::string& profile, const std::string& engine, bool json) {
  const LinkEngine chosen = engine_for(engine);
  Json results = Json::array();
  bool all_ok = true;
  bool any = false;
  for (const auto& [name, shape] : shapes_of_profiles(profile)) {
    Json entry = {{"link", name}, {"asked", describe(shape)}, {"engine", engine_name(chosen)}};
    if (const std::string problem = shape_problem(chosen, shape); !problem.empty()) {
      entry["problem"] = problem;
      entry["ok"] = false;
      if (!json) fmt::print("{:<8} unsupported: {}\n", name, problem);
      results.push_back(entry);
      continue;
    }
    LinkSetup setup;
    setup.engine = chosen;
    setup.shape = shape;
    const auto link = make_link(setup);
    const Calibration found = calibrate(*link);
    any = true;
    all_ok = all_ok && found.ok();
    entry.update({{"rtt_min_s", found.rtt_min_s},
                  {"rtt_p50_s", found.rtt_p50_s},
                  {"rtt_p99_s", found.rtt_p99_s},
                  {"tcp_cc", found.tcp_congestion_control},
                  {"ok", found.ok()},
                  {"problem", found.problem}});
    if (found.bits_per_second) entry["rate_Bps"] = *found.bits_per_second / 8;
    if (!json)
      fmt::print(
          "{:<8} asked {}; RTT p50 {:.3f} ms, p99 {:.3f} ms{} -> {}\n", name, describe(shape),
          found.rtt_p50_s * 1e3, found.rtt_p99_s * 1e3,
          found.bits_per_second ? ", " + format_bit_rate(*found.bits_per_second) : std::string(),
          found.ok() ? "ok" : found.problem);
    results.push_back(entry);
  }
  const double copy = measure_copy_rate();
  const Json host = host_json();
  const Json stored = {
      {"host", host}, {"engine", engine_name(chosen)}, {"copy_Bps", copy}, {"links", results}};
  const std::string path = state_file("calibration-" + host["host_id"].get<std::string>() + "-" +
                                      host["kernel"].get<std::string>() + ".json");
  std::ofstream(path) << stored.dump(2) << "\n";
  if (json)
    print_json(stored, 0);
  else
    fmt::print("copy     {}/s\nstored in {}\n", format_bytes(copy), path);
  if (!any) return exit_code::kUnsupported;
  return all_ok ? exit_code::kOk : exit_code::kIncomplete;
}

int clean_command(bool dry_run, bool json) {
  Json list = Json::array();
  for (const Leftover& leftover : find_leftovers()) {
    list.push_back(leftover.what);
    if (!json) fmt::print("{} {}\n", dry_run ? "would end" : "ended", leftover.what);
    if (!dry_run) remove_leftover(leftover);
  }
  if (json) return print_json({{"leftovers", list}, {"removed", !dry_run}}, exit_code::kOk);
  if (list.empty()) fmt::print("nothing of ours is left over\n");
  return exit_code::kOk;
}

void enter_user_namespace() {
  const auto user = ::geteuid();
  const auto group = ::getegid();
  if (user == 0 || ::unshare(CLONE_NEWUSER) != 0) return;
  const auto write = [](const char* path, const std::string& text) { std::ofstream(path) << text; };
  write("/proc/self/setgroups", "deny");
  write("/proc/self/uid_map", fmt::format("0 {} 1", user));
  write("/proc/self/gid_map", fmt::format("0 {} 1", group));
}

}  // namespace memsync
