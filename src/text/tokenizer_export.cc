#include "text/tokenizer_export.h"

#include "base/error.h"
#include "text/gguf_pre.h"
#include "text/plain_export.h"
#include "text/pre_tokenizer.h"
#include "text/sentencepiece.h"
#include "text/tokenizer_gguf.h"
#include "text/unicode.h"
#include "text/unigram_export.h"

namespace sumi::text {

namespace {

constexpr const char* kComposed = "cafe\xcc\x81 au lait";  // NFC makes one letter of two

// Each line is tried by itself and all together.
constexpr const char* kProbe[] = {
    "Hello, world! It's 3.14159 and 2024-12-31; they'll've cost $1,234,567.",
    "  leading, \ttabs\t and   runs    of spaces  ",
    "def f(x):\n    return x**2  # squared\n\n\n\tif (a!=b && c<=d) { i++; }\r\n",
    "日本語のテキスト、中文文本。한국어 текст ελληνικά עברית العربية ไทย",
    "naïve café Ünïcödé ½ ² 🙂👩‍👩‍👧 \xc2\xa0",
    kComposed,
    "Thank you <extra_id_0> me to your party <extra_id_1> week.",  // T5's, special or not
    "CamelCaseWords snake_case_words UPPER lower123mixed456 7 89 000",
};

bool is_nfc(const Json& config) {
  const Json* normalizer = find_field(config, "normalizer");
  return normalizer && normalizer->is_object() && normalizer->value("type", "") == "NFC";
}

std::string as_symbols(const std::string& text) {
  std::string symbols;
  for (const char c : text) symbols += byte_symbol(static_cast<uint8_t>(c));
  return symbols;
}

std::vector<std::string> cut(const PreTokenizer& pre_tokenizer, const std::string& text,
                             bool make_symbols) {
  std::vector<Piece> pieces = {{text, true}};
  pre_tokenizer.apply(&pieces);
  std::vector<std::string> texts;
  for (const Piece& piece : pieces)
    texts.push_back(make_symbols ? as_symbols(piece.text) : piece.text);
  return texts;
}

// A token that merges alone do not make; "" if there is none.
std::string unmerged_token(const Json& model, const std::string& where) {
  Json merging = model;
  merging["ignore_merges"] = false;
  const JsonTokenizer tokenizer(Json{{"model", merging}}, where);
  for (const auto& [text, id] : require_object(model, "vocab", where).items())
    if (tokenizer.encode(text, {}) != std::vector<int32_t>{id.get<int32_t>()}) return text;
  return "";
}

// The name under which GGUF knows a pre-tokenizer that cuts like this one; "" if there is none.
std::string name_of_cuts(const Json& config, bool ignore_merges, const std::string& where) {
  const auto own = make_pre_tokenizer(require_field(config, "pre_tokenizer", where),
                                      where + " pre_tokenizer");
  const char* names[] = {"gpt-2",        "llama-bpe",      "dbrx",        "glm4",   "starcoder",
                         "qwen2",        "deepseek-llm",   "deepseek-v3", "falcon", "tekken",
                         "gpt-4o",       "deepseek-coder", "bloom",       "viking", "bailingmoe",
                         "seed-coder",   "qwen35",         "default"};
  for (const char* name : names) {
    const GgufPre pre = gguf_pre_tokenizer(name, where);
    const auto candidate = make_regex_splits(pre.patterns, where);
    bool same = pre.ignore_merges == ignore_merges;
    for (const char* text : kProbe)
      same = same && cut(*own, text, false) == cut(*candidate, text, true);
    if (same) return name;
  }
  return "";
}

std::string pre_tokenizer_name(const Json& config, const std::string& where) {
  const Json& model = require_field(config, "model", where);
  const bool ignore_merges = optional_bool(model, "ignore_merges", false, where);
  std::string name = name_of_cuts(config, ignore_merges, where);
  // Where merges make every token, it is the same whether a piece that is a token is merged or not.
  if (name.empty() && ignore_merges && !(name = name_of_cuts(config, false, where)).empty())
    if (const std::string token = unmerged_token(model, where); !token.empty())
      fail("{}: no merges make the token {}, and GGUF's pre-tokenizer {} has merges make all", where,
           token, name);
  if (name.empty())
    fail("{}: pre_tokenizer: GGUF has no name for one that cuts like this", where);
  return name;
}

void write_merges(const Json& model, const std::string& where, formats::GgufWriter* writer) {
  std::vector<std::string> lines;
  for (const Json& merge : require_array(model, "merges", where)) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
      lines.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    else if (merge.is_string())
      lines.push_back(merge);
    else
      fail("{}: merges: expected pairs of strings, found {}", where, merge.type_name());
  }
  writer->set_strings("tokenizer.ggml.merges", lines);
}

// SentencePiece's scores: the earlier a merge, the higher the score of what it makes. A piece that
// no merge makes gets the lowest, so that pieces are merged to it last.
void write_scores(const Json& model, const Tokenizer& tokenizer, int64_t vocab_size,
                  const std::string& where, formats::GgufWriter* writer) {
  const Json& merges = require_array(model, "merges", where);
  std::vector<float> scores(static_cast<size_t>(vocab_size),
                            -static_cast<float>(merges.size()) - 1);
  for (size_t rank = merges.size(); rank-- > 0;) {
    std::string piece;
    if (merges[rank].is_array()) {
      for (const Json& part : merges[rank]) piece += part.get<std::string>();
    } else {
      piece = merges[rank].get<std::string>();
      piece.erase(piece.find(' ', 1), 1);
    }
    if (const auto id = tokenizer.find_token(piece))
      scores[static_cast<size_t>(*id)] = -static_cast<float>(rank);
  }
  writer->set_float32s("tokenizer.ggml.scores", scores);
}

bool is_byte_token(const std::string& text) {
  return text.size() == 6 && text.compare(0, 3, "<0x") == 0 && text.back() == '>';
}

void write_vocabulary(const Json& config, const Tokenizer& tokenizer, int64_t vocab_size,
                      bool byte_fallback, const std::string& where, formats::GgufWriter* writer) {
  std::vector<std::string> texts(static_cast<size_t>(vocab_size));
  std::vector<int32_t> kinds(static_cast<size_t>(vocab_size),
                             static_cast<int32_t>(TokenKind::unused));
  const auto put = [&](const std::string& text, TokenKind kind) {
    const auto id = tokenizer.find_token(text);
    if (!id) return;  // files name tokens that the vocabulary lacks
    if (*id >= vocab_size)
      fail("{}: token {} has id {}, beyond the model's vocabulary of {}", where, text, *id,
           vocab_size);
    texts[static_cast<size_t>(*id)] = text;
    kinds[static_cast<size_t>(*id)] = static_cast<int32_t>(kind);
  };
  const Json& model = require_field(config, "model", where);
  for (const auto& [text, id] : require_object(model, "vocab", where).items())
    put(text, byte_fallback && is_byte_token(text) ? TokenKind::byte : TokenKind::normal);
  if (const Json* added = find_field(config, "added_tokens"))
    for (const Json& token : *added)
      put(require_string(token, "content", where),
          optional_bool(token, "special", false, where) ? TokenKind::control
                                                        : TokenKind::user_defined);
  if (tokenizer.unk_id && byte_fallback)
    kinds[static_cast<size_t>(*tokenizer.unk_id)] = static_cast<int32_t>(TokenKind::unknown);
  for (size_t id = 0; id < texts.size(); ++id)
    if (texts[id].empty()) texts[id] = fmt::format("[PAD{}]", id);
  writer->set_strings("tokenizer.ggml.tokens", texts);
  writer->set_int32s("tokenizer.ggml.token_type", kinds);
}

// True if NFC is lost.
bool write_bpe(const Json& config, const std::string& where, const Tokenizer& tokenizer,
               int64_t vocab_size, formats::GgufWriter* writer) {
  const Json& model = require_field(config, "model", where);
  const std::string type = optional_string(model, "type", "BPE", where);
  if (type != "BPE")
    fail("{}: model: converting {} to GGUF is not known, only BPE and Unigram", where, type);
  const bool sentence_piece = optional_bool(model, "byte_fallback", false, where);
  writer->set_string("tokenizer.ggml.model", sentence_piece ? "llama" : "gpt2");
  writer->set_string("tokenizer.ggml.pre",
                     sentence_piece ? "default" : pre_tokenizer_name(config, where));
  write_vocabulary(config, tokenizer, vocab_size, sentence_piece, where, writer);
  if (sentence_piece) {
    write_scores(model, tokenizer, vocab_size, where, writer);
    const std::vector<int32_t> ids = tokenizer.encode("x", {.add_special = false});
    writer->set_bool("tokenizer.ggml.add_space_prefix",
                     !ids.empty() && tokenizer.token_text(ids[0]).rfind("▁", 0) == 0);
  } else {
    write_merges(model, where, writer);
  }
  return is_nfc(config);
}

// True if NFC is lost.
bool write_merging(const std::string& folder, const Tokenizer& tokenizer, int64_t vocab_size,
                   formats::GgufWriter* writer) {
  if (!formats::file_exists(folder + "/tokenizer.json") &&
      find_plain_vocabulary(folder) == kRwkvVocabulary)
    fail("{}/{}: GGUF has no such tokenizer that llama.cpp reads beside a decoder", folder,
         kRwkvVocabulary);
  TokenizerFolder read = read_tokenizer_folder(folder);
  const std::string& where = read.files.name;
  if (const TokenModel* model = read.files.parts.model.get()) {
    const std::string bytes = formats::read_text_file(where);
    if (is_sentencepiece(bytes)) {
      write_gguf_sentencepiece(read, where, tokenizer, vocab_size, writer);
      return false;
    }
    if (find_plain_vocabulary(folder) == "vocab.txt")
      fail("{}: converting WordPiece to GGUF is not known, only BPE and Unigram", where);
    read.files.description["model"] = tiktoken_as_bpe(model->table());
  }
  return write_bpe(read.files.description, where, tokenizer, vocab_size, writer);
}

// What is put before and after every text.
struct Around {
  std::vector<int32_t> before, after;
};

Around around_text(const Tokenizer& tokenizer) {
  const std::vector<int32_t> plain = tokenizer.encode("x", {.add_special = false}),
                             whole = tokenizer.encode("x");
  const auto at = std::search(whole.begin(), whole.end(), plain.begin(), plain.end());
  return {{whole.begin(), at}, {at == whole.end() ? at : at + std::ssize(plain), whole.end()}};
}

}  // namespace

GgufTokenizerLoss write_gguf_tokenizer(const std::string& folder, const Tokenizer& tokenizer,
                                       int64_t vocab_size, formats::GgufWriter* writer) {
  GgufTokenizerLoss loss;
  const Around around = around_text(tokenizer);
  std::optional<int32_t> unknown = tokenizer.unk_id, end = tokenizer.eos_id;
  if (const auto unigram = folder_unigram(folder, tokenizer)) {
    write_gguf_unigram(*unigram, vocab_size, folder, writer);
    loss.bytes = unigram->byte_fallback;
    // Readers take T5's ids for those that a file leaves out.
    for (size_t id = 0; id < unigram->pieces.size(); ++id)
      if (unigram->pieces[id].type == SentencePieceModel::Type::unknown)
        unknown = static_cast<int32_t>(id);
    if (!end && !around.after.empty()) end = around.after.back();
  } else {
    loss.nfc = write_merging(folder, tokenizer, vocab_size, writer);
  }
  const std::pair<const char*, std::optional<int32_t>> ids[] = {{"bos", tokenizer.bos_id},
                                                                {"eos", end},
                                                                {"unknown", unknown},
                                                                {"padding", tokenizer.pad_id}};
  for (const auto& [name, id] : ids)
    if (id)
      writer->set_uint32(fmt::format("tokenizer.ggml.{}_token_id", name),
                         static_cast<uint32_t>(*id));
  const bool one = around.before.size() == 1 && tokenizer.bos_id == around.before[0];
  writer->set_bool("tokenizer.ggml.add_bos_token", one);
  if (!one && !around.before.empty()) {
    writer->set_int32s(kGgufPrefixIds, around.before);
    loss.prefix = true;
  }
  writer->set_bool("tokenizer.ggml.add_eos_token",
                   around.after.size() == 1 && end == around.after[0]);
  if (!tokenizer.chat_template.empty())
    writer->set_string("tokenizer.chat_template", tokenizer.chat_template);
  return loss;
}

void check_same_tokenizer(const Tokenizer& expected, const Tokenizer& found,
                          const std::string& name, bool nfc_lost) {
  std::string all;
  for (const char* text : kProbe) {
    if (nfc_lost && text == kComposed) continue;
    all += text;
    for (const std::string& probe : {std::string(text), all})
      if (expected.encode(probe) != found.encode(probe))
        fail("{}: the new form cannot express this tokenizer: it would give other ids for \"{}\"", name,
             probe);
  }
}

std::string llama_cpp_difference(const Tokenizer& expected, const formats::GgufFile& file) {
  const GgufTokenizer found(file, true);
  const EncodeOptions plain = {.add_special = false};
  std::vector<std::string> probes(std::begin(kProbe), std::end(kProbe));
  if (expected.eos_id) probes.push_back("x" + expected.token_text(*expected.eos_id) + "x");
  for (const std::string& probe : probes)
    if (expected.encode(probe, plain) != found.encode(probe, plain)) return probe;
  return "";
}

}  // namespace sumi::text
