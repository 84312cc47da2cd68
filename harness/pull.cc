#include "harness/pull.h"

#include <cstdio>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "harness/exit_codes.h"
#include "harness/pull_report.h"

namespace memsync {

namespace {

void check_options(const PullOptions& options) {
  const int ways = (options.command.empty() ? 0 : 1) + (options.out.empty() ? 0 : 1) +
                   (options.socket.empty() ? 0 : 1);
  if (ways != 1)
    throw std::invalid_argument(
        "say where the bytes shall appear, one of: memsync pull ADDRESS -- COMMAND {} | --out FILE "
        "| --socket PATH");
  const bool is_on_the_web = options.address.find("://") != std::string::npos;
  if (options.tls.is_on() && is_on_the_web)
    throw std::invalid_argument("--tls is for `memsync serve`; a web server has https:// for it");
  if (options.dialect != "memsync" && options.socket.empty())
    throw std::invalid_argument("--dialect is for --socket alone");
}

// Whoever connects to the socket, until Ctrl-C.
int pull_for_socket(userfaultfd::ServedFaults served, const PullOptions& options,
                    InterruptWatch& interrupts) {
  const auto network = make_address_network("unix:" + options.socket);
  std::unique_ptr<Listener> listener;
  try {
    listener = network->listen("");
  } catch (const std::system_error& problem) {
    throw std::invalid_argument(std::string(problem.what()) + "; choose another --socket");
  }
  const uint64_t size = served.region_bytes;
  const userfaultfd::FaultServer server(std::move(listener), std::move(served));
  fmt::print("{}\n", options.socket);
  std::fflush(stdout);
  pollfd asked{interrupts.descriptor().get(), POLLIN, 0};
  while (::poll(&asked, 1, -1) < 0 && errno == EINTR) {
  }
  report(server.totals(), size, options.json);
  return exit_code::kOk;
}

}  // namespace

int pull_command(const PullOptions& options) {
  check_options(options);
  const Options faults(userfaultfd::option_specs(), options.faults);
  const auto settings = userfaultfd::settings_from(faults);
  userfaultfd::FaultServer::check(settings);
  InterruptWatch interrupts;
  try {
    const RemoteRegion region(options.address, options.tls);
    if (!options.out.empty()) return pull_into_file(region, settings, options, interrupts);
    userfaultfd::ServedFaults served{.dialect = options.dialect == "memsync"
                                                    ? userfaultfd::Dialect::memsync
                                                    : userfaultfd::Dialect::userfaultfd_go,
                                     .region_bytes = region.size_bytes(),
                                     .settings = settings,
                                     .options = &faults,
                                     .user = ::geteuid(),
                                     .connect = [&region] { return region.connect(); },
                                     .tell = tell_on_stderr};
    return options.socket.empty() ? pull_for_program(std::move(served), options, interrupts)
                                  : pull_for_socket(std::move(served), options, interrupts);
  } catch (const SourceLost& lost) {
    tell_on_stderr(lost.what());
    return exit_code::kIncomplete;
  }
}

}  // namespace memsync
