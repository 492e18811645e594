// Options of DecoderSpec that no family here sets: the path with a cache and the path without
// compute attention by different code, and must agree.
#include <functional>

#include "formats/empty_source.h"
#include "formats/weights_folder.h"
#include "models/language/decoder.h"
#include "models/language/family.h"
#include "reference.h"

namespace sumi::models {
namespace {

struct Variant {
  const char* name;
  std::function<void(DecoderSpec&)> change;
};

class SpecVariant : public testing::TestWithParam<Variant> {};

TEST_P(SpecVariant, CachedAndUncachedAgreeAndDifferFromPlain) {
  const Config config = Config::read(case_folder("llama") + "/config.json");
  const Family& family = family_for(config);
  const auto source = formats::open_weights_folder(case_folder("llama"));
  const DecoderSpec plain = family.from_config(config);
  DecoderSpec changed = plain;
  GetParam().change(changed);
  nn::LoadOptions packed, trainable;
  trainable.trainable = true;
  const Decoder with_cache(changed, family.weights, *source, false, packed);
  const Decoder without(changed, family.weights, *source, false, trainable);
  const Decoder unchanged(plain, family.weights, *source, false, packed);
  const std::vector<int32_t> ids = Expected("llama").ids("nll_ids");
  const Tensor batch = Tensor::from_ids(ids, {1, static_cast<int64_t>(ids.size())});
  const Tensor cached = logits_in_pieces(with_cache, ids, 70);
  EXPECT_LE(relative_error(cached, without.forward(batch)), 1e-5);
  EXPECT_GE(relative_deviation(cached, logits_in_pieces(unchanged, ids, 70)), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(
    All, SpecVariant,
    testing::Values(Variant{"alibi", [](DecoderSpec& s) { s.positions = Positions::alibi; }},
                    Variant{"no_positions", [](DecoderSpec& s) { s.positions = Positions::none; }},
                    Variant{"neighbour_pairs",
                            [](DecoderSpec& s) { s.rope.pairs = ops::RopePairs::neighbours; }},
                    Variant{"partial_rotary", [](DecoderSpec& s) { s.rope.rotary_dim = 4; }},
                    Variant{"norm_after", [](DecoderSpec& s) { s.norm_place = NormPlace::after; }},
                    Variant{"norm_offset", [](DecoderSpec& s) { s.norm_offset = 1; }},
                    Variant{"parallel", [](DecoderSpec& s) { s.parallel_residual = true; }},
                    Variant{"attention_scale", [](DecoderSpec& s) { s.attention_scale = 0.1f; }},
                    Variant{"attention_softcap", [](DecoderSpec& s) { s.attention_softcap = 1; }},
                    Variant{"logit_softcap", [](DecoderSpec& s) { s.logit_softcap = 2; }},
                    Variant{"logit_scale", [](DecoderSpec& s) { s.logit_scale = 0.5f; }},
                    Variant{"embedding_scale", [](DecoderSpec& s) { s.embedding_scale = 3; }},
                    Variant{"residual_scale", [](DecoderSpec& s) { s.residual_scale = 0.25f; }},
                    Variant{"clip_qkv", [](DecoderSpec& s) { s.clip_qkv = 0.5f; }},
                    Variant{"window",
                            [](DecoderSpec& s) {
                              s.windows = {5, 0};
                            }}),
    [](const auto& param) { return std::string(param.param.name); });

TEST(Spec, LogitScaleAndSoftcapAreApplied) {
  const Config config = Config::read(case_folder("llama") + "/config.json");
  const Family& family = family_for(config);
  const auto source = formats::open_weights_folder(case_folder("llama"));
  DecoderSpec spec = family.from_config(config);
  spec.logit_scale = 0.5f;
  spec.logit_softcap = 2;
  const Decoder model(spec, family.weights, *source, false, {});
  const Expected expected("llama");
  const std::vector<int32_t> ids = expected.ids("prompt_ids");
  Tensor capped = expected.get("logits").clone();
  for (int64_t i = 0; i < capped.numel(); ++i)
    capped.f32()[i] = 2 * std::tanh(capped.f32()[i] * 0.5f / 2);
  EXPECT_LE(relative_error(logits_in_pieces(model, ids, ids.size()), capped), 1e-4);
}

TEST(Spec, AlibiSlopesFollowThePaper) {
  const std::vector<float> eight = alibi_slopes(8);
  for (size_t i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(eight[i], std::exp2(-static_cast<float>(i + 1)));
  // Twelve heads: those of eight, then every other one of sixteen.
  const std::vector<float> twelve = alibi_slopes(12), sixteen = alibi_slopes(16);
  ASSERT_EQ(twelve.size(), 12u);
  for (size_t i = 0; i < 8; ++i) EXPECT_FLOAT_EQ(twelve[i], eight[i]);
  for (size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(twelve[8 + i], sixteen[2 * i]);
}

TEST(WeightNames, RowOrders) {
  DecoderSpec spec;
  spec.num_heads = 4;
  spec.num_kv_heads = 2;
  spec.head_dim = 4;
  spec.num_layers = 3;
  const WeightTable table = {
      {Slot::token_embedding, "m.embed", "token_embd"},
      {Slot::key, "m.l.{}.k", "blk.{}.k", Layout::plain, Layout::rotary_neighbours},
      {Slot::query_key_value, "m.l.{}.qkv", nullptr, Layout::heads_interleaved},
  };
  const formats::EmptySource none;
  const nn::WeightName key = WeightNames(table, spec, none, true).get(Slot::key, 2);
  EXPECT_EQ(key.file, "blk.2.k");
  EXPECT_EQ(key.parameter, "m.l.2.k");
  // Head by head: the even rows, then the odd.
  EXPECT_EQ(key.row_order, (std::vector<int64_t>{0, 2, 1, 3, 4, 6, 5, 7}));
  const nn::WeightName fused = WeightNames(table, spec, none, false).get(Slot::query_key_value);
  // The file has q0 q1 k0 v0 q2 q3 k1 v1; the first row of each head in the decoder's order q0-3
  // k0-1 v0-1:
  ASSERT_EQ(fused.row_order.size(), 32u);
  std::vector<int64_t> heads;
  for (size_t i = 0; i < 32; i += 4) heads.push_back(fused.row_order[i] / 4);
  EXPECT_EQ(heads, (std::vector<int64_t>{0, 1, 4, 5, 2, 6, 3, 7}));
  EXPECT_EQ(fused.row_order[31], 31);
  EXPECT_THROW(WeightNames(table, spec, none, true).get(Slot::query_key_value), Error);
}

}  // namespace
}  // namespace sumi::models
