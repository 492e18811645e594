// T5 from and to GGUF files: what is written, what cannot be, and files that are wrong.
#include "models/language/t5/t5_gguf.h"

#include <fstream>
#include <set>

#include "formats/gguf_writer.h"
#include "formats/json.h"
#include "formats/temporary.h"
#include "models/language/convert.h"
#include "models/language/t5_reference.h"
#include "text/tokenizer_gguf.h"

namespace sumi::models {
namespace {

using formats::error_of;
using formats::expect_mentions;
using formats::GgufFile;
using formats::GgufWriter;
using formats::TemporaryFolder;

// Logits of the case's target, or of an encoder alone its output.
Tensor answer(const std::string& path, const T5Files& c, ComputeType compute = ComputeType::f32) {
  OpenOptions options;
  options.compute = compute;
  const LanguageModelFiles files = open_language_model(path, options);
  if (!files.model->continues_text())
    return files.model->hidden_states(c.batch("source_ids"))
        .view(c.expected.get("encoded").shape());
  const std::vector<int32_t> target = c.ids("target_ids");
  return written(*files.model, c.ids("source_ids"), target, target.size());
}

class T5Convert : public testing::TestWithParam<const char*> {};

TEST_P(T5Convert, GivesTheSameAnswersInEveryType) {
  const T5Files c(GetParam());
  const TemporaryFolder folder;
  const std::string source = T5Files::folder(GetParam()), plain = folder.file("f32.gguf");
  ConvertOptions options;
  options.dtype = DType::f32;
  const ConvertReport report = convert_to_gguf(source, plain, options);
  EXPECT_EQ(report.tensors, static_cast<int64_t>(GgufFile(plain).tensors().size()));
  EXPECT_EQ(report.kept, 0);
  const Tensor expected = answer(source, c);
  EXPECT_LT(relative_error(answer(plain, c), expected), 1e-5);
  options.overwrite = true;
  for (const DType dtype : {DType::bf16, DType::q8_0, DType::q5_1, DType::q4_0}) {
    SCOPED_TRACE(dtype_name(dtype));
    options.dtype = dtype;
    convert_to_gguf(source, folder.file("once.gguf"), options);
    recode_gguf(plain, folder.file("twice.gguf"), options);
    const GgufFile once(folder.file("once.gguf")), twice(folder.file("twice.gguf"));
    const auto keys = [](const GgufFile& file) {
      return std::set<std::string>(file.keys().begin(), file.keys().end());
    };
    EXPECT_EQ(keys(once), keys(twice));
    for (const formats::TensorInfo& info : once.tensors()) {
      const Tensor a = once.get(info.name), b = twice.get(info.name);
      ASSERT_EQ(a.dtype(), b.dtype()) << info.name;
      ASSERT_EQ(a.nbytes(), b.nbytes()) << info.name;
      EXPECT_EQ(std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.nbytes())), 0)
          << info.name;
      if (info.name.find("attn_rel_b") != std::string::npos) {
        EXPECT_EQ(a.dtype(), DType::f32) << info.name;
      }
    }
    // Computed as stored, packed blocks and all. Blocks of random weights hold few bits of them.
    const double bound = dtype == DType::bf16 ? 0.05 : dtype == DType::q8_0 ? 0.2 : 1.0;
    EXPECT_LT(relative_deviation(answer(folder.file("twice.gguf"), c, ComputeType::automatic),
                                 expected),
              bound);
  }
  EXPECT_EQ(folder.count(), 3u);
}

INSTANTIATE_TEST_SUITE_P(Kinds, T5Convert,
                         testing::Values("t5_128", "t5_gated_128", "umt5_128", "t5_encoder_128"),
                         [](const auto& info) { return std::string(info.param); });

// From our file and from the gguf package's.
TEST_P(T5Convert, AFolderFromAFileGivesTheSameAnswers) {
  const T5Files c(GetParam());
  const TemporaryFolder folder;
  ConvertOptions options;
  options.dtype = DType::f32;
  convert_to_gguf(T5Files::folder(GetParam()), folder.file("m.gguf"), options);
  const Tensor expected = answer(T5Files::folder(GetParam()), c);
  for (const std::string& file :
       {folder.file("m.gguf"), T5Files::model(std::string("gguf_") + GetParam())}) {
    SCOPED_TRACE(file);
    const std::string back = folder.file("back");
    const ConvertReport report = gguf_to_folder(file, back, {});
    EXPECT_EQ(report.tensors, static_cast<int64_t>(GgufFile(file).tensors().size()));
    EXPECT_LT(relative_error(answer(back, c), expected), 1e-5);
    const LanguageModelFiles found = open_language_model(back);
    ASSERT_EQ(found.tokenizer == nullptr, c.files.tokenizer == nullptr);
    if (found.tokenizer) {
      const char* text = "The <extra_id_0>  caf\xc3\xa9 of worlds.";
      EXPECT_EQ(found.tokenizer->encode(text), c.files.tokenizer->encode(text));
    }
    std::filesystem::remove_all(back);
  }
  EXPECT_EQ(folder.count(), 1u);
}

TEST(T5Gguf, HasTheKeysAndNamesOfTheFormat) {
  const TemporaryFolder folder;
  for (const char* name : {"t5_128", "t5_gated_128", "umt5_128", "t5_encoder_128"}) {
    SCOPED_TRACE(name);
    ConvertOptions options;
    options.overwrite = true;
    convert_to_gguf(T5Files::folder(name), folder.file("m.gguf"), options);
    // Of the gguf package's.
    const GgufFile peer(T5Files::model(std::string("gguf_") + name)), own(folder.file("m.gguf"));
    for (const std::string& key : peer.keys())
      if (key != "tokenizer.ggml.token_type" && key != "tokenizer.ggml.scores") {
        ASSERT_TRUE(own.has_key(key)) << key;
        EXPECT_EQ(own.value(key), peer.value(key)) << key;
      }
    std::set<std::string> names;
    for (const formats::TensorInfo& info : peer.tensors()) names.insert(info.name);
    for (const formats::TensorInfo& info : own.tensors()) {
      EXPECT_EQ(names.erase(info.name), 1u) << info.name;
      EXPECT_EQ(info.shape, peer.get(info.name).shape()) << info.name;
    }
    EXPECT_TRUE(names.empty()) << *names.begin();
  }
}

// T5's first release: the scale of the head's input is in the last norm, where llama.cpp finds it.
TEST(T5Gguf, TheScaleOfATiedHeadIsInTheNorm) {
  const TemporaryFolder folder;
  convert_to_gguf(T5Files::folder("t5_128"), folder.file("m.gguf"), {});
  const GgufFile own(folder.file("m.gguf")), peer(T5Files::model("gguf_t5_128"));
  EXPECT_EQ(own.get_float("t5.logit_scale"), 1);
  EXPECT_EQ(t5_spec(own).output_scale, 1);
  EXPECT_FLOAT_EQ(t5_spec(peer).output_scale, 1 / std::sqrt(32.0f));
  const Tensor a = own.get("dec.output_norm.weight"), b = peer.get("dec.output_norm.weight");
  EXPECT_FLOAT_EQ(a.f32()[3], b.f32()[3] / std::sqrt(32.0f));
}

TEST(T5Gguf, WhatItCannotExpressIsNamedAndLeavesNothing) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& source) {
    return error_of([&] { convert_to_gguf(source, folder.file("m.gguf"), {}); });
  };
  expect_mentions(message(T5Files::folder("t5")),
                  "GGUF cannot express this model: relative_attention_max_distance");
  EXPECT_EQ(folder.count(), 0u);
  const TemporaryFolder copy;
  std::filesystem::copy(T5Files::folder("umt5_128"), copy.path(),
                        std::filesystem::copy_options::recursive);
  nlohmann::json config = formats::read_json_file(copy.file("config.json"));
  config["feed_forward_proj"] = "gated-silu";
  copy.write("config.json", config.dump());
  expect_mentions(message(copy.path()), "GGUF cannot express this model: feed_forward_proj");
  EXPECT_EQ(folder.count(), 0u);
}

// gguf_t5_128 with one thing changed.
class Changed {
 public:
  std::set<std::string> without;                       // keys and tensors
  std::function<void(GgufWriter&)> more = [](auto&) {};  // called before the tensors

  std::string error() const {
    const GgufFile file(T5Files::model("gguf_t5_128"));
    GgufWriter writer;
    for (const std::string& key : file.keys()) {
      if (without.count(key) > 0) continue;
      if (key == "tokenizer.ggml.precompiled_charsmap")
        writer.set_bytes(key, text::read_charsmap(file));
      else
        writer.set(key, file.value(key));
    }
    more(writer);
    for (const formats::TensorInfo& info : file.tensors())
      if (without.count(info.name) == 0) writer.add_tensor(info.name, file.get(info.name));
    const TemporaryFolder folder;
    const std::string path = folder.file("m.gguf");
    writer.write(path);
    const std::string message = error_of([&] { open_language_model(path); });
    expect_mentions(message, path);
    return message;
  }
};

std::string error_with(const std::string& key, const std::function<void(GgufWriter&)>& more) {
  Changed changed;
  changed.without = {key};
  changed.more = more;
  return changed.error();
}

std::string error_without(const std::string& key) {
  return error_with(key, [](GgufWriter&) {});
}

TEST(T5GgufErrors, NameTheKey) {
  for (const char* key : {"t5.embedding_length", "t5.feed_forward_length", "t5.block_count",
                          "t5.attention.head_count", "t5.attention.layer_norm_rms_epsilon",
                          "t5.attention.relative_buckets_count"})
    expect_mentions(error_without(key), key);
  const auto number = [](const char* key, uint32_t value) {
    return error_with(key, [&](GgufWriter& writer) { writer.set_uint32(key, value); });
  };
  expect_mentions(number("t5.block_count", 0), "t5.block_count: expected 1 to");
  expect_mentions(number("t5.block_count", 1 << 20), "layers in 47 tensors");
  expect_mentions(number("t5.block_count", 3), "enc.blk.2.attn_norm.weight");
  expect_mentions(number("t5.decoder_block_count", 1), "dec.blk.1.");
  expect_mentions(number("t5.embedding_length", 48), "token_embd.weight: expected shape");
  expect_mentions(number("t5.attention.relative_buckets_count", 7), "a multiple of 4 below 256");
  expect_mentions(number("t5.attention.relative_buckets_count", 256), "below 256, found 256");
  expect_mentions(number("t5.attention.value_length", 8), "expected 12 as the keys', found 8");
  expect_mentions(number("t5.attention.key_length", 8), "attention.value_length: expected 8");
  expect_mentions(number("t5.decoder_start_token_id", 352), "expected 0 to 351, found 352");
  expect_mentions(error_with("t5.logit_scale",
                             [](GgufWriter& w) { w.set_float32("t5.logit_scale", 0); }),
                  "t5.logit_scale: expected a positive number");
}

TEST(T5GgufErrors, NameTheTensor) {
  expect_mentions(error_without("dec.blk.1.cross_attn_q.weight"), "dec.blk.1.cross_attn_q.weight");
  expect_mentions(error_without("enc.blk.0.attn_rel_b.weight"), "enc.blk.0.attn_rel_b.weight");
  expect_mentions(error_without("token_embd.weight"), "token_embd.weight");
  const auto other = [](const char* name, const Shape& shape) {
    return error_with(name, [&](GgufWriter& writer) {
      writer.add_tensor(name, Tensor::zeros(shape));
    });
  };
  expect_mentions(other("enc.blk.1.ffn_up.weight", {56, 31}),
                  "enc.blk.1.ffn_up.weight: expected shape [56, 32], found [56, 31]");
  expect_mentions(other("dec.blk.0.attn_rel_b.weight", {16, 4}), "expected shape [32, 4]");
  expect_mentions(other("output.weight", {300, 32}), "output.weight: expected shape [352, 32]");
  expect_mentions(other("enc.blk.0.attn_q.bias", {48}), "enc.blk.0.attn_q.bias");
}

TEST(T5GgufErrors, NameWhatIsWrongWithTheVocabulary) {
  const std::string tokens = "tokenizer.ggml.tokens", scores = "tokenizer.ggml.scores",
                    charsmap = "tokenizer.ggml.precompiled_charsmap";
  expect_mentions(error_with(tokens,
                             [&](GgufWriter& w) {
                               w.set_strings(tokens, std::vector<std::string>(351, "a"));
                             }),
                  "351 tokens, but token_embd.weight has 352 rows");
  expect_mentions(
      error_with(scores, [&](GgufWriter& w) { w.set_float32s(scores, {1, 2}); }),
      "tokenizer.ggml.scores: expected 352 values, found 2");
  expect_mentions(error_without(scores), "no tokenizer.ggml.scores");
  expect_mentions(error_with(charsmap, [&](GgufWriter& w) { w.set_bytes(charsmap, "abcdefgh"); }),
                  "precompiled_charsmap: a trie of");
  expect_mentions(
      error_with(charsmap, [&](GgufWriter& w) { w.set_int32s(charsmap, {1, 2, 3, 1000}); }),
      "expected bytes, found 1000");
  const std::string unknown = "tokenizer.ggml.unknown_token_id";
  expect_mentions(error_with(unknown, [&](GgufWriter& w) { w.set_uint32(unknown, 400); }),
                  "unknown_token_id: 400 is not in the vocabulary of 352");
}

TEST(T5GgufErrors, ATruncatedFile) {
  std::ifstream stream(T5Files::model("gguf_t5_128"), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(stream)), {});
  const TemporaryFolder folder;
  for (const size_t part : {size_t{20}, size_t{700}, bytes.size() / 4, bytes.size() - 1})
    expect_mentions(
        error_of([&] { open_language_model(folder.write("m.gguf", bytes.substr(0, part))); }),
        "m.gguf");
}

}  // namespace
}  // namespace sumi::models
