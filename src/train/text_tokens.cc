#include "train/text_tokens.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/error.h"
#include "ops/loss.h"

namespace sumi::train {
namespace {

using Ids = std::vector<int32_t>;

size_t common_length(const auto& a, const auto& b) {
  size_t n = 0;
  while (n < a.size() && n < b.size() && a[n] == b[n]) ++n;
  return n;
}

// The tokens of text[begin, end) among those of the whole text: from where the tokens of what is
// before part from the whole's. A token that reaches over the beginning belongs to the stretch.
void mark(const std::string& text, size_t begin, size_t end, const text::Tokenizer& tokenizer,
          const text::EncodeOptions& options, TrainingText& out) {
  const auto tokens_before = [&](size_t at) {
    return at == text.size() ? out.ids.size()
                             : common_length(tokenizer.encode(text.substr(0, at), options), out.ids);
  };
  const size_t first = tokens_before(begin), last = tokens_before(end);
  for (size_t i = first; i < last; ++i) out.learned[i] = true;
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

// Whether the stretch begins with the content, blanks at its ends aside.
bool shows(std::string_view stretch, const std::string& content) {
  const size_t first = content.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return !stretch.empty();
  const std::string begin = content.substr(first, content.find_first_of(" \t\r\n", first) - first);
  return stretch.find(begin) != std::string_view::npos;
}

// Blanks after a special token that ends a turn are the template's, not the assistant's.
void forget_trailing_blanks(const text::Tokenizer& tokenizer, TrainingText& out) {
  for (size_t end = out.ids.size(); end > 1; --end) {
    if (!out.learned[end - 1] || (end < out.ids.size() && out.learned[end])) continue;
    size_t last = end;
    while (last > 1 && out.learned[last - 1] && !tokenizer.is_special(out.ids[last - 1]) &&
           is_blank(tokenizer.decode(std::span(&out.ids[last - 1], 1), false)))
      --last;
    if (out.learned[last - 1] && tokenizer.is_special(out.ids[last - 1]))
      for (size_t i = last; i < end; ++i) out.learned[i] = false;
  }
}

TrainingText tokenize_messages(const TextRow& row, const text::Tokenizer& tokenizer,
                               const text::ChatTemplate& chat_template) {
  const auto render = [&](size_t count, bool prompt) {
    const std::vector<generate::ChatMessage> first(
        row.messages.begin(), row.messages.begin() + static_cast<int64_t>(count));
    return chat_template.render(generate::template_variables(first, tokenizer, prompt));
  };
  const text::EncodeOptions options{.add_special = false, .parse_special = true};
  const std::string whole = render(row.messages.size(), false);
  TrainingText out;
  out.ids = tokenizer.encode(whole, options);
  out.learned.assign(out.ids.size(), false);
  for (size_t i = 0; i < row.messages.size(); ++i) {
    if (row.messages[i].role != "assistant") continue;
    // The turn begins where the prompt before it ends, and ends where the next message begins.
    // Templates may write earlier turns in another way once there are later ones: what is common
    // counts.
    const size_t begin = common_length(render(i, true), whole);
    const size_t end = common_length(render(i + 1, false), whole);
    if (!shows(std::string_view(whole).substr(begin, end - std::min(begin, end)),
               row.messages[i].content))
      fail("line {}: message {}: the chat template does not show the assistant's text", row.line,
           i);
    mark(whole, begin, end, tokenizer, options, out);
  }
  forget_trailing_blanks(tokenizer, out);
  return out;
}

TrainingText tokenize_plain(const TextRow& row, const text::Tokenizer& tokenizer) {
  const text::EncodeOptions options{.add_special = true, .parse_special = false};
  const std::string whole = row.prompt + row.text;
  TrainingText out;
  out.ids = tokenizer.encode(whole, options);
  out.learned.assign(out.ids.size(), false);
  mark(whole, row.prompt.size(), whole.size(), tokenizer, options, out);
  const std::optional<int32_t> end = tokenizer.eos_id;
  if (end && (out.ids.empty() || out.ids.back() != *end)) {
    out.ids.push_back(*end);
    out.learned.push_back(true);
  }
  return out;
}

}  // namespace

int64_t TrainingText::targets() const {
  return learned.empty() ? 0 : std::count(learned.begin() + 1, learned.end(), true);
}

TrainingText tokenize_row(const TextRow& row, const text::Tokenizer& tokenizer,
                          const text::ChatTemplate* chat_template) {
  if (row.kind != TextRow::Kind::messages) return tokenize_plain(row, tokenizer);
  if (!chat_template) fail("line {}: messages need a chat template, the model has none", row.line);
  return tokenize_messages(row, tokenizer, *chat_template);
}

std::vector<TrainingText> cut(const TrainingText& text, int64_t max_length) {
  std::vector<TrainingText> pieces;
  const auto size = static_cast<int64_t>(text.ids.size());
  for (int64_t begin = 0; begin == 0 || begin + 1 < size; begin += max_length - 1) {
    const int64_t end = std::min(size, begin + max_length);
    TrainingText piece;
    piece.ids.assign(text.ids.begin() + begin, text.ids.begin() + end);
    piece.learned.assign(text.learned.begin() + begin, text.learned.begin() + end);
    if (piece.targets() > 0) pieces.push_back(std::move(piece));
    if (end == size) break;
  }
  return pieces;
}

std::vector<std::vector<int64_t>> pack(const std::vector<TrainingText>& texts, int64_t max_length) {
  std::vector<int64_t> order(texts.size());
  std::iota(order.begin(), order.end(), 0);
  const auto length = [&](int64_t i) {
    return static_cast<int64_t>(texts[static_cast<size_t>(i)].ids.size());
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return length(a) > length(b); });
  std::vector<std::vector<int64_t>> groups;
  std::set<std::pair<int64_t, size_t>> rooms;  // (tokens left, group)
  for (const int64_t i : order) {
    if (length(i) > max_length)
      fail("packing: a text of {} tokens for groups of {}", length(i), max_length);
    const auto fullest = rooms.lower_bound({length(i), 0});
    std::pair<int64_t, size_t> room{max_length, groups.size()};
    if (fullest != rooms.end()) {
      room = *fullest;
      rooms.erase(fullest);
    } else {
      groups.emplace_back();
    }
    groups[room.second].push_back(i);
    rooms.insert({room.first - length(i), room.second});
  }
  return groups;
}

models::TextBatch join(const std::vector<const TrainingText*>& texts) {
  Ids ids, targets, positions, first_keys;
  for (const TrainingText* text : texts) {
    const auto begin = static_cast<int32_t>(ids.size());
    const size_t size = text->ids.size();
    for (size_t t = 0; t < size; ++t) {
      ids.push_back(text->ids[t]);
      targets.push_back(t + 1 < size && text->learned[t + 1] ? text->ids[t + 1]
                                                              : ops::kIgnoreIndex);
      positions.push_back(static_cast<int32_t>(t));
      first_keys.push_back(begin);
    }
  }
  const Shape shape{1, static_cast<int64_t>(ids.size())};
  models::TextBatch batch{Tensor::from_ids(ids, shape), Tensor::from_ids(targets, shape)};
  if (texts.size() > 1) {
    batch.positions = Tensor::from_ids(positions, shape);
    batch.first_keys = Tensor::from_ids(first_keys, shape);
  }
  return batch;
}

}  // namespace sumi::train
