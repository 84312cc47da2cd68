#include "harness/use_commands.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "approaches/mmap_push/settings.h"
#include "lib/region/quantity.h"

namespace memsync {

namespace {

// Of userfaultfd's options, those that mean something where nobody takes the region over.
constexpr std::array kFaultOptions = {"prefetch",   "around",   "trace",      "first",
                                      "background", "unit",     "window",     "deadline",
                                      "handler",    "handlers", "handler_cpu"};

// Of mmap_push's options, those that a push by hand takes as they are.
constexpr std::array kPushOptions = {"hash", "workers", "consistency", "compress"};

std::string help_of(const OptionSpec& spec) {
  std::string help(spec.help);
  if (!spec.choices.empty()) help += ": " + std::string(spec.choices);
  return help + " [" + std::string(spec.default_value) + "]";
}

enum class Ends : uint8_t { dials, listens, either };

void declare_tls(CLI::App* verb, TlsOptions& options, Ends ends) {
  verb->add_option("--tls", options.folder,
                   "a folder with ca.pem, cert.pem and key.pem (memsync ca makes them): TLS 1.3, "
                   "both ends show a certificate");
  if (ends != Ends::listens)
    verb->add_option("--tls-name", options.peer_name,
                     "the name that the other end's certificate must have [the host dialled]");
  if (ends != Ends::dials)
    verb->add_option("--policy", options.policy,
                     "a file that says which certificate may do what (YAML)");
}

constexpr const char* kCleartext =
    "Without --tls nothing is encrypted: then use a tunnel beyond this machine (ssh -L).";

}  // namespace

void declare_serve(CLI::App& app, ServeOptions& options) {
  auto* serve =
      app.add_subcommand("serve", "serve a file's bytes as a region, to read, until Ctrl-C");
  serve
      ->add_option("name", options.name,
                   "a file, whose size is the region's; or http(s)://…; or memory, zero, pattern")
      ->required();
  serve->add_option_function<std::string>(
      "--size", [&options](const std::string& size) { options.size_bytes = parse_bytes(size); },
      "of memory, zero and pattern, like 1GiB");
  serve->add_option("--seed", options.seed, "of pattern [1]");
  serve->add_option("--listen", options.listen,
                    "ADDRESS:PORT (port 0: a free one) or unix:PATH; the address that it becomes "
                    "is printed [" +
                        options.listen + "]");
  serve->add_flag_callback(
      "--read-only", [] {}, "the default: clients read, and nobody takes the region over");
  declare_tls(serve, options.tls, Ends::listens);
  serve->add_flag("--json", options.json, "print the address and the size as one line of JSON");
  serve->footer(
      std::string(
          "Example: memsync serve model.bin --listen 192.0.2.1:7000 --tls keys/192.0.2.1\n") +
      kCleartext);
}

void declare_pull(CLI::App& app, PullOptions& options) {
  auto* pull = app.add_subcommand("pull",
                                  "use what `memsync serve`, or a web server, offers: in a "
                                  "program's memory, as a file, at a socket");
  pull->add_option("address", options.address, "what serve printed, or http(s)://…")->required();
  pull->add_option("--out", options.out,
                   "bring everything into this file; prints its XXH3-128 digest");
  pull->add_option("--socket", options.socket,
                   "answer the page faults of programs that hand theirs over at this UNIX socket");
  pull->add_option("--dialect", options.dialect, "what they speak at the socket [memsync]")
      ->check(CLI::IsMember({"memsync", "userfaultfd-go"}));
  for (const OptionSpec& spec : userfaultfd::option_specs()) {
    if (std::ranges::find(kFaultOptions, spec.name) == kFaultOptions.end()) continue;
    pull->add_option_function<std::string>(
        "--" + std::string(spec.name),
        [&options, name = std::string(spec.name)](const std::string& value) {
          options.faults[name] = value;
        },
        help_of(spec));
  }
  declare_tls(pull, options.tls, Ends::dials);
  pull->add_flag("--json", options.json, "say what came as one line of JSON");
  pull->footer(
      "Examples:\n"
      "  memsync pull 192.0.2.1:7000 -- python3 analyse.py {}    {} becomes a file to map; only "
      "touched pages travel\n"
      "  memsync pull 192.0.2.1:7000 --out model.bin\n"
      "  memsync pull https://example.org/model.bin --prefetch trace --trace ./model.trace -- "
      "./infer {}\n"
      "  memsync pull 192.0.2.1:7000 --socket /tmp/faults --dialect userfaultfd-go\n"
      "The command must map the file (mmap), to read; its exit code becomes ours. Ours: 4 bytes or "
      "the server\nare missing, 5 unsupported here, 64 usage, 130 interrupted.");
}

void declare_push(CLI::App& app, PushOptions& options) {
  auto* push = app.add_subcommand(
      "push", "bring files to a `memsync receive`, and of what changes only the changes");
  push->add_option("files", options.words,
                   "each PATH, or NAME=PATH to choose what it is called there; then what receive "
                   "printed")
      ->option_text("FILE... ADDRESS");
  push->add_flag("--once", options.once, "one round, then end: the default");
  push->add_option("--interval", options.interval,
                   "rounds that often, like 1s, until Ctrl-C, which makes a last one");
  const auto add_knob = [&](const char* name, const std::string& help) {
    push->add_option_function<std::string>(
        "--" + std::string(name),
        [&options, name](const std::string& value) { options.knobs[name] = value; }, help);
  };
  add_knob("detect",
           "how the source finds what was written, of ways that see whoever writes: hash compares "
           "hashes, shadow with a copy in memory; mtime and inotify with --writers file-calls "
           "[hash]");
  add_knob("block", "the unit that is compared and sent [4KiB, more for files beyond 16GiB]");
  for (const OptionSpec& spec : mmap_push::option_specs())
    if (std::ranges::find(kPushOptions, spec.name) != kPushOptions.end())
      add_knob(spec.name.data(), help_of(spec));
  push->add_option(
          "--writers", options.writers,
          "who may change the files: any, or file-calls alone (write(2), truncate(2) ...), "
          "no store through a mapping [any]")
      ->check(CLI::IsMember({"any", "file-calls"}));
  push->add_option("--patience", options.patience,
                   "how long a connection that has broken is tried again [60s]");
  push->add_flag("--verify", options.verify,
                 "at the end both sides read everything again; what differs comes once more");
  declare_tls(push, options.tls, Ends::dials);
  push->add_flag("--json", options.json, "say what was moved as one line of JSON");
  push->footer(
      std::string("Examples:\n"
                  "  memsync push big.img db.sqlite 192.0.2.1:7001\n"
                  "  memsync push logs/today=/var/log/app.log 192.0.2.1:7001 --interval 1s\n"
                  "  memsync push disk.img unix:/run/inbox --verify --compress zstd\n"
                  "A file may grow, shrink, be replaced or go away meanwhile. Exit codes: 4 a file "
                  "could not "
                  "be "
                  "kept equal,\n64 usage, 130 interrupted before it was.\n") +
      kCleartext);
}

void declare_receive(CLI::App& app, ReceiveOptions& options) {
  auto* receive = app.add_subcommand(
      "receive", "keep the files that `memsync push` or a `memsync hub` brings, until Ctrl-C");
  receive
      ->add_option("words", options.words,
                   "where to, a folder that is there; before it the address of a hub to dial")
      ->option_text("[HUB] DIR")
      ->required()
      ->expected(1, 2);
  receive->add_option("--listen", options.listen,
                      "without a hub: ADDRESS:PORT (port 0: a free one) or unix:PATH; the address "
                      "that it becomes is printed [127.0.0.1:0]");
  receive
      ->add_option("--publish", options.publish,
                   "what a reader sees of a round: all or nothing, by two files that change places "
                   "(versions), or its blocks as they come (in_place) [versions]")
      ->check(CLI::IsMember({"versions", "in_place"}));
  receive->add_flag("--durable", options.durable,
                    "a version is on the disk before its readers see it");
  receive->add_flag("--once", options.once,
                    "end when the first pusher has ended; of a hub: when all that it has has come, "
                    "one file at least");
  receive->add_option("--patience", options.patience,
                      "how long a hub that has gone is tried again [60s]");
  declare_tls(receive, options.tls, Ends::either);
  receive->add_flag("--json", options.json, "print the address and each version as lines of JSON");
  receive->footer(
      "Examples:\n"
      "  memsync receive inbox --listen 192.0.2.1:7001\n"
      "  memsync receive 192.0.2.1:7002 inbox               what the hub there has, now and later\n"
      "Several may push at once, each its own files. Beside FILE lies .memsync-spare.FILE, the "
      "next "
      "version in the\nmaking.\n" +
      std::string(kCleartext));
}

void declare_certificates(CLI::App& app, CertificatesOptions& options) {
  auto* ca = app.add_subcommand(
      "ca", "make a CA of your own and certificates of hosts: folders for --tls");
  ca->add_option("folder", options.folder,
                 "where ca.pem and its key are, or shall be; keep ca-key.pem to yourself")
      ->required();
  ca->add_option(
        "--name", options.names,
        "HOST or HOST,OTHER NAME,IP ADDRESS...: makes FOLDER/HOST, to be copied there; may "
        "be repeated")
      ->allow_extra_args(false);
  ca->add_option("--revoke", options.revoked,
                 "HOST: its certificate goes on the list, crl.pem, of each host's folder")
      ->allow_extra_args(false);
  ca->add_option("--days", options.days, "how long hosts' certificates are good [825]")
      ->check(CLI::Range(uint64_t{1}, uint64_t{36'500}));
  ca->footer(
      "Example:\n"
      "  memsync ca keys --name files.example,192.0.2.1 --name laptop\n"
      "  scp -r keys/files.example files.example:keys      and keys/laptop to the laptop\n"
      "  memsync receive inbox --listen 192.0.2.1:7001 --tls keys         there\n"
      "  memsync push big.img 192.0.2.1:7001 --tls keys                   on the laptop\n"
      "A host's name again gives it a new certificate; who uses the folder takes it without a "
      "restart.");
}

void declare_hub(CLI::App& app, HubOptions& options) {
  auto* hub = app.add_subcommand(
      "hub", "forward what `memsync push` brings to every `memsync receive HUB DIR`, until Ctrl-C");
  hub->add_option("folder", options.folder, "where the files are kept, a folder that is there")
      ->option_text("DIR");
  hub->add_option("--listen", options.listen,
                  "ADDRESS:PORT (port 0: a free one) or unix:PATH; the address that it becomes is "
                  "printed [127.0.0.1:0]");
  hub->add_option("--status", options.status,
                  "of the hub at this address: which receiver has which version of what, and end");
  hub->add_option("--topology", options.topology,
                  "dynamic: receivers digest what they hold, and one that joins or comes back gets "
                  "what it lacks; static: the source and the hub alone digest, receivers just "
                  "write, and one that joins or comes back gets all of it [dynamic]")
      ->check(CLI::IsMember({"dynamic", "static"}));
  hub->add_option("--compress", options.compress, "what goes to receivers: off, zstd [off]")
      ->check(CLI::IsMember({"off", "zstd"}));
  hub->add_flag("--durable", options.durable,
                "a version is on the disk before it is acknowledged or forwarded");
  declare_tls(hub, options.tls, Ends::either);
  hub->add_flag("--json", options.json, "print what happens, or the status, as lines of JSON");
  hub->footer(
      "Examples:\n"
      "  memsync hub /srv/hub --listen 192.0.2.1:7002\n"
      "  memsync push big.img 192.0.2.1:7002 --interval 1s      at the source; once, however many "
      "receive\n"
      "  memsync receive 192.0.2.1:7002 inbox                   at each receiver\n"
      "  memsync hub --status 192.0.2.1:7002\n"
      "  memsync hub /srv/hub --listen 192.0.2.1:7002 --tls keys --policy policy.yaml\n"
      "A push is acknowledged when the hub has published it in its folder; --status says who has "
      "it.\n" +
      std::string(kCleartext));
}

std::vector<std::string> take_command(int& argc, char** argv) {
  if (argc < 2 || std::string_view(argv[1]) != "pull") return {};
  char** const end = argv + argc;
  char** const dashes = std::find(argv, end, std::string_view("--"));
  if (dashes == end) return {};
  argc = static_cast<int>(dashes - argv);
  return {dashes + 1, end};
}

}  // namespace memsync
