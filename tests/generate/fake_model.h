// A tiny language model and tokenizer whose answers can be worked out by hand.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "models/language/language_model.h"
#include "text/tokenizer.h"

namespace sumi::generate {

// Ids are bytes; 256 ends a text, 257 and 258 open a user's and an assistant's turn.
inline constexpr int32_t kEnd = 256, kUser = 257, kAssistant = 258, kVocab = 259;

class FakeTokenizer : public text::Tokenizer {
 public:
  FakeTokenizer() {
    eos_id = kEnd;
    end_ids = {kEnd};
    chat_template =
        "{% for m in messages %}{{ '<u>' if m.role != 'assistant' else '<a>' }}{{ m.content }}"
        "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}";
  }
  std::vector<int32_t> encode(std::string_view text, const text::EncodeOptions&) const override {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < text.size();) {
      const auto starts = [&](const char* word) { return text.substr(i, 3) == word; };
      const int32_t special = starts("<e>")   ? kEnd
                              : starts("<u>") ? kUser
                              : starts("<a>") ? kAssistant
                                              : -1;
      ids.push_back(special >= 0 ? special : static_cast<unsigned char>(text[i]));
      i += special >= 0 ? 3 : 1;
    }
    return ids;
  }
  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string text;
    for (const int32_t id : ids)
      if (id < kEnd || !skip_special) text += token_text(id);
    return text;
  }
  int64_t vocab_size() const override { return kVocab; }
  std::string token_text(int32_t id) const override {
    if (id < 0 || id >= kVocab) fail("no token {}", id);
    if (id == kEnd) return "<e>";
    if (id == kUser) return "<u>";
    if (id == kAssistant) return "<a>";
    return std::string(1, static_cast<char>(id));
  }
  std::optional<int32_t> find_token(std::string_view) const override { return std::nullopt; }
  bool is_special(int32_t id) const override { return id >= kEnd; }
};

class FakeState : public models::DecodeState {
 public:
  explicit FakeState(bool can_rewind) : can_rewind_(can_rewind) {}
  int64_t length() const override { return static_cast<int64_t>(ids.size()); }
  void truncate(int64_t length) override {
    if (!can_rewind_) fail("the state cannot go back");
    ids.resize(static_cast<size_t>(length));
  }
  bool can_truncate() const override { return can_rewind_; }
  size_t bytes() const override { return ids.size(); }
  std::unique_ptr<models::DecodeState> clone() const override { return std::make_unique<FakeState>(*this); }
  std::vector<int32_t> ids;

 private:
  bool can_rewind_;
};

// Whatever the prompt, `answer` follows byte by byte, then kEnd: the next token has logit 2, the
// one with the next higher id 1, all others 0. The answer starts after the last kAssistant, or
// after the first id.
class FakeModel : public models::LanguageModel {
 public:
  std::string answer = "ok";
  bool can_rewind = true;
  int64_t positions = 64;
  int64_t throw_at = -1;               // a forward that reaches this length fails
  mutable std::vector<int64_t> calls;  // ids in each forward call

  std::unique_ptr<models::DecodeState> new_state() const override {
    return std::make_unique<FakeState>(can_rewind);
  }
  Tensor forward(std::span<const int32_t> ids, models::DecodeState& state,
                 models::LogitsFor logits) const override {
    FakeState& fake = static_cast<FakeState&>(state);
    if (fake.length() + static_cast<int64_t>(ids.size()) > positions) fail("context exceeded");
    calls.push_back(static_cast<int64_t>(ids.size()));
    const size_t before = fake.ids.size();
    fake.ids.insert(fake.ids.end(), ids.begin(), ids.end());
    if (throw_at >= 0 && fake.length() >= throw_at) fail("broken model");
    if (logits == models::LogitsFor::none) return {};
    const size_t first = logits == models::LogitsFor::last ? fake.ids.size() - 1 : before;
    const int64_t rows = static_cast<int64_t>(fake.ids.size() - first);
    Tensor result = Tensor::zeros({rows, kVocab});
    for (int64_t row = 0; row < rows; ++row) {
      const int32_t next = next_of(fake.ids, first + static_cast<size_t>(row));
      result.f32()[row * kVocab + next] = 2;
      result.f32()[row * kVocab + (next + 1) % kVocab] = 1;
    }
    return result;
  }
  Tensor forward(const Tensor&) const override { fail("not trainable"); }
  std::vector<std::pair<std::string, Tensor>> parameters() const override { return {}; }
  int64_t vocab_size() const override { return kVocab; }
  int64_t max_positions() const override { return positions; }
  size_t weight_bytes() const override { return 0; }
  size_t bytes_read_per_token() const override { return 0; }

 private:
  // The byte of `answer` that follows position `at`, counted from the last kAssistant or the text's
  // first id.
  int32_t next_of(const std::vector<int32_t>& ids, size_t at) const {
    size_t start = 0;
    for (size_t i = 0; i <= at; ++i)
      if (ids[i] == kAssistant) start = i;
    const size_t made = at - start;
    return made < answer.size() ? static_cast<unsigned char>(answer[made]) : kEnd;
  }
};

}  // namespace sumi::generate
