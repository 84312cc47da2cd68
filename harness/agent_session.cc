#include "harness/agent_session.h"

#include <charconv>
#include <stdexcept>
#include <sys/utsname.h>

#include "approaches/registry.h"
#include "harness/campaign_tls.h"
#include "harness/environment.h"
#include "harness/samples.h"
#include "harness/workload_wire.h"
#include "lib/backend/stores.h"
#include "lib/os/error.h"
#include "lib/region/content.h"
#include "lib/region/digest.h"
#include "lib/transport/transport.h"

namespace memsync {

namespace {

constexpr auto kApplicationMinimum = std::chrono::milliseconds(200);  // at the destination

// "destination3" is 3; the source has none.
uint32_t destination_index(const std::string& host) {
  constexpr std::string_view kPrefix = "destination";
  uint32_t index = 0;
  if (host == "source") return index;
  const char* const end = host.data() + host.size();
  if (!host.starts_with(kPrefix) ||
      std::from_chars(host.data() + kPrefix.size(), end, index).ptr != end)
    throw std::invalid_argument("this agent is no host '" + host + "'");
  return index;
}

double since(Deadline moment) {
  return seconds(Clock::now() - moment);
}

RegionId region_id_from(const std::string& hex) {
  const Digest digest = digest_from_hex(hex);
  RegionId region;
  for (size_t i = 0; i < 8; ++i) {
    region.id[i] = static_cast<std::byte>(digest.high >> (8 * i));
    region.id[8 + i] = static_cast<std::byte>(digest.low >> (8 * i));
  }
  return region;
}

nlohmann::json to_json(const Statistics& statistics) {
  nlohmann::json json = nlohmann::json::object();
  const auto add = [&](const char* name, const std::optional<uint64_t>& value) {
    if (value) json[name] = *value;
  };
  add("payload_received", statistics.payload_received);
  add("payload_sent", statistics.payload_sent);
  add("faults", statistics.faults);
  add("chunks_prefetched", statistics.chunks_prefetched);
  add("chunks_local", statistics.chunks_local);
  add("window_bytes", statistics.window_bytes);
  if (statistics.trace)
    json["trace"] = *statistics.trace == TraceUse::recorded ? "recorded" : "replayed";
  return json;
}

// Answers each byte of a stream with the same byte, until the stream ends.
void echo(Stream& stream) {
  std::byte byte{};
  while (true) {
    stream.read_all({&byte, 1}, after(std::chrono::seconds(10)));
    stream.write_all({&byte, 1}, after(std::chrono::seconds(10)));
  }
}

}  // namespace

AgentSession::~AgentSession() = default;

nlohmann::json AgentSession::answer(const nlohmann::json& request) {
  const std::string command = request.value("do", "");
  if (command == "hello") return host_json();
  if (command == "prepare") return prepare(request);
  if (command == "open") return open();
  if (command == "read") return read();
  if (command == "write_start") return write_start();
  if (command == "write_stop") return write_stop();
  if (command == "hand_over") return hand_over();
  if (command == "dirty_and_sync") return dirty_and_sync(request);
  if (command == "sync") return sync();
  if (command == "expect_round") return expect_round(request);
  if (command == "await_round") return await_round();
  if (command == "digest") return digest();
  if (command == "echo") return echo_once();
  if (command == "ping") return ping(request);
  if (command == "finish") return finish();
  throw std::invalid_argument("this agent does not know the command '" + command + "'");
}

nlohmann::json AgentSession::prepare(const nlohmann::json& request) {
  if (!request.value("may_sleep", false)) awake_.emplace();
  is_source_ = request.at("role") == "source";
  seed_ = request.at("seed");
  workload_ = workload_from_json(request.at("workload"));
  geometry_ = {workload_.region_bytes, workload_.chunk_bytes};
  if (const std::string problem = geometry_problem(geometry_); !problem.empty())
    throw std::invalid_argument(problem);
  limit_ = from_seconds(request.at("limit_s").get<double>());
  draw_ = request.value("draw", uint64_t{0});
  strategy_ = find_strategy(request.at("approach").get<std::string>());
  if (strategy_ == nullptr)
    throw std::invalid_argument("this agent has no approach '" +
                                request.at("approach").get<std::string>() + "'");
  options_ = std::make_unique<Options>(
      strategy_->info().options, request.at("options").get<std::map<std::string, std::string>>());
  const std::string host = request.at("host");
  const auto join_link = [&] {
    return make_tcp_network(host,
                            request.at("addresses").get<std::map<std::string, std::string>>());
  };
  link_ = join_link();
  network_ =
      request.contains("tls") ? inside_campaign_tls(join_link(), request.at("tls")) : join_link();
  if (workload_.writer) script_.emplace(workload_, seed_);

  setup_.geometry = geometry_;
  setup_.region = region_id_from(request.at("region_id"));
  setup_.options = options_.get();
  setup_.store = make_store();
  copy_ = make_copy();
  if (copy_) setup_.open_copy = [this] { return std::move(copy_); };
  setup_.keep_dir = request.value("keep_dir", "");
  setup_.destinations = static_cast<uint32_t>(workload_.receivers);
  setup_.destination_index = destination_index(host);
  setup_.network = network_.get();
  setup_.transport = &native_transport();
  setup_.suspend_app = [this] {
    if (auto* application = running_.load()) application->suspend();
  };
  setup_.resume_app = [this] {
    // Within the blackout; a source resumes its own when a hand-over has failed.
    if (!is_source_) delay_as_planted();
    if (auto* application = running_.load()) application->resume();
  };
  return nlohmann::json::object();
}

std::unique_ptr<Backend> AgentSession::make_store() {
  if (is_source_ && workload_.is_computed)
    return std::make_unique<ReadOnlyStore>(open_content(workload_, seed_));
  std::unique_ptr<Backend> store;
  if (strategy_->info().can.shares_memory) {
    if (shared_memory_ < 0)
      throw std::runtime_error(
          "this approach shares memory between the hosts, which are two machines here");
    const FileDescriptor file{
        check(::fcntl(shared_memory_, F_DUPFD_CLOEXEC, 0), "the shared memory file")};
    // The page after the region's last is for the approach's own signals.
    const uint64_t pages = round_up_to_page(geometry_.size_bytes);
    shared_mapping_ = Mapping::shared(file, pages + page_bytes());
    setup_.shared_control = shared_mapping_.bytes().subspan(pages);
    store = std::make_unique<MemoryBackend>(Mapping::shared(file, geometry_.size_bytes));
  } else {
    store = std::make_unique<MemoryBackend>(geometry_.size_bytes);
  }
  if (is_source_) fill_store(*store);
  return store;
}

void AgentSession::fill_store(Backend& store) const {
  open_content(workload_, seed_)->read_at(store.mapping(), 0);
}

// Seeded content stands in memory before t0, so that reading it costs next to nothing; unless it is
// to be computed.
std::unique_ptr<Reader> AgentSession::make_copy() const {
  if (is_source_ || options_->backend() == "peer") return nullptr;
  auto content = open_content(workload_, seed_);
  if (options_->backend() == "pattern" || workload_.content.kind == ContentSpec::Kind::file)
    return content;
  auto memory = std::make_unique<MemoryBackend>(geometry_.size_bytes);
  content->read_at(memory->mapping(), 0);
  return memory;
}

// The slow-down that a judge of campaigns must find: whatever the approach does, it comes on top.
void AgentSession::delay_as_planted() const {
  const Nanoseconds delay = options_->duration(kPlantedDelay);
  if (delay > Nanoseconds::zero()) sleep_until_deadline(after(delay));
}

nlohmann::json AgentSession::open() {
  meter_.start();
  opened_ = Clock::now();
  // Before the approach begins, so that nothing it does in the background makes up for it.
  if (!is_source_ && workload_.does != WorkloadKind::handover) delay_as_planted();
  setup_.connect_limit = limit_;
  side_ = is_source_ ? strategy_->open_source(std::move(setup_))
                     : strategy_->open_destination(std::move(setup_));
  nlohmann::json answer = {{"open_s", since(*opened_)}};
  prefetched_at_open_ = side_->statistics().payload_received.value_or(0);
  return answer;
}

std::span<std::byte> AgentSession::memory() const {
  if (!side_) throw std::logic_error("no side is open");
  return side_->region().memory;
}

void AgentSession::throw_access_fault(const AccessFault& fault) const {
  side_->rethrow_failure();
  const auto offset = fault.address - reinterpret_cast<uintptr_t>(memory().data());
  throw std::runtime_error("an access at offset " + std::to_string(offset) + " ended in signal " +
                           std::to_string(fault.signal) + " and the approach parked no failure");
}

nlohmann::json AgentSession::read() {
  const ReadOutcome outcome = read_region(memory(), workload_, seed_, draw_);
  const nlohmann::json spent = meter_.reading();
  // The bytes first, then the time: what is read ahead meanwhile must not look faster than the
  // link.
  nlohmann::json moved = to_json(side_->statistics());
  moved["elapsed_s"] = since(*opened_);
  if (outcome.fault) throw_access_fault(outcome.fault);
  side_->rethrow_failure();
  nlohmann::json answer = {{"accesses", outcome.accesses},
                           {"checked_B", outcome.checked_bytes},
                           {"latency", summarize_latencies(outcome.latencies_ns)},
                           {"digest", to_hex(outcome.digest)},
                           {"spent", spent},
                           {"moved", moved}};
  if (outcome.first_access) answer["first_access_s"] = seconds(*outcome.first_access - *opened_);
  if (outcome.last_access) answer["elapsed_s"] = seconds(*outcome.last_access - *opened_);
  return answer;
}

nlohmann::json AgentSession::write_start() {
  application_ = std::make_unique<ScheduledApplication>(memory(), script_.value(), Phase::source);
  running_ = application_.get();
  application_->resume();
  return nlohmann::json::object();
}

nlohmann::json AgentSession::write_stop() {
  if (!application_) throw std::logic_error("no application is there to stop");
  application_->suspend();
  if (application_->fault()) throw_access_fault(application_->fault());
  const ApplicationLog& log = application_->log();
  return {{"operations", log.operations}, {"last_done_ns", log.last_done_ns}};
}

nlohmann::json AgentSession::hand_over() {
  Handover* handover = side_->handover();
  if (handover == nullptr) throw std::logic_error("this approach has no hand-over");
  application_ =
      std::make_unique<ScheduledApplication>(memory(), script_.value(), Phase::destination);
  running_ = application_.get();
  const HandoverReport report = handover->finalize(after(limit_));
  const Deadline resumed = Clock::now();
  const Nanoseconds settle = handover->settle(after(limit_));
  const double elapsed = since(*opened_);
  sleep_until_deadline(resumed + kApplicationMinimum);
  application_->suspend();
  const nlohmann::json spent = meter_.reading();
  if (application_->fault()) throw_access_fault(application_->fault());
  side_->rethrow_failure();
  const ApplicationLog& log = application_->log();
  return {{"suspend_s", seconds(report.suspend)},
          {"collect_s", seconds(report.collect)},
          {"transfer_s", seconds(report.transfer)},
          {"resume_s", seconds(report.resume)},
          {"settle_s", seconds(settle)},
          {"elapsed_s", elapsed},
          {"operations", log.operations},
          {"done_ns", log.done_ns},
          {"read_hashes", log.read_hashes},
          {"folded_hash", log.folded_hash},
          {"latency", summarize_latencies(log.latencies_ns)},
          {"spent", spent}};
}

nlohmann::json AgentSession::digest() {
  Digest value;
  auto work = [&, bytes = memory()] { value = digest_of(bytes); };
  if (const AccessFault fault = guarded(work)) throw_access_fault(fault);
  return {{"digest", to_hex(value)}};
}

nlohmann::json AgentSession::echo_once() {
  if (!echo_) {
    echo_ = link_->listen("echo");
    return nlohmann::json::object();  // the next call serves
  }
  const auto stream = echo_->accept(after(limit_));
  try {
    if (stream) echo(*stream);
  } catch (const std::system_error&) {
    // The other side is done.
  }
  return nlohmann::json::object();
}

nlohmann::json AgentSession::ping(const nlohmann::json& request) {
  const auto stream = link_->connect(request.at("host").get<std::string>(), "echo", after(limit_));
  std::vector<uint32_t> round_trips;
  std::byte byte{};
  const uint64_t probes = request.at("probes");
  for (uint64_t i = 0; i < probes; ++i) {
    const Deadline before = Clock::now();
    stream->write_all({&byte, 1}, after(limit_));
    stream->read_all({&byte, 1}, after(limit_));
    round_trips.push_back(static_cast<uint32_t>((Clock::now() - before).count()));
  }
  return {{"rtt", summarize_latencies(std::move(round_trips))}};
}

nlohmann::json AgentSession::finish() {
  if (!side_) return nlohmann::json::object();
  const nlohmann::json answer = {{"moved", to_json(side_->statistics())},
                                 {"prefetched_at_open_B", prefetched_at_open_},
                                 {"spent", meter_.reading()}};
  running_ = nullptr;
  application_.reset();
  side_.reset();
  return answer;
}

}  // namespace memsync
