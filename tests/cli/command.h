// Runs the built program, and a small model with a tokenizer for it to run.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

namespace sumi::cli {

struct Outcome {
  int code = -1;
  std::string out, err;
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

// A folder that goes away with the test.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "sumi-cli-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void spill(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// `arguments` is for the shell, after the program's name; it may redirect the input and pipe the
// output. The cache and the history are in an empty folder.
inline Outcome run(const std::string& arguments, const std::string& before = "") {
  const Folder folder;
  const std::string command =
      before + " XDG_CACHE_HOME=" + folder.path() + " HF_HUB_CACHE=" + folder.path() +
      " XDG_STATE_HOME=" + folder.path() + " '" + SUMI_BINARY + "' " + arguments;
  const std::string script = folder / "command";
  spill(script, command + "\n");
  std::FILE* pipe = ::popen(
      ("bash -o pipefail " + script + " 2>" + (folder / "err") + " </dev/null").c_str(), "r");
  Outcome outcome;
  char buffer[4096];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, pipe))
    outcome.out.append(buffer, count);
  const int status = ::pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  outcome.err = slurp(folder / "err");
  return outcome;
}

// tests/data/language/llama with a tokenizer: id 0 <unk>, 1 <s>, 2 </s>, then the bytes of a
// newline, of a blank and of 33 to 126, and 33 bytes of characters that are not ASCII. Nothing is
// added to a text.
class ModelFolder : public Folder {
 public:
  explicit ModelFolder(const std::string& chat_template = kTemplate) {
    const std::string source = std::string(SUMI_TEST_DATA) + "/language/llama/";
    for (const char* name : {"config.json", "model.safetensors"})
      std::filesystem::copy_file(source + name, *this / name);
    nlohmann::json vocab = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}, {"\u010a", 3}, {"\u0120", 4}};
    int id = 5;
    for (char c = 33; c < 127; ++c) vocab[std::string(1, c)] = id++;
    for (int byte = 0xc3; id < 131; ++byte)  // byte-level BPE spells them as U+00C3 and so on
      vocab[std::string("\xc3") + static_cast<char>(byte - 0x40)] = id++;
    nlohmann::json added = nlohmann::json::array();
    for (const auto& [text, index] : {std::pair{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}})
      added.push_back({{"id", index},
                       {"content", text},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", true}});
    const nlohmann::json byte_level = {{"type", "ByteLevel"},
                                       {"add_prefix_space", false},
                                       {"trim_offsets", true},
                                       {"use_regex", true}};
    const nlohmann::json tokenizer = {{"version", "1.0"},
                                      {"truncation", nullptr},
                                      {"padding", nullptr},
                                      {"added_tokens", added},
                                      {"normalizer", nullptr},
                                      {"pre_tokenizer", byte_level},
                                      {"post_processor", nullptr},
                                      {"decoder", byte_level},
                                      {"model",
                                       {{"type", "BPE"},
                                        {"dropout", nullptr},
                                        {"unk_token", nullptr},
                                        {"continuing_subword_prefix", nullptr},
                                        {"end_of_word_suffix", nullptr},
                                        {"fuse_unk", false},
                                        {"byte_fallback", false},
                                        {"vocab", vocab},
                                        {"merges", nlohmann::json::array()}}}};
    spill(*this / "tokenizer.json", tokenizer.dump());
    nlohmann::json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                             {"bos_token", "<s>"},
                             {"eos_token", "</s>"},
                             {"unk_token", "<unk>"}};
    if (!chat_template.empty()) config["chat_template"] = chat_template;
    spill(*this / "tokenizer_config.json", config.dump());
  }

  static constexpr const char* kTemplate =
      "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}{{ eos_token }}{% endfor %}"
      "{% if add_generation_prompt %}a:{% endif %}";
};

}  // namespace sumi::cli
