// Folders whose vocabulary is one .model or .tiktoken file: what each class of tokenizer adds to
// it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/plain_files.h"

namespace sumi::text {

// "post_processor" that puts `before` and `after` around a text; id_of gives a token's id.
template <class IdOf>
Json around_template(const std::vector<std::string>& before, const std::vector<std::string>& after,
                     const IdOf& id_of) {
  Json single = Json::array(), tokens = Json::object();
  const auto add = [&](const std::string& token) {
    single.push_back({{"SpecialToken", {{"id", token}}}});
    tokens[token] = {{"ids", Json::array({id_of(token)})}};
  };
  for (const auto& token : before) add(token);
  single.push_back({{"Sequence", {{"id", "A"}}}});
  for (const auto& token : after) add(token);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", tokens}};
}

// T5, XLM-R, LLaMA, ChatGLM 1 to 3 and others, as sentencepiece encodes. Throws Error naming the
// class if it is none of these.
PlainFiles read_sentencepiece_files(std::string_view bytes, const std::string& path,
                                    const std::string& tokenizer_class, const Json& config);

// Qwen 1, LLaMA 3 and GLM-4, as tiktoken encodes.
PlainFiles read_tiktoken_files(std::string_view bytes, const std::string& path,
                               const std::string& tokenizer_class, const Json& config);

}  // namespace sumi::text
