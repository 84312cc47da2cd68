#include "harness/suite_parser.h"

#include <algorithm>
#include <stdexcept>

#include "approaches/peer.h"
#include "approaches/registry.h"
#include "harness/suite_fields.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

constexpr LinkProfile kProfiles[] = {
    {"local", "unlimited", "0ms", "the same host, or its rack: no delay, no limit"},
    {"lan", "1Gbit/s", "1ms", "a local network"},
    {"wan", "100Mbit/s", "50ms", "a wide-area network"},
    {"nat", "100Mbit/s", "50ms", "a wide-area network whose destination can't be dialled",
     "destination"},
    {"outage", "1Gbit/s", "1ms", "a local network that is cut for 5 s, 1 s after the beginning",
     "any", "5s"},
};

LinkEngine engine_of(const std::string& name) {
  if (name == "tc") return LinkEngine::tc;
  if (name == "tun") return LinkEngine::tun;
  return LinkEngine::none;
}

template <typename Item>
void refuse_duplicate(const std::string& file, const std::vector<Item>& before,
                      const std::string& what, std::string Item::* label, const Item& item) {
  for (const Item& other : before)
    if (other.*label == item.*label)
      throw SuiteError(file, item.at,
                       "there are two " + what + " named '" + item.*label +
                           "', the first in line " + std::to_string(other.at.line));
}

// The items of a list, each read by `parse`, no two with the same label.
template <typename Item>
std::vector<Item> read_items(const SuiteSource& source, const Fields& fields, const char* key,
                             std::string Item::* label,
                             Item (*parse)(const SuiteSource&, const SuiteNode&)) {
  constexpr size_t kItemsMax = 1000;
  const SuiteNode& list = *fields.given(key);
  if (list.items.size() > kItemsMax)
    fields.refuse(key, "more than " + std::to_string(kItemsMax) + " items");
  std::vector<Item> items;
  for (const SuiteNode& node : list.items) {
    Item item = parse(source, node);
    refuse_duplicate(source.file, items, key, label, item);
    items.push_back(std::move(item));
  }
  return items;
}

Exclusion read_exclusion(const Suite& suite, const Fields& fields) {
  std::vector<std::string> approaches, workloads, links;
  for (const ApproachSpec& approach : suite.approaches) {
    approaches.push_back(approach.as);
    approaches.push_back(approach.use);
  }
  for (const Workload& workload : suite.workloads) workloads.push_back(workload.name);
  for (const LinkSpec& link : suite.links) links.push_back(link.name);
  check_name(fields, "approach", approaches);
  check_name(fields, "workload", workloads);
  check_name(fields, "link", links);

  Exclusion exclusion{.approaches = fields.labels("approach"),
                      .workloads = fields.labels("workload"),
                      .links = fields.labels("link")};
  if (exclusion.approaches.empty() && exclusion.workloads.empty() && exclusion.links.empty())
    fields.refuse("because", "of what? name an approach, a workload or a link to leave out");
  exclusion.because = fields.text("because");
  return exclusion;
}

// One engine for all links of a suite: rows of different engines are never compared.
void check_engines(const std::string& file, const std::vector<LinkSpec>& links) {
  const LinkSpec* first = nullptr;
  for (const LinkSpec& link : links) {
    if (!link.engine) continue;
    if (first && first->engine != link.engine)
      throw SuiteError(file, link.at,
                       "link '" + link.name + "' asks for another engine than '" + first->name +
                           "': one engine for all links of a suite");
    if (!first) first = &link;
  }
}

Placement read_placement(const std::string& file, const Fields& fields) {
  const SuiteNode* node = fields.given("placement");
  if (!node) return {};
  const Fields cpus(file, *node, key_table("placement"));
  return {cpus.cpu("source"), cpus.cpu("destination"), cpus.cpu("link")};
}

// What a series is called that says nothing of it: its approach, a peer without its prefix.
std::string_view label_of(std::string_view use) {
  return is_peer(use) ? peer_name(use) : use;
}

void check_options(const SuiteSource& source, const SyncStrategy& strategy, const SuiteNode& with,
                   ApproachSpec& approach) {
  for (size_t i = 0; i < with.keys.size(); ++i) {
    const SuiteNode& name = with.keys[i];
    const SuiteNode& value = with.items[i];
    if (value.kind != SuiteNode::Kind::scalar)
      throw SuiteError(source.file, value.at, "option '" + name.text + "' takes a single value");
    try {
      Options(strategy.info().options, {{name.text, value.text}});  // throws for this option alone
    } catch (const std::invalid_argument& problem) {
      throw SuiteError(source.file, name.at, approach.use + ": " + problem.what());
    }
    if (!approach.with.emplace(name.text, value.text).second)
      throw SuiteError(source.file, name.at, "option '" + name.text + "' is given twice");
  }
}

}  // namespace

void check_name(const Fields& fields, std::string_view key, const std::vector<std::string>& names) {
  for (const std::string& name : fields.labels(key))
    if (std::ranges::find(names, name) == names.end())
      fields.refuse(key, "the suite has no " + std::string(key) + " '" + name + "'" +
                             did_you_mean(name, names));
}

std::span<const LinkProfile> link_profiles() noexcept {
  return kProfiles;
}

LinkSpec parse_link(const SuiteSource& source, const SuiteNode& node) {
  Fields fields(source.file, node, key_table("links"));
  if (!fields.has("name") && !fields.has("use"))
    throw SuiteError(source.file, node.at, "a link has a `name`, or a profile to `use`");
  LinkSpec link;
  link.at = node.at;
  if (fields.has("use")) {
    link.name = fields.text("use");
    for (const LinkProfile& profile : kProfiles) {
      if (profile.name != link.name) continue;
      fields.set_default("rate", profile.rate);
      fields.set_default("rtt", profile.rtt);
      fields.set_default("dials", profile.dials);
      fields.set_default("cut_for", profile.cut_for);
    }
  }
  if (fields.has("name")) link.name = fields.text("name");
  link.shape.bits_per_second = fields.bit_rate("rate");
  link.shape.rtt = fields.duration("rtt");
  link.shape.loss_ratio = fields.ratio("loss");
  link.shape.jitter = fields.duration("jitter");
  link.shape.queue_bytes = fields.queue("queue");
  if (fields.text("dials") == "destination") link.dials = Dials::destination;
  if (const Nanoseconds length = fields.duration("cut_for"); length > Nanoseconds::zero())
    link.cut = CutSpec{.after = fields.duration("cut_after"), .length = length};
  else if (fields.has("cut_after"))
    fields.refuse("cut_after", "of a link that is never cut: say `cut_for` too");
  if (const std::string engine = fields.text("engine"); engine != "auto")
    link.engine = engine_of(engine);
  if (fields.text("idle") == "sleep") link.idle = IdleCpus::sleep;
  return link;
}

ApproachSpec parse_approach(const SuiteSource& source, const SuiteNode& node) {
  const Fields fields(source.file, node, key_table("approaches"));
  ApproachSpec approach;
  approach.at = node.at;
  approach.use = fields.text("use");
  approach.as = fields.has("as") ? fields.text("as") : std::string(label_of(approach.use));
  const SyncStrategy* strategy = source.known.find(approach.use);
  if (!strategy) {
    std::string names;
    for (const std::string& name : source.known.names) names += " " + name;
    fields.refuse("use", "there is no approach '" + approach.use + "'" +
                             did_you_mean(approach.use, source.known.names) +
                             "; there are:" + names);
  }
  if (const SuiteNode* with = fields.given("with"))
    check_options(source, *strategy, *with, approach);
  approach.cpu = fields.cpu("cpu");
  return approach;
}

StrategyDirectory registered_strategies() {
  StrategyDirectory directory{.find = find_strategy, .names = {}};
  for (const SyncStrategy* strategy : all_strategies())
    directory.names.emplace_back(strategy->info().name);
  return directory;
}

Suite parse_suite(const std::string& text, const std::string& path,
                  const StrategyDirectory& known) {
  const SuiteNode root = read_document(text, path);
  if (root.kind == SuiteNode::Kind::nothing) throw SuiteError(path, {1, 1}, "the suite is empty");
  const Fields fields(path, root, key_table(""));
  const SuiteSource source{path, known};
  fields.count("schema");
  Suite suite;
  suite.path = path;
  suite.text = text;
  suite.name = fields.text("suite");
  suite.question = fields.text("question");
  suite.hypothesis = fields.text("hypothesis");
  suite.seed = fields.count("seed");
  suite.reps = static_cast<unsigned>(fields.count("reps"));
  suite.warmup = static_cast<unsigned>(fields.count("warmup"));
  suite.timeout = fields.duration("timeout");
  suite.placement = read_placement(path, fields);
  suite.workloads = read_items(source, fields, "workloads", &Workload::name, parse_workload);
  suite.links = read_items(source, fields, "links", &LinkSpec::name, parse_link);
  suite.approaches = read_items(source, fields, "approaches", &ApproachSpec::as, parse_approach);
  check_engines(path, suite.links);
  if (const SuiteNode* exclusions = fields.given("exclude"))
    for (const SuiteNode& node : exclusions->items)
      suite.exclusions.push_back(read_exclusion(suite, Fields(path, node, key_table("exclude"))));
  if (const SuiteNode* demands = fields.given("demands"))
    suite.demands = parse_demands(source, suite, *demands);
  return suite;
}

}  // namespace memsync
