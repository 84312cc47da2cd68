// What the options of `rsync` mean: switches of the program, and where its files lie.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "approaches/sync_strategy.h"

namespace memsync::rsync {

inline constexpr std::string_view kDaemonService = "rsync";
inline constexpr std::string_view kControlService = "rsync_control";
inline constexpr const char* kFile = "region";  // on both sides

std::span<const OptionSpec> option_specs() noexcept;
// What this machine lacks. Throws std::invalid_argument with one sentence for a block that rsync
// does not take.
std::vector<std::string> problems(const Options& options);

// Throws std::invalid_argument with one sentence for what no side can work with.
SideSetup checked(SideSetup setup);
std::string place_of(const Options& options);  // the folder for a side's own folder
// The client's switches, and the file at the destination. Throw where the network has no addresses.
std::vector<std::string> switches_of(const Options& options, const Network& network);
std::vector<std::string> socket_switches_of(const Options& options);  // of both programs
std::string url_of(const Network& network);

}  // namespace memsync::rsync
