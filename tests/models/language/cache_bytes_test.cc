// What keys and values of a text take: layers x heads x (key size + value size) x positions, up to
// whole pages, x bytes of an element.
#include "models/language/t5_reference.h"
#include "reference.h"

namespace sumi::models {
namespace {

constexpr size_t kPage = 64;  // positions

size_t up_to(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// One layer's. bf16, which some processors alone attend to, has sizes of tiles: the elements of a
// head's keys in 32s, of its values in 16s.
size_t layer_bytes(size_t heads, size_t head_dim, size_t positions, bool bf16) {
  const size_t elements = bf16 ? up_to(head_dim, 32) + up_to(head_dim, 16) : 2 * head_dim;
  return heads * elements * up_to(positions, kPage) * (bf16 ? 2 : 4);
}

bool keeps_bf16(ComputeType compute) {
  return compute != ComputeType::f32 && ops::bf16_cache_runs();
}

struct Sizes {
  const char* name;
  size_t layers, heads, head_dim;  // heads of keys and values
};

class CacheBytes : public testing::TestWithParam<Sizes> {};

TEST_P(CacheBytes, AreThoseOfKeysAndValues) {
  const Sizes& c = GetParam();
  for (const ComputeType compute : {ComputeType::f32, ComputeType::bf16}) {
    const LanguageModelFiles files = open_case(c.name, compute);
    const bool bf16 = keeps_bf16(compute);
    const auto expected = [&](size_t positions) {
      return c.layers * layer_bytes(c.heads, c.head_dim, positions, bf16);
    };
    const auto state = files.model->new_state();
    EXPECT_EQ(state->bytes(), 0u);
    size_t length = 0;
    for (const size_t count : {1, 62, 1, 1, 70}) {  // 1, 63, 64, 65 and 135 positions
      files.model->forward(std::vector<int32_t>(count, 7), *state, LogitsFor::none);
      length += count;
      EXPECT_EQ(state->bytes(), expected(length)) << length << " positions";
    }
    const auto copy = state->clone();
    EXPECT_EQ(copy->bytes(), expected(135));
    state->truncate(64);
    EXPECT_EQ(state->bytes(), expected(64));
    EXPECT_EQ(copy->bytes(), expected(135));
    state->truncate(0);
    EXPECT_EQ(state->bytes(), 0u);
  }
}

// Layers with windows keep the whole text, too: it may be cut back.
INSTANTIATE_TEST_SUITE_P(
    Families, CacheBytes,
    testing::Values(Sizes{"llama", 2, 2, 8}, Sizes{"llama_odd", 1, 3, 10}, Sizes{"gpt2", 2, 3, 8},
                    Sizes{"mistral", 2, 2, 8}, Sizes{"gemma2", 3, 2, 12}, Sizes{"mpt", 2, 6, 6},
                    Sizes{"falcon_7b", 2, 1, 8}, Sizes{"gpt_bigcode", 2, 1, 8},
                    Sizes{"chatglm2", 2, 2, 12}, Sizes{"gguf_llama_k", 1, 2, 32}),
    [](const auto& info) { return std::string(info.param.name); });

// Two caches: of the text read, and of the text written. Beside them the biases by distance, in
// f32, which are made for twice the length that is reached.
TEST(CacheBytesT5, AreThoseOfBothTextsAndOfTheBiases) {
  struct T5Sizes {
    const char* name;
    size_t layers, heads, head_dim, biases;
  };
  for (const T5Sizes& c : {T5Sizes{"t5", 2, 4, 12, 1}, T5Sizes{"t5_gated", 3, 3, 8, 1},
                           T5Sizes{"umt5", 2, 4, 8, 2}}) {
    for (const ComputeType compute : {ComputeType::f32, ComputeType::bf16}) {
      SCOPED_TRACE(c.name);
      const T5Files files(c.name, compute);
      const auto caches = [&](size_t positions) {
        return c.layers * layer_bytes(c.heads, c.head_dim, positions, keeps_bf16(compute));
      };
      const auto state = files.files.model->encode(std::vector<int32_t>(70, 7));
      EXPECT_EQ(state->bytes(), caches(70));
      files.files.model->forward(std::vector<int32_t>(50, 8), *state, LogitsFor::none);
      const size_t bias = c.biases * c.heads * (2 * 100 - 1) * 4;
      EXPECT_EQ(state->bytes(), caches(70) + caches(50) + bias);
      files.files.model->forward(std::vector<int32_t>(20, 9), *state, LogitsFor::none);
      EXPECT_EQ(state->bytes(), caches(70) + caches(70) + bias);
    }
  }
}

}  // namespace
}  // namespace sumi::models
