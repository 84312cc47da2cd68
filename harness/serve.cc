#include "harness/serve.h"

#include <cstdio>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/random.h>

#include "harness/exit_codes.h"
#include "harness/interrupt.h"
#include "harness/suite_content.h"
#include "lib/backend/http_connection.h"
#include "lib/backend/open_reader.h"
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

bool is_computed(const std::string& name) {
  return name == "memory" || name == "zero" || name == "pattern";
}

bool is_url(const std::string& name) {
  return name.find("://") != std::string::npos;
}

std::unique_ptr<Reader> open_content(const ServeOptions& options) {
  if (is_computed(options.name) != (options.size_bytes > 0))
    throw std::invalid_argument(is_computed(options.name)
                                    ? options.name + " has no size of its own; give it --size"
                                    : "--size is for memory, zero and pattern alone");
  if (is_computed(options.name) || is_url(options.name))
    return open_reader(options.name, options.size_bytes, options.seed);
  const std::string path =
      options.name.starts_with("file:") ? options.name.substr(5) : options.name;
  content_file_bytes(path);  // names what is wrong with it
  return open_reader("file:" + path, 0, 0);
}

std::unique_ptr<Reader> open_served(const ServeOptions& options) {
  try {
    auto content = open_content(options);
    if (content->size_bytes() == 0) throw std::invalid_argument(options.name + " is empty");
    return content;
  } catch (const std::system_error& problem) {
    throw std::invalid_argument(problem.what());
  }
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

void tell(const std::string& sentence) {
  fmt::print(stderr, "memsync serve: {}\n", sentence);
}

std::string who_may(const ServeOptions& options) {
  if (!options.tls.is_on()) return "whoever reaches";
  return (options.tls.policy.empty() ? "whom the CA of " + options.tls.folder + " knows"
                                     : "whom " + options.tls.policy + " lets read") +
         ", by TLS at";
}

}  // namespace

int serve_command(const ServeOptions& options) {
  const InterruptWatch interrupts;
  const auto content = open_served(options);
  const Geometry geometry{.size_bytes = content->size_bytes(), .chunk_bytes = page_bytes()};
  const RegionId region = new_region_id();
  LocalRegion local(*content, nullptr, region, read_only_hooks());
  const auto policy = policy_of(options.tls);
  const auto network = open_network(options.listen, options.tls, tell, [&](const auto& who) {
    return policy ? policy->objection(who, Right::read, options.name) : std::string();
  });
  const auto served = serve_at(*network, options.listen, geometry, region, local);
  const std::string address = network->address("");
  if (options.json)
    fmt::print("{}\n",
               nlohmann::json{{"address", address}, {"size_B", geometry.size_bytes}}.dump());
  else
    fmt::print("{}\n", address);
  std::fflush(stdout);
  fmt::print(stderr, "memsync serve: {} ({}) for {} {}; Ctrl-C ends it\n",
             is_url(options.name) ? shown_url(options.name) : options.name,
             format_bytes(static_cast<double>(geometry.size_bytes)), who_may(options), address);
  pollfd asked{interrupts.descriptor().get(), POLLIN, 0};
  while (::poll(&asked, 1, -1) < 0 && errno == EINTR) {
  }
  fmt::print(stderr, "memsync serve: {} were sent\n",
             format_bytes(static_cast<double>(network->bytes_sent())));
  return exit_code::kOk;
}

}  // namespace memsync
