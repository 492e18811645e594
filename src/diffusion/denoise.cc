#include "diffusion/denoise.h"

#include <cmath>

#include "base/error.h"
#include "diffusion/layout.h"
#include "ops/picture.h"
#include "tensor/autograd.h"

namespace sumi::diffusion {

namespace {

// torch.std: with n - 1.
double deviation(const Tensor& x) {
  double mean = 0, squares = 0;
  for (int64_t i = 0; i < x.numel(); ++i) mean += x.f32()[i];
  mean /= static_cast<double>(x.numel());
  for (int64_t i = 0; i < x.numel(); ++i) {
    const double d = x.f32()[i] - mean;
    squares += d * d;
  }
  return std::sqrt(squares / static_cast<double>(x.numel() - 1));
}

// mask a + (1 - mask) b, the mask [1, 1, h, w] for all channels.
Tensor mixed(const Tensor& mask, const Tensor& a, const Tensor& b) {
  Tensor y = Tensor::empty(a.shape());
  const int64_t pixels = mask.numel();
  for (int64_t i = 0; i < y.numel(); ++i) {
    const float m = mask.f32()[i % pixels];
    y.f32()[i] = (1 - m) * b.f32()[i] + m * a.f32()[i];
  }
  return y;
}

bool active(const Control& control, size_t index, size_t total) {
  const auto count = static_cast<double>(total);
  return !(static_cast<double>(index) / count < control.start ||
           static_cast<double>(index + 1) / count > control.end);
}

// Residuals of the text half alone, with zeros for the other.
void add_empty_half(models::UNetResiduals& residuals) {
  const auto widen = [](Tensor& x) { x = concat_first({Tensor::zeros(x.shape()), x}); };
  for (Tensor& x : residuals.down) widen(x);
  widen(residuals.mid);
}

class Denoiser {
 public:
  explicit Denoiser(const DenoiseJob& job) : job_(job), guided_(job.guidance.negative.defined()) {
    context_ = guided_ ? concat_first({job.guidance.negative, job.guidance.text})
                       : job.guidance.text;
    // arXiv:2310.04378: sinusoids of the guidance scale join those of the time.
    if (const int64_t width = job.unet->config().time_condition_dim; width > 0)
      time_condition_ = ops::timestep_embedding(
          {(job.guidance.scale - 1) * 1000},
          {.dim = width, .flip_sin_to_cos = false, .freq_shift = 1});
    if (job.guidance.pooled.defined()) {
      pooled_ = guided_ ? concat_first({job.guidance.negative_pooled, job.guidance.pooled})
                        : job.guidance.pooled;
      for (int64_t i = 0; i < pooled_.size(0); ++i)
        time_ids_.insert(time_ids_.end(), job.guidance.time_ids.begin(),
                         job.guidance.time_ids.end());
    }
    if (job.inpainting.masked_latents.defined())
      extra_ = concat_channels(
          {to_nhwc(job.inpainting.mask), to_nhwc(job.inpainting.masked_latents)});
    if (job.small.picture.defined()) extra_ = to_nhwc(job.small.picture);
  }

  // What ControlNets are given, too.
  models::UNetInput shared_input(const Tensor& one, size_t index) const {
    models::UNetInput input;
    input.timesteps = {job_.scheduler->timesteps()[index]};
    input.context = context_;
    input.time_condition = time_condition_;
    input.pooled_text = pooled_;
    input.time_ids = time_ids_;
    if (job_.small.picture.defined()) input.classes = {job_.small.noise_level};
    input.sample = guided_ ? concat_first({one, one}) : one;
    return input;
  }

  void add_own(models::UNetInput& input) const {
    input.token_merging = job_.token_merging;
    if (extra_.defined())
      input.sample = concat_channels(
          {input.sample, guided_ ? concat_first({extra_, extra_}) : extra_});
  }

  Tensor output(const Tensor& sample, size_t index) {
    const Tensor one = to_nhwc(job_.scheduler->scale_model_input(sample, index));
    models::UNetInput input = shared_input(one, index);
    models::UNetResiduals residuals;
    const bool controlled = add_controls(input, one, index, residuals);
    add_own(input);
    deep_.reused = (static_cast<int64_t>(index - job_.first_step)) % job_.deep_cache != 0;
    return (*job_.unet)(input, controlled ? &residuals : nullptr, job_.deep_cache > 1 ? &deep_ : nullptr);
  }

  Tensor predict(const Tensor& sample, size_t index) {
    const Tensor output = to_nchw(this->output(sample, index));
    if (!guided_) return output;
    const Tensor without = output.rows(0, 1), with = output.rows(1, 1);
    Tensor mix = Tensor::empty(with.shape());
    for (int64_t i = 0; i < mix.numel(); ++i)
      mix.f32()[i] =
          without.f32()[i] + job_.guidance.scale * (with.f32()[i] - without.f32()[i]);
    return job_.guidance.rescale > 0 ? rescaled(mix, with, job_.guidance.rescale) : mix;
  }

 private:
  bool add_controls(models::UNetInput input, const Tensor& one, size_t index,
                    models::UNetResiduals& sum) const {
    const bool half = job_.guess_mode && guided_;
    input.time_condition = {};  // ControlNets are not told the guidance scale
    if (half) {
      input.sample = one;
      input.context = job_.guidance.text;
      input.pooled_text = job_.guidance.pooled;
      input.time_ids = job_.guidance.time_ids;
    }
    bool any = false;
    for (const Control& control : job_.controls) {
      if (!active(control, index - job_.first_step,
                  job_.scheduler->timesteps().size() - job_.first_step))
        continue;
      const Tensor picture = input.sample.size(0) == 2
                                 ? concat_first({control.picture, control.picture})
                                 : control.picture;
      const models::UNetResiduals residuals =
          (*control.net)(input, picture, {control.scale, job_.guess_mode});
      if (any)
        sum.add(residuals);
      else
        sum = residuals;
      any = true;
    }
    if (any && half) add_empty_half(sum);
    return any;
  }

  const DenoiseJob& job_;
  bool guided_;
  Tensor context_, pooled_, extra_, time_condition_;
  models::DeepFeature deep_;
  std::vector<float> time_ids_;
};

}  // namespace

Tensor rescaled(const Tensor& guided, const Tensor& text, float rescale) {
  const double factor = deviation(text) / deviation(guided);
  const auto whole = static_cast<float>(rescale * factor + (1 - rescale));
  Tensor y = Tensor::empty(guided.shape());
  for (int64_t i = 0; i < y.numel(); ++i) y.f32()[i] = whole * guided.f32()[i];
  return y;
}

Tensor network_output(const DenoiseJob& job, const Tensor& sample, size_t index) {
  const tensor::NoGrad no_grad;
  return Denoiser(job).output(sample, index);
}

Tensor denoise(const DenoiseJob& job) {
  const tensor::NoGrad no_grad;
  Denoiser denoiser(job);
  const size_t total = job.scheduler->timesteps().size();
  const Inpainting& inpainting = job.inpainting;
  Tensor sample = job.sample;
  for (size_t i = job.first_step; i < total; ++i) {
    sample = job.scheduler->step(denoiser.predict(sample, i), i, sample, *job.generator);
    if (inpainting.latents.defined()) {
      const Tensor rest = i + 1 < total ? job.scheduler->add_noise(inpainting.latents,
                                                                   inpainting.noise, i + 1)
                                        : inpainting.latents;
      sample = mixed(inpainting.mask, sample, rest);
    }
    if (job.after_step) job.after_step({i + 1 - job.first_step, total - job.first_step, &sample});
  }
  return sample;
}

}  // namespace sumi::diffusion
