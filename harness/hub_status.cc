#include "harness/hub_status.h"

#include <cstdio>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "approaches/mmap_push/frame_stream.h"
#include "harness/exit_codes.h"
#include "lib/os/error.h"
#include "lib/region/quantity.h"
#include "lib/transport/network.h"

namespace memsync {

namespace {

using mmap_push::Kind;

constexpr Nanoseconds kConnect = std::chrono::seconds(2);
constexpr Nanoseconds kAnswer = std::chrono::seconds(10);
constexpr size_t kStatusMax = 64 << 20;

std::string ask(const HubOptions& options) {
  const auto stream =
      open_network(options.status, options.tls, {})->connect("", "hub", after(kConnect));
  mmap_push::FrameStream frames(*stream, mmap_push::Role::observer);
  const Deadline deadline = after(kAnswer);
  frames.greet(deadline);
  std::string text;
  while (true) {
    const auto header = frames.next(deadline);
    if (header.kind == Kind::settled) return text;
    if (header.kind != Kind::status || text.size() > kStatusMax)
      mmap_push::throw_malformed("no status as an answer");
    const auto piece = frames.read_rest(deadline);
    text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
}

// What a peer says ends on a person's terminal.
std::string shown(const nlohmann::json& value) {
  auto text = value.get<std::string>();
  for (char& letter : text)
    if (static_cast<unsigned char>(letter) < ' ' || letter == '\x7f') letter = '?';
  return text;
}

void print_table(const nlohmann::json& status) {
  for (const auto& file : status.at("files")) {
    const auto version = file.at("version").get<uint64_t>();
    fmt::print("{}: version {}, {}, {}\n", shown(file.at("name")), version,
               format_bytes(file.at("size_B").get<double>()),
               file.at("is_pushed").get<bool>() ? "a pusher is here" : "nobody pushes it");
    for (const auto& one : file.at("receivers")) {
      const auto theirs = one.at("version").get<uint64_t>();
      if (theirs == version)
        fmt::print("  {} has it\n", shown(one.at("peer")));
      else
        fmt::print(
            "  {} has {}, {} missing\n", shown(one.at("peer")),
            theirs == 0 ? "none of this hub's versions yet" : fmt::format("version {}", theirs),
            format_bytes(one.at("missing_B").get<double>()));
    }
  }
  for (const auto& peer : status.at("peers"))
    fmt::print("{}{}: {}, {} {}\n", shown(peer.at("peer")),
               peer.at("identity") == "" ? "" : " (" + shown(peer.at("identity")) + ")",
               shown(peer.at("role")), format_bytes(peer.at("payload_B").get<double>()),
               peer.at("role") == "pusher" ? "came from it" : "went to it");
}

}  // namespace

int hub_status_command(const HubOptions& options) {
  try {
    const std::string text = ask(options);
    if (options.json)
      fmt::print("{}\n", text);
    else
      print_table(nlohmann::json::parse(text));
    return exit_code::kOk;
  } catch (const std::system_error& problem) {
    fmt::print(stderr, "memsync hub: {}; is `memsync hub DIR --listen {}` running there?\n",
               problem.what(), options.status);
  } catch (const nlohmann::json::exception&) {
    fmt::print(stderr, "memsync hub: what {} answered is no status\n", options.status);
  }
  return exit_code::kIncomplete;
}

}  // namespace memsync
