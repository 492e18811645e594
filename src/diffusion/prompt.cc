#include "diffusion/prompt.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "diffusion/layout.h"

namespace sumi::diffusion {

namespace {

constexpr float kLargestWeight = 16;


// The matching parenthesis of the one at `open`, or npos.
size_t matching(const std::string& text, size_t open) {
  int depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '(') {
      ++depth;
    } else if (text[i] == ')' && --depth == 0) {
      return i;
    }
  }
  return std::string::npos;
}

// The last colon of the group itself, not of one inside; npos if there is none.
size_t last_colon(const std::string& text, size_t open, size_t end) {
  size_t found = std::string::npos;
  int depth = 0;
  for (size_t i = open + 1; i < end; ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '(') {
      ++depth;
    } else if (text[i] == ')') {
      --depth;
    } else if (text[i] == ':' && depth == 0) {
      found = i;
    }
  }
  return found;
}

bool parse_number(const std::string& text, float* value) {
  const size_t begin = text.find_first_not_of(' '), last = text.find_last_not_of(' ');
  if (begin == std::string::npos) return false;
  const char* end = text.data() + last + 1;
  const auto [stop, error] = std::from_chars(text.data() + begin, end, *value);
  return error == std::errc() && stop == end;
}

void parse(const std::string& text, float weight, std::vector<PromptPart>* parts) {
  std::string plain;
  const auto flush = [&] {
    if (!plain.empty()) parts->push_back({plain, weight});
    plain.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '(' || text[i + 1] == ')')) {
      plain += text[++i];
      continue;
    }
    const size_t end = text[i] == '(' ? matching(text, i) : std::string::npos;
    const size_t colon = end != std::string::npos ? last_colon(text, i, end) : std::string::npos;
    float factor = 0;
    if (colon == std::string::npos || !parse_number(text.substr(colon + 1, end - colon - 1), &factor)) {
      plain += text[i];  // an ordinary parenthesis
      continue;
    }
    if (!(std::fabs(factor) <= kLargestWeight))
      fail("prompt: weight {} of \"{}\": expected -{} to {}", factor, text.substr(i, end - i + 1),
           kLargestWeight, kLargestWeight);
    flush();
    parse(text.substr(i + 1, colon - i - 1), weight * factor, parts);
    i = end;
  }
  flush();
}

int32_t required_id(const std::optional<int32_t>& id, const char* what, int64_t vocab_size) {
  if (!id) fail("the tokenizer of the text encoder has no {} token", what);
  if (*id < 0 || *id >= vocab_size)
    fail("the tokenizer's {} token is {}, the text encoder's vocabulary has {}", what, *id,
         vocab_size);
  return *id;
}

// Tokens of a text, one row each.
struct Row {
  int32_t id;
  float weight;
};

class Rows {
 public:
  Rows(const text::Tokenizer& tokenizer, int64_t vocab_size, const Concepts& concepts,
       PromptTokens* tokens)
      : tokenizer_(tokenizer), vocab_size_(vocab_size), concepts_(concepts), tokens_(tokens) {}

  void add(const PromptPart& part) {
    std::string_view rest = part.text;
    while (!rest.empty()) {
      size_t first = std::string_view::npos;
      const Concepts::value_type* found = nullptr;
      for (const auto& entry : concepts_) {  // the first; of those at one place the longest
        const size_t at = rest.find(entry.first);
        if (at == std::string_view::npos) continue;
        if (at < first || (at == first && entry.first.size() > found->first.size())) {
          first = at;
          found = &entry;
        }
      }
      add_plain(rest.substr(0, first), part.weight);
      if (found == nullptr) return;
      for (int64_t i = 0; i < found->second.size(0); ++i) {
        tokens_->vectors.push_back(found->second.rows(i, 1));
        rows.push_back({-static_cast<int32_t>(tokens_->vectors.size()), part.weight});
      }
      rest.remove_prefix(first + found->first.size());
    }
  }

  std::vector<Row> rows;

 private:
  void add_plain(std::string_view text, float weight) {
    text::EncodeOptions options;
    options.add_special = false;
    for (const int32_t id : tokenizer_.encode(text, options)) {
      if (id < 0 || id >= vocab_size_)
        fail("the tokenizer gives token {}, the text encoder's vocabulary has {}", id, vocab_size_);
      rows.push_back({id, weight});
    }
  }

  const text::Tokenizer& tokenizer_;
  int64_t vocab_size_;
  const Concepts& concepts_;
  PromptTokens* tokens_;
};

void check_length(int64_t length) {
  if (length < 3) fail("the text encoder reads {} tokens, expected 3 or more", length);
}

// The rows in `chunks` chunks, each between a start and an end; what does not fit is left out.
void fill_chunks(const text::Tokenizer& tokenizer, const std::vector<Row>& rows, int64_t length,
                 int64_t vocab_size, int64_t chunks, PromptTokens* tokens) {
  std::optional<int32_t> first_id = tokenizer.bos_id, last_id = tokenizer.eos_id;
  if (!first_id || !last_id) {  // BERT's [CLS] and [SEP]
    const std::vector<int32_t> around = tokenizer.encode("");
    if (around.size() == 2) first_id = around[0], last_id = around[1];
  }
  const int32_t begin = required_id(first_id, "start", vocab_size),
                end = required_id(last_id, "end", vocab_size),
                padding = required_id(tokenizer.pad_id ? tokenizer.pad_id : last_id,
                                      "padding", vocab_size);
  const int64_t inner = length - 2, count = static_cast<int64_t>(rows.size());
  tokens->chunks = chunks;
  const auto push = [&](int32_t id, float weight) {
    tokens->ids.push_back(id);
    tokens->weights.push_back(weight);
  };
  for (int64_t chunk = 0; chunk < tokens->chunks; ++chunk) {
    push(begin, 1);
    const int64_t first = chunk * inner, last = std::min(count, first + inner);
    for (int64_t i = first; i < last; ++i)
      push(rows[static_cast<size_t>(i)].id, rows[static_cast<size_t>(i)].weight);
    push(end, 1);
    tokens->lengths.push_back(static_cast<int64_t>(tokens->ids.size()) - chunk * length);
    while (static_cast<int64_t>(tokens->ids.size()) < (chunk + 1) * length) push(padding, 1);
  }
}

double mean_of(const Tensor& x) {
  double sum = 0;
  for (int64_t i = 0; i < x.numel(); ++i) sum += x.f32()[i];
  return sum / static_cast<double>(x.numel());
}

}  // namespace

std::vector<PromptPart> parse_weights(const std::string& prompt) {
  std::vector<PromptPart> parts;
  parse(prompt, 1, &parts);
  return parts;
}

PromptTokens tokenize_prompt(const text::Tokenizer& tokenizer, const std::string& prompt,
                             int64_t length, int64_t vocab_size, int64_t min_chunks,
                             const Concepts& concepts) {
  check_length(length);
  PromptTokens tokens;
  Rows rows(tokenizer, vocab_size, concepts, &tokens);
  for (const PromptPart& part : parse_weights(prompt)) {
    rows.add(part);
    tokens.weighted = tokens.weighted || part.weight != 1;
  }
  const int64_t inner = length - 2, count = static_cast<int64_t>(rows.rows.size());
  fill_chunks(tokenizer, rows.rows, length, vocab_size,
              std::max({min_chunks, int64_t{1}, (count + inner - 1) / inner}), &tokens);
  return tokens;
}

PromptTokens plain_prompt(const text::Tokenizer& tokenizer, const std::string& prompt,
                          int64_t length, int64_t vocab_size) {
  check_length(length);
  const Concepts none;
  PromptTokens tokens;
  Rows rows(tokenizer, vocab_size, none, &tokens);
  rows.add({prompt, 1});
  fill_chunks(tokenizer, rows.rows, length, vocab_size, 1, &tokens);
  return tokens;
}

namespace {

Tensor ids_of(const PromptTokens& tokens) {
  std::vector<int32_t> ids = tokens.ids;
  for (int32_t& id : ids) id = std::max(id, 0);
  return Tensor::from_ids(ids, {tokens.chunks, static_cast<int64_t>(ids.size()) / tokens.chunks});
}

// [chunks, length, hidden size], with the learned ones.
Tensor embeddings_of(const models::TextEncoder& encoder, const PromptTokens& tokens) {
  const int64_t hidden = encoder.hidden_size();
  Tensor embeddings = encoder.token_embeddings(ids_of(tokens));
  for (size_t i = 0; i < tokens.ids.size(); ++i) {
    const int32_t id = tokens.ids[i];
    if (id >= 0) continue;
    const Tensor& vector = tokens.vectors[static_cast<size_t>(-1 - id)];
    std::copy_n(vector.f32(), hidden, embeddings.f32() + static_cast<int64_t>(i) * hidden);
  }
  return embeddings;
}

}  // namespace

Tensor pooled_prompt(const models::TextEncoder& encoder, const PromptTokens& tokens) {
  return encoder.pooled(ids_of(tokens).rows(0, 1), embeddings_of(encoder, tokens).rows(0, 1));
}

namespace {

// Multiplies the states of a prompt's tokens [tokens, width] by their weights.
void apply_weights(const PromptTokens& tokens, Tensor& states) {
  const int64_t width = states.size(1);
  const double before = mean_of(states);
  for (int64_t i = 0; i < states.size(0); ++i)
    for (int64_t c = 0; c < width; ++c) states.f32()[i * width + c] *= tokens.weights[static_cast<size_t>(i)];
  const auto factor = static_cast<float>(before / mean_of(states));
  if (!std::isfinite(factor)) return;
  for (int64_t i = 0; i < states.numel(); ++i) states.f32()[i] *= factor;
}

}  // namespace

std::vector<Tensor> encode_prompts(const models::TextEncoder& encoder, const std::vector<const PromptTokens*>& prompts,
                                   int64_t clip_skip, bool penultimate) {
  std::vector<Tensor> embedded, parts;
  std::vector<int64_t> lengths;  // of all chunks
  for (const PromptTokens* tokens : prompts) {
    embedded.push_back(embeddings_of(encoder, *tokens));
    lengths.insert(lengths.end(), tokens->lengths.begin(), tokens->lengths.end());
  }
  const Tensor embeddings = concat_first(embedded);
  const auto chunks = static_cast<int64_t>(lengths.size());
  for (int64_t begin = 0, end = 0; begin < chunks; begin = end) {
    const int64_t length = lengths[static_cast<size_t>(begin)];
    for (end = begin + 1; end < chunks && (!encoder.masks_padding() || lengths[static_cast<size_t>(end)] == length);) ++end;
    const Tensor batch = embeddings.rows(begin, end - begin);
    parts.push_back(penultimate ? encoder.penultimate_states(batch, clip_skip) : encoder.states(batch, length, clip_skip));
  }
  const int64_t width = encoder.output_size();
  Tensor all = concat_first(parts);
  all = all.view({all.numel() / width, width});
  std::vector<Tensor> results;
  int64_t first = 0;
  for (const PromptTokens* tokens : prompts) {
    const auto count = static_cast<int64_t>(tokens->ids.size());
    Tensor states = all.rows(first, count);
    if (tokens->weighted) apply_weights(*tokens, states);
    results.push_back(states.view({1, count, width}));
    first += count;
  }
  return results;
}

Tensor encode_prompt(const models::TextEncoder& encoder, const PromptTokens& tokens, int64_t clip_skip, bool penultimate) {
  return encode_prompts(encoder, {&tokens}, clip_skip, penultimate)[0];
}

}  // namespace sumi::diffusion
