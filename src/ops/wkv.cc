#include "ops/wkv.h"

#include <vector>

#include "kernels/wkv.h"
#include "ops/common.h"

namespace sumi::ops {
namespace {

void check_sequences(const char* op, const char* operand, const Tensor& x) {
  check_f32(op, operand, x);
  if (x.dim() != 3)
    fail("{}: {} has shape {}, expected [B, T, C]", op, operand, shape_string(x.shape()));
}

// Channels that a thread takes at least: they go through all steps, at about 16 times the work of
// an addition.
int64_t channel_grain(int64_t steps) {
  const int64_t grain = kParallelElements / 16 / (steps > 0 ? steps : 1);
  return (grain / 16 + 1) * 16;
}

// body(batch, first channel, channels) over all of them.
template <class Body>
void for_channels(int64_t batch, int64_t steps, int64_t channels, const Body& body) {
  for (int64_t b = 0; b < batch; ++b)
    base::parallel_for(channels, channel_grain(steps),
                       [&](int64_t begin, int64_t end) { body(b, begin, end - begin); });
}

}  // namespace

Tensor mix_with_previous(const Tensor& x, const Tensor& previous, const Tensor& mix) {
  constexpr const char* kOp = "mix_with_previous";
  check_sequences(kOp, "x", x);
  check_f32(kOp, "mix", mix);
  const int64_t batch = x.size(0), steps = x.size(1), n = x.size(2);
  if (mix.numel() != n)
    fail("{}: mix has shape {}, expected {} elements", kOp, shape_string(mix.shape()), n);
  if (previous.defined()) check_shape(kOp, "previous", previous, {batch, n});
  Tensor out = Tensor::empty(x.shape());
  Tensor rest = Tensor::empty({n});  // 1 - mix
  const float* m = mix.f32();
  for (int64_t i = 0; i < n; ++i) rest.f32()[i] = 1 - m[i];
  const auto before = [&](const float* rows, int64_t row) -> const float* {
    if (row % steps > 0) return rows + (row - 1) * n;
    return previous.defined() ? previous.f32() + row / steps * n : nullptr;
  };
  const float *from = x.f32(), *r = rest.f32();
  float* to = out.f32();
  for_rows(batch * steps, n, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      elementwise().mul(from + row * n, m, to + row * n, n);
      if (const float* past = before(from, row))
        elementwise().accumulate_product(past, r, to + row * n, n);
    }
  });
  if (needs_record({&x, &mix}))
    record(out, kOp, {x, mix},
           [x, previous, mix, rest, batch, steps, n](const Tensor& g) -> std::vector<Tensor> {
             Tensor dx, dmix;
             const float *dy = g.f32(), *in = x.f32();
             if (x.requires_grad()) {
               dx = Tensor::empty(x.shape());
               float* to = dx.f32();
               for_rows(batch * steps, n, [&](int64_t begin, int64_t end) {
                 for (int64_t row = begin; row < end; ++row) {
                   elementwise().mul(dy + row * n, mix.f32(), to + row * n, n);
                   if ((row + 1) % steps > 0)  // the next step mixes this one in
                     elementwise().accumulate_product(dy + (row + 1) * n, rest.f32(), to + row * n,
                                                      n);
                 }
               });
             }
             if (mix.requires_grad()) {  // sum of dy (x[t] - x[t - 1])
               dmix = Tensor::zeros(mix.shape());
               Tensor past = Tensor::zeros({n});
               float *sum = dmix.f32(), *subtracted = past.f32();
               for_columns(n, batch * steps, [&](int64_t begin, int64_t end) {
                 for (int64_t row = 0; row < batch * steps; ++row) {
                   const int64_t i = row * n + begin, width = end - begin;
                   elementwise().accumulate_product(dy + i, in + i, sum + begin, width);
                   const float* p = row % steps > 0     ? in + i - n
                                    : previous.defined() ? previous.f32() + row / steps * n + begin
                                                         : nullptr;
                   if (p) elementwise().accumulate_product(dy + i, p, subtracted + begin, width);
                 }
                 elementwise().accumulate_scaled(subtracted + begin, -1, sum + begin, end - begin);
               });
             }
             return {dx, dmix};
           });
  return out;
}

WkvState WkvState::start(int64_t channels) {
  return {Tensor::zeros({channels}), Tensor::zeros({channels}),
          Tensor::full({channels}, kernels::kWkvStart)};
}

Tensor wkv(const Tensor& key, const Tensor& value, const Tensor& decay, const Tensor& first,
           WkvState* state) {
  check_sequences("wkv", "key", key);
  check_shape("wkv", "value", value, key.shape());
  const int64_t batch = key.size(0), steps = key.size(1), n = key.size(2);
  check_shape("wkv", "decay", decay, {n});
  check_shape("wkv", "first", first, {n});
  const bool recording = needs_record({&key, &value, &decay, &first});
  if (state) {
    if (batch != 1) fail("wkv: {} sequences with one state", batch);
    if (recording) fail("wkv: no gradient goes through a state");
    check_shape("wkv", "the state's numerator", state->numerator, {n});
    check_shape("wkv", "the state's denominator", state->denominator, {n});
    check_shape("wkv", "the state's maximum", state->maximum, {n});
  }
  Tensor out = Tensor::empty(key.shape());
  std::vector<WkvState> fresh;
  if (!state)
    for (int64_t b = 0; b < batch; ++b) fresh.push_back(WkvState::start(n));
  for_channels(batch, steps, n, [&](int64_t b, int64_t c, int64_t count) {
    WkvState& s = state ? *state : fresh[static_cast<size_t>(b)];
    const int64_t at = b * steps * n + c;
    kernels::wkv_kernels().forward({.steps = steps,
                                    .channels = count,
                                    .stride = n,
                                    .decay = decay.f32() + c,
                                    .first = first.f32() + c,
                                    .key = key.f32() + at,
                                    .value = value.f32() + at,
                                    .out = out.f32() + at,
                                    .numerator = s.numerator.f32() + c,
                                    .denominator = s.denominator.f32() + c,
                                    .maximum = s.maximum.f32() + c});
  });
  if (recording)
    record(out, "wkv", {key, value, decay, first},
           [key, value, decay, first, batch, steps, n](const Tensor& g) -> std::vector<Tensor> {
             Tensor dkey = Tensor::empty(key.shape()), dvalue = Tensor::empty(key.shape());
             Tensor ddecay = Tensor::zeros({n}), dfirst = Tensor::zeros({n});
             // One batch after the other: their shares of ddecay and dfirst add up in order.
             Tensor scratch =
                 Tensor::empty({base::num_threads(), kernels::wkv_scratch(steps)});
             for_channels(batch, steps, n, [&](int64_t b, int64_t c, int64_t count) {
               const int64_t at = b * steps * n + c;
               kernels::wkv_kernels().backward({.steps = steps,
                                                .channels = count,
                                                .stride = n,
                                                .decay = decay.f32() + c,
                                                .first = first.f32() + c,
                                                .key = key.f32() + at,
                                                .value = value.f32() + at,
                                                .dout = g.f32() + at,
                                                .dkey = dkey.f32() + at,
                                                .dvalue = dvalue.f32() + at,
                                                .ddecay = ddecay.f32() + c,
                                                .dfirst = dfirst.f32() + c,
                                                .scratch = scratch.rows(omp_get_thread_num(), 1)
                                                               .f32()});
             });
             return {dkey, dvalue, ddecay, dfirst};
           });
  return out;
}

}  // namespace sumi::ops
