// The verbs of the command line. Each function adds one to the program; what it sets in `run` is
// called after all flags were read, and returns the exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace sumi::cli {

using Run = std::function<int()>;

void add_chat(CLI::App& app, Run& run);
void add_generate(CLI::App& app, Run& run);
void add_complete(CLI::App& app, Run& run);
void add_tokenize(CLI::App& app, Run& run);
void add_inspect(CLI::App& app, Run& run);
void add_perplexity(CLI::App& app, Run& run);
void add_embed(CLI::App& app, Run& run);
void add_image(CLI::App& app, Run& run);
void add_convert(CLI::App& app, Run& run);
void add_condition(CLI::App& app, Run& run);
void add_train(CLI::App& app, Run& run);
void add_merge(CLI::App& app, Run& run);
void add_data(CLI::App& app, Run& run);
void add_plot(CLI::App& app, Run& run);
void add_bench(CLI::App& app, Run& run);

}  // namespace sumi::cli
