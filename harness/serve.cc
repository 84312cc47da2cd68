#include "harness/serve.h"

#include <cstdio>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/random.h>

#include "harness/exit_codes.h"
#include "harness/interrupt.h"
#include "harness/suite_content.h"
#include "lib/backend/stores.h"
#include "lib/os/error.h"
#include "lib/os/mapping.h"
#include "lib/region/quantity.h"
#include "lib/transport/local_region.h"
#include "lib/transport/transport.h"

namespace memsync {

namespace {

// Another one each time, so that a client of a server that was started anew, perhaps with other
// bytes, is refused instead of mixing both.
RegionId new_region_id() {
  RegionId region;
  check(::getrandom(region.id.data(), region.id.size(), 0), "drawing a region id");
  return region;
}

[[noreturn]] void refuse() {
  throw std::system_error(make_error_code(RegionError::refused), "a served file has no owner");
}

// Reading alone: no client may stop the others by taking the region over.
LocalRegion::Hooks read_only_hooks() {
  return {.suspend_app = refuse,
          .resume_app = {},
          .collect_dirty = {},
          .start_tracking = refuse,
          .released = {},
          .on_exchange = {}};
}

std::unique_ptr<ServedRegion> serve_at(Network& network, const std::string& address,
                                       const Geometry& geometry, const RegionId& region,
                                       RegionService& service) {
  try {
    return native_transport().serve(network, "file", geometry, region, service);
  } catch (const std::system_error& problem) {
    throw std::invalid_argument(
        fmt::format("{}; choose another --listen, port 0 for any that is free: now {}",
                    problem.what(), address));
  }
}

}  // namespace

int serve_command(const ServeOptions& options) {
  const InterruptWatch interrupts;
  content_file_bytes(options.file);  // names what is wrong with it
  FileBackend file(options.file, FileBackend::Mode::read_only);
  const Geometry geometry{.size_bytes = file.size_bytes(), .chunk_bytes = page_bytes()};
  const RegionId region = new_region_id();
  LocalRegion local(file, nullptr, region, read_only_hooks());
  const auto network = make_address_network(options.listen);
  const auto served = serve_at(*network, options.listen, geometry, region, local);
  const std::string address = network->address("");
  if (options.json)
    fmt::print("{}\n",
               nlohmann::json{{"address", address}, {"size_B", geometry.size_bytes}}.dump());
  else
    fmt::print("{}\n", address);
  std::fflush(stdout);
  fmt::print(stderr, "memsync serve: {} ({}) for whoever reaches {}; Ctrl-C ends it\n",
             options.file, format_bytes(static_cast<double>(geometry.size_bytes)), address);
  pollfd asked{interrupts.descriptor().get(), POLLIN, 0};
  while (::poll(&asked, 1, -1) < 0 && errno == EINTR) {
  }
  fmt::print(stderr, "memsync serve: {} were sent\n",
             format_bytes(static_cast<double>(network->bytes_sent())));
  return exit_code::kOk;
}

}  // namespace memsync
