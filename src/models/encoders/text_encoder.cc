#include "models/encoders/text_encoder.h"

#include "base/error.h"
#include "models/encoders/clip.h"
#include "models/language/decoder.h"
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

// AltDiffusion's encoder, arXiv:2211.06679; diffusers' modeling_roberta_series.py is the numerical
// reference.
constexpr const char* kSeries = "RobertaSeriesModelWithTransformation";

class ClipEncoder : public TextEncoder {
 public:
  ClipEncoder(const Config& config, const formats::TensorSource& source,
              const nn::LoadOptions& options)
      : clip_(config, source, options) {}

  int64_t hidden_size() const override { return clip_.hidden_size(); }
  int64_t output_size() const override { return clip_.hidden_size(); }
  int64_t num_layers() const override { return clip_.num_layers(); }
  int64_t max_positions() const override { return clip_.max_positions(); }
  int64_t vocab_size() const override { return clip_.vocab_size(); }
  Tensor token_embeddings(const Tensor& ids) const override { return clip_.token_embeddings(ids); }
  // No token sees what follows: padding cannot change a text.
  Tensor states(const Tensor& embeddings, int64_t, int64_t clip_skip) const override {
    return clip_.hidden_states_of(embeddings, clip_skip);
  }
  bool masks_padding() const override { return false; }
  Tensor penultimate_states(const Tensor& embeddings, int64_t clip_skip) const override {
    return clip_.layer_states(embeddings, clip_skip + 1);
  }
  Tensor pooled(const Tensor& ids, const Tensor& embeddings) const override {
    return clip_.pooled(ids, clip_.hidden_states_of(embeddings));
  }

 private:
  ClipText clip_;
};

std::string architecture(const Config& config) {
  const std::vector<std::string> names = config.get_strings("architectures");
  return names.empty() ? "" : names[0];
}

struct EncoderPlan {
  DecoderSpec spec;
  WeightTable weights;
  bool masked = false;  // padding is not seen
  bool series = false, pre = false;
  int64_t output_size = 0;
};

EncoderPlan plan_of(const Config& config) {
  EncoderPlan plan;
  const std::string name = architecture(config);
  plan.series = name == kSeries;
  const Family family = plan.series ? roberta_family() : family_for(config);
  plan.spec = family.from_config(config);
  plan.weights = family.weights;
  if (plan.spec.causal)
    fail("{}: architectures: expected a text encoder (CLIP, BERT, RoBERTa, XLM-R or {}), found {}",
         config.file(), kSeries, name.empty() ? "none" : name);
  // transformers' encoders know no such field but AltDiffusion's, whose default is true.
  plan.masked = config.get_bool("use_attention_mask", plan.series);
  plan.output_size = plan.spec.hidden_size;
  if (plan.series) {
    plan.pre = config.get_bool("has_pre_transformation", false);
    plan.output_size = config.get_int("project_dim", 512);
    if (plan.output_size < 1 || plan.output_size > int64_t{1} << 16)
      fail("{}: project_dim is {}, expected 1 to {}", config.file(), plan.output_size,
           int64_t{1} << 16);
    for (const char* own : {"transformation.", "transformation_pre.", "pre_LN.", "logit_scale"})
      plan.spec.unused_weights.push_back(own);
  }
  check_spec(plan.spec, config.file());
  return plan;
}

nn::WeightName named(const std::string& name) { return {name, name, false, {}}; }

// BERT's kind: every token sees all others, padding too unless it is masked.
class BidirectionalEncoder : public TextEncoder {
 public:
  BidirectionalEncoder(const Config& config, const formats::TensorSource& source,
                       const nn::LoadOptions& options)
      : plan_(plan_of(config)), decoder_(plan_.spec, plan_.weights, source, false, options) {
    if (!plan_.series) return;
    nn::WeightLoader loader(source, options);
    const int64_t width = plan_.spec.hidden_size;
    if (plan_.pre) {
      norm_ = loader.norm(named("pre_LN"), nn::NormKind::layer, width, true, plan_.spec.norm_eps);
      projection_ =
          loader.linear({named("transformation_pre")}, {plan_.output_size}, width, true);
    } else {
      projection_ = loader.linear({named("transformation")}, {plan_.output_size}, width, true);
    }
  }

  int64_t hidden_size() const override { return plan_.spec.hidden_size; }
  int64_t output_size() const override { return plan_.output_size; }
  int64_t num_layers() const override { return plan_.spec.num_layers; }
  int64_t max_positions() const override { return plan_.spec.max_positions; }
  int64_t vocab_size() const override { return plan_.spec.vocab_size; }
  Tensor token_embeddings(const Tensor& ids) const override {
    return decoder_.token_embeddings(ids);
  }

  bool masks_padding() const override { return true; }
  Tensor states(const Tensor& embeddings, int64_t text_length, int64_t clip_skip) const override {
    if (clip_skip != 0)
      fail("clip skip {}: the text encoder is not CLIP; expected 0", clip_skip);
    const Padding padding = {.begin = text_length, .seen = !plan_.masked};
    const Tensor x =
        decoder_.hidden_states_of(embeddings, num_layers() - (plan_.pre ? 1 : 0), padding);
    if (!projection_.defined()) return x;
    return projection_(norm_.defined() ? norm_(x) : x);
  }

 private:
  EncoderPlan plan_;
  Decoder decoder_;
  nn::Norm norm_;
  nn::Linear projection_;
};

bool is_clip(const Config& config) {
  const std::string name = architecture(config);
  return name.rfind("CLIP", 0) == 0 ||
         (name.empty() && config.get_string("model_type", "").rfind("clip", 0) == 0);
}

}  // namespace

Tensor TextEncoder::penultimate_states(const Tensor&, int64_t) const {
  fail("text encoder: Stable Diffusion XL needs CLIP");
}

Tensor TextEncoder::pooled(const Tensor&, const Tensor&) const {
  fail("text encoder: Stable Diffusion XL needs CLIP");
}

std::unique_ptr<TextEncoder> make_text_encoder(const Config& config,
                                               const formats::TensorSource& source,
                                               const nn::LoadOptions& options) {
  if (is_clip(config)) return std::make_unique<ClipEncoder>(config, source, options);
  return std::make_unique<BidirectionalEncoder>(config, source, options);
}

void check_text_encoder(const Config& config) {
  if (is_clip(config))
    ClipText::check(config);
  else
    plan_of(config);
}

}  // namespace sumi::models
