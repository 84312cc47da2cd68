#include "harness/use_commands.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "lib/region/quantity.h"

namespace memsync {

namespace {

// Of userfaultfd's options, those that mean something where nobody takes the region over.
constexpr std::array kFaultOptions = {"prefetch",   "around",   "trace",      "first",
                                      "background", "unit",     "window",     "deadline",
                                      "handler",    "handlers", "handler_cpu"};

std::string help_of(const OptionSpec& spec) {
  std::string help(spec.help);
  if (!spec.choices.empty()) help += ": " + std::string(spec.choices);
  return help + " [" + std::string(spec.default_value) + "]";
}

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
  serve->add_flag("--json", options.json, "print the address and the size as one line of JSON");
  serve->footer(
      "Example: memsync serve model.bin --listen 192.0.2.1:7000\n"
      "Nothing is encrypted and whoever reaches the address may read: beyond this machine use a "
      "tunnel (ssh -L).");
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

std::vector<std::string> take_command(int& argc, char** argv) {
  if (argc < 2 || std::string_view(argv[1]) != "pull") return {};
  char** const end = argv + argc;
  char** const dashes = std::find(argv, end, std::string_view("--"));
  if (dashes == end) return {};
  argc = static_cast<int>(dashes - argv);
  return {dashes + 1, end};
}

}  // namespace memsync
