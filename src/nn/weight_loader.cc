#include "nn/weight_loader.h"

#include <algorithm>
#include <cstring>

#include "base/threads.h"
#include "kernels/picture_tiles.h"
#include "kernels/quantize_reference.h"
#include "nn/float_rows.h"
#include "tensor/autograd.h"

namespace sumi::nn {

namespace {

constexpr size_t kNamesShown = 5;

std::string list_names(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kNamesShown); ++i)
    text += (i > 0 ? ", " : "") + names[i];
  if (names.size() > kNamesShown) text += fmt::format(" and {} more", names.size() - kNamesShown);
  return text;
}

// [K, N] -> [N, K] of elements of `Element`'s size.
template <class Element>
Tensor transpose(const Tensor& x) {
  const int64_t k = x.size(0), n = x.size(1);
  Tensor y = Tensor::empty({n, k}, x.dtype());
  const auto* from = reinterpret_cast<const Element*>(x.bytes());
  auto* to = reinterpret_cast<Element*>(y.bytes());
  constexpr int64_t kTile = 32;  // keeps a tile of both in the first cache
  base::parallel_for(n, kTile, [&](int64_t begin, int64_t end) {
    for (int64_t r0 = begin; r0 < end; r0 += kTile)
      for (int64_t c0 = 0; c0 < k; c0 += kTile)
        for (int64_t r = r0; r < std::min(r0 + kTile, end); ++r)
          for (int64_t c = c0; c < std::min(c0 + kTile, k); ++c) to[r * k + c] = from[c * n + r];
  });
  return y;
}

Tensor gather_rows(const Tensor& x, const std::vector<int64_t>& order) {
  const auto rows = static_cast<int64_t>(order.size());
  const int64_t row_bytes = rows > 0 ? x.nbytes() / rows : 0;
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  for (int64_t r = 0; r < rows; ++r)
    std::memcpy(y.bytes() + r * row_bytes, x.bytes() + order[static_cast<size_t>(r)] * row_bytes,
                static_cast<size_t>(row_bytes));
  return y;
}

// f32 [N, K] as q8_0: int8 with a scale for every 32.
Tensor quantized_q8_0(const Tensor& x) {
  Tensor codes = Tensor::empty(x.shape(), DType::q8_0);
  const int64_t row = x.size(1), row_bytes = codes.nbytes() / x.size(0);
  base::parallel_for(x.size(0), 1, [&](int64_t begin, int64_t end) {
    kernels::quantize_q8_0(x.f32() + begin * row, (end - begin) * row,
                           codes.bytes() + begin * row_bytes);
  });
  return codes;
}

// table [V, C] with the added rows among or after its own.
Tensor with_rows(const Tensor& table, const TokenRows& added) {
  Tensor all = Tensor::zeros({std::max(table.size(0), added.end()), table.size(1)});
  std::memcpy(all.bytes(), table.bytes(), static_cast<size_t>(table.nbytes()));
  std::memcpy(all.rows(added.begin, added.rows.size(0)).bytes(), added.rows.bytes(),
              static_cast<size_t>(added.rows.nbytes()));
  return all;
}

}  // namespace

void check_names(const formats::TensorSource& source, const std::vector<std::string>& expected,
                 const std::function<bool(const std::string&)>& ignored) {
  std::vector<std::string> missing, unexpected;
  for (const std::string& name : expected)
    if (!source.has(name)) missing.push_back(name);
  if (!missing.empty())
    fail("{}: {} of the {} tensors expected are missing: {}", source.describe(), missing.size(),
         expected.size(), list_names(missing));
  const std::unordered_set<std::string> known(expected.begin(), expected.end());
  for (const formats::TensorInfo& info : source.tensors())
    if (known.count(info.name) == 0 && !ignored(info.name)) unexpected.push_back(info.name);
  if (!unexpected.empty())
    fail("{}: {} tensors that the configuration does not call for: {}", source.describe(),
         unexpected.size(), list_names(unexpected));
}

WeightLoader::WeightLoader(const formats::TensorSource& source, LoadOptions options)
    : source_(source), options_(std::move(options)) {
  for (const formats::TensorInfo& info : source_.tensors())
    total_bytes_ += tensor::byte_count(info.shape, info.dtype);
}

void WeightLoader::check_all_used(const std::function<bool(const std::string&)>& ignored) const {
  check_names(source_, {}, [&](const std::string& name) {
    return used_.count(name) > 0 || ignored(name);
  });
}

Tensor WeightLoader::raw(const std::string& name, const Shape& shape, bool is_embedding) const {
  if (options_.initial) return options_.initial->make(name, shape, is_embedding);
  Tensor tensor = source_.get(name);
  if (tensor.shape() != shape)
    fail("{}: tensor {}: expected shape {}, found {}", source_.describe(), name,
         tensor::shape_string(shape), tensor::shape_string(tensor.shape()));
  if (!is_float(tensor.dtype()) && !is_quantized(tensor.dtype()))
    fail("{}: tensor {}: expected f32, f16, bf16 or a block-quantized type, found {}",
         source_.describe(), name, dtype_name(tensor.dtype()));
  return tensor;
}

Tensor WeightLoader::matrix(const WeightName& name, int64_t n, int64_t k,
                            bool is_embedding) const {
  const std::string full = name.file + ".weight";
  Tensor tensor = raw(full, name.transposed ? Shape{k, n} : Shape{n, k}, is_embedding);
  if (name.transposed) {
    if (is_quantized(tensor.dtype()))
      fail("{}: tensor {}: {} lies transposed, which only float types may", source_.describe(),
           full, dtype_name(tensor.dtype()));
    tensor =
        tensor.dtype() == DType::f32 ? transpose<uint32_t>(tensor) : transpose<uint16_t>(tensor);
  }
  if (name.unit_rows) {
    if (is_quantized(tensor.dtype()))
      fail(
          "{}: tensor {}: its rows must be divided by their length, which only float types allow; "
          "found {}",
          source_.describe(), full, dtype_name(tensor.dtype()));
    tensor = unit_rows(tensor);
  }
  if (!name.row_order.empty()) tensor = gather_rows(tensor, name.row_order);
  return tensor;
}

Tensor WeightLoader::parameter(const std::string& name, Tensor value,
                               const Arrangement& arrangement) {
  if (options_.trainable) {
    value.set_requires_grad(true);
    parameters_.add(name, value, arrangement);
  }
  memory_bytes_ += static_cast<size_t>(value.nbytes());
  return value;
}

void WeightLoader::done(const std::string& name) {
  used_.insert(name);
  if (options_.initial) return;
  done_bytes_ += source_.get(name).nbytes();
  source_.release(name);
  if (options_.progress && total_bytes_ > 0)
    options_.progress(
        std::min(1.0, static_cast<double>(done_bytes_) / static_cast<double>(total_bytes_)));
}

Tensor WeightLoader::float_tensor(const std::string& name, const Shape& shape) const {
  Tensor tensor = raw(name, shape);
  if (!is_float(tensor.dtype()))
    fail("{}: tensor {}: expected f32, f16 or bf16, found {}", source_.describe(), name,
         dtype_name(tensor.dtype()));
  return tensor;
}

Tensor WeightLoader::values(const WeightName& name, const Shape& shape) {
  const Tensor value = float_tensor(name.file, shape).to(DType::f32);
  done(name.file);
  return parameter(name.parameter, value);
}

Tensor WeightLoader::vector(const WeightName& name, const std::string& suffix, int64_t n) {
  const std::string full = name.file + suffix;
  Tensor value = float_tensor(full, {n}).to(DType::f32);
  if (!name.row_order.empty()) value = gather_rows(value, name.row_order);
  done(full);
  return parameter(name.parameter + suffix, value, name.exported);
}

Norm WeightLoader::norm(const WeightName& name, NormKind kind, int64_t n, bool bias, float eps,
                        float offset) {
  Tensor weight = vector(name, ".weight", n);
  return Norm(kind, weight, bias ? vector(name, ".bias", n) : Tensor(), eps, offset);
}

Embedding WeightLoader::embedding(const WeightName& name, int64_t rows, int64_t columns) {
  if (!options_.plain()) {
    used_.insert(name.file + ".weight");
    return Embedding(matrix(name, rows, columns, true));
  }
  Tensor table = as_kept(dequantize(matrix(name, rows, columns, true)));
  done(name.file + ".weight");
  return Embedding(parameter(name.parameter + ".weight", table, name.exported));
}

Linear WeightLoader::linear(const std::vector<WeightName>& parts, const std::vector<int64_t>& n,
                            int64_t k, bool bias) {
  const tensor::NoGrad no_grad;
  if (options_.plain()) {
    std::vector<Linear::Part> plain;
    for (size_t i = 0; i < parts.size(); ++i) {
      Tensor weight = dequantize(matrix(parts[i], n[i], k));
      if (options_.edit) options_.edit(site(parts[i], n[i], k), weight);
      done(parts[i].file + ".weight");
      weight = as_kept(weight);
      plain.push_back({parameter(parts[i].parameter + ".weight", weight, parts[i].exported),
                       bias ? vector(parts[i], ".bias", n[i]) : Tensor()});
    }
    Linear layer(std::move(plain), options_.products);
    add_adapters(parts, n, k, layer);
    return layer;
  }
  if (options_.many_rows) return many_row_linear(parts, n, k, bias);
  std::vector<Linear::Packed> packed;
  if (options_.separate_parts)
    for (size_t i = 0; i < parts.size(); ++i) packed.push_back(packed_linear({parts[i]}, {n[i]}, k, bias));
  else
    packed.push_back(packed_linear(parts, n, k, bias));
  Linear layer(std::move(packed));
  add_adapters(parts, n, k, layer);
  return layer;
}

Linear::Packed WeightLoader::packed_linear(const std::vector<WeightName>& parts, const std::vector<int64_t>& n, int64_t k,
                                           bool bias) {
  std::vector<Tensor> weights;
  int64_t total = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    weights.push_back(matrix(parts[i], n[i], k));
    total += n[i];
  }
  auto packed = std::make_shared<const ops::PackedWeight>(weights, options_.compute, &arena_);
  memory_bytes_ += packed->bytes();
  for (const WeightName& part : parts) done(part.file + ".weight");
  return {std::move(packed), bias ? joined_bias(parts, n, total) : Tensor()};
}

Tensor WeightLoader::joined_bias(const std::vector<WeightName>& parts,
                                 const std::vector<int64_t>& n, int64_t total) {
  Tensor joined = Tensor::empty({total});
  float* out = joined.f32();
  for (size_t i = 0; i < parts.size(); ++i) {
    const Tensor one = vector(parts[i], ".bias", n[i]);
    out = std::copy_n(one.f32(), n[i], out);
  }
  return joined;
}

bool WeightLoader::in_int8(const std::string& layer) const {
  return options_.int8_weights && !(options_.not_int8 && options_.not_int8->count(layer) > 0);
}

ops::ConvStorage WeightLoader::conv_storage(DType stored, bool int8) const {
  using ops::ConvStorage;
  using Compute = ops::PackedWeight::Compute;
  if (int8) return options_.int8_inputs ? ConvStorage::int8 : ConvStorage::int8_weights;
  if (options_.compute == Compute::f32) return ConvStorage::f32;
  if (options_.compute == Compute::stored && stored == DType::f32) return ConvStorage::f32;
  return stored == DType::f16 ? ConvStorage::f16 : ConvStorage::bf16;
}

std::shared_ptr<const ops::PackedConv> WeightLoader::packed_conv(const std::string& layer, const Tensor& weight,
                                                                 DType stored, const ops::Conv2dOptions& options,
                                                                 bool gated) {
  const auto pack = [&](bool int8) {
    const ops::ConvStorage storage = conv_storage(stored, int8);
    auto packed = std::make_shared<ops::PackedConv>(weight, storage, options, 64,
                                                    gated && ops::PackedConv::can_gate(weight.shape(), storage));
    memory_bytes_ += packed->bytes();
    return packed;
  };
  const bool int8 = in_int8(layer);
  if (!int8 || !options_.int8_trial) return pack(int8);
  auto small = pack(true);
  if (!small->tiles() || !small->tiles()->int8) return small;  // nothing in int8 here
  auto plain = pack(false);
  options_.int8_trial->add({layer, plain, small});
  return plain;
}

Linear WeightLoader::many_row_linear(const std::vector<WeightName>& parts,
                                     const std::vector<int64_t>& n, int64_t k, bool bias,
                                     bool gated) {
  int64_t total = 0;
  for (const int64_t rows : n) total += rows;
  Tensor joined = Tensor::empty({total, k, 1, 1});
  float* out = joined.f32();
  DType stored = DType::f32;
  for (size_t i = 0; i < parts.size(); ++i) {
    const Tensor weight = matrix(parts[i], n[i], k);
    stored = weight.dtype();
    const Tensor wide = dequantize(weight);
    out = std::copy_n(wide.f32(), wide.numel(), out);
    done(parts[i].file + ".weight");
  }
  const Tensor own_bias = bias ? joined_bias(parts, n, total) : Tensor();
  const bool codes = in_int8(parts[0].parameter) && options_.int8_inputs && !kernels::has_picture_tiles() &&
                     k % dtype_block_size(DType::q8_0) == 0;
  const auto as_codes = [&] {
    const std::vector<Tensor> rounded = {quantized_q8_0(joined.view({total, k}))};
    auto packed = std::make_shared<const ops::PackedWeight>(rounded, ops::PackedWeight::Compute::stored, &arena_);
    memory_bytes_ += packed->bytes();
    return std::vector{Linear::Packed{std::move(packed), own_bias}};
  };
  Linear layer = codes ? Linear(as_codes())
                       : Linear(packed_conv(parts[0].parameter, joined, stored, {}, gated && !options_.lora), own_bias);
  add_adapters(parts, n, k, layer);
  return layer;
}

Linear WeightLoader::gated_linear(const WeightName& name, int64_t n, int64_t k, bool bias) {
  const tensor::NoGrad no_grad;
  if (options_.many_rows && !options_.plain()) return many_row_linear({name}, {n}, k, bias, true);
  return linear({name}, {n}, k, bias);
}

Conv2d WeightLoader::conv2d(const WeightName& name, int64_t out, int64_t in, int64_t kernel,
                            const ops::Conv2dOptions& options, bool bias) {
  const std::string full = name.file + ".weight";
  const Tensor weight = float_tensor(full, {out, in, kernel, kernel});
  if (options_.plain()) {
    const Tensor plain = parameter(name.parameter + ".weight", as_kept(weight.to(DType::f32)));
    done(full);
    return Conv2d(plain, bias ? vector(name, ".bias", out) : Tensor(), options, options_.products);
  }
  auto packed = packed_conv(name.parameter, weight, weight.dtype(), options);
  done(full);
  return Conv2d(std::move(packed), bias ? vector(name, ".bias", out) : Tensor(), options);
}

GroupNorm WeightLoader::group_norm(const WeightName& name, int64_t channels, int64_t groups,
                                   float eps) {
  Tensor weight = vector(name, ".weight", channels);
  return GroupNorm(weight, vector(name, ".bias", channels), groups, eps);
}

LoraSite WeightLoader::site(const WeightName& part, int64_t n, int64_t k) const {
  return {part.parameter, n, k, part.exported.row_order, part.exported.transposed};
}

void WeightLoader::add_adapters(const std::vector<WeightName>& parts,
                                const std::vector<int64_t>& n, int64_t k, Linear& layer) const {
  if (!options_.lora) return;
  int64_t begin = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (auto adapter = options_.lora(site(parts[i], n[i], k)))
      layer.add_adapter(begin, std::move(adapter));
    begin += n[i];
  }
}

// A plain f32 matrix as memory holds it.
Tensor WeightLoader::as_kept(const Tensor& weight) const {
  const bool narrow = options_.frozen && options_.products == ops::Products::bf16;
  return narrow ? weight.to(DType::bf16) : weight;
}

TokenRows WeightLoader::token_rows(const WeightName& name, const Tensor& table) const {
  TokenRows added = options_.token_rows(name.parameter, table);
  if (added.defined() && (added.begin < 0 || added.begin > table.size(0) || added.rows.dim() != 2 ||
                          added.rows.size(1) != table.size(1)))
    fail("{}: {}: rows {} from {} on for added tokens, the table is {}", source_.describe(),
         name.parameter, tensor::shape_string(added.rows.shape()), added.begin,
         tensor::shape_string(table.shape()));
  return added;
}

Embedding WeightLoader::token_embedding(const WeightName& name, int64_t rows, int64_t columns) {
  if (!options_.token_rows) return embedding(name, rows, columns);
  const Tensor stored = matrix(name, rows, columns);
  TokenRows added = token_rows(name, stored);
  if (!added.defined()) return embedding(name, rows, columns);
  if (!options_.plain()) {
    used_.insert(name.file + ".weight");
    return Embedding(stored, added);
  }
  const Tensor table = as_kept(with_rows(dequantize(stored), added));
  done(name.file + ".weight");
  if (!added.rows.requires_grad()) added = {};
  return Embedding(parameter(name.parameter + ".weight", table, name.exported), added);
}

Linear WeightLoader::head(const WeightName& name, int64_t n, int64_t k, bool bias) {
  if (!options_.token_rows) return linear({name}, {n}, k, bias);
  const Tensor stored = matrix(name, n, k);
  const TokenRows added = token_rows(name, stored);
  if (!added.defined()) return linear({name}, {n}, k, bias);
  if (bias)
    fail("{}: {}: tokens cannot be added to a head with a bias", source_.describe(), name.parameter);
  Linear layer;
  if (options_.plain()) {
    Tensor weight = dequantize(stored);
    if (options_.edit) options_.edit(site(name, n, k), weight);
    weight = as_kept(with_rows(weight, added));
    layer = plain_head(parameter(name.parameter + ".weight", weight, name.exported), added);
  } else {
    layer = packed_head(stored, added);
  }
  add_adapters({name}, {std::max(n, added.end())}, k, layer);
  done(name.file + ".weight");
  return layer;
}

Linear WeightLoader::plain_head(const Tensor& weight, const TokenRows& added) const {
  Linear layer({{weight, Tensor()}}, options_.products);
  if (added.defined() && added.rows.requires_grad()) layer.set_token_rows(added);
  return layer;
}

// Rows that are trained are computed beside the packed ones; others are packed among them.
Linear WeightLoader::packed_head(const Tensor& weight, const TokenRows& added) {
  const tensor::NoGrad no_grad;
  const int64_t n = weight.size(0), k = weight.size(1);
  const bool trained = added.defined() && added.rows.requires_grad();
  const int64_t begin = added.defined() ? added.begin : n, more = std::max(added.end() - n, int64_t{0});
  std::vector<Tensor> parts;
  if (trained) {
    parts = {weight};
    if (more > 0) parts.push_back(Tensor::zeros({more, k}));
  } else {
    if (begin > 0) parts.push_back(weight.rows(0, begin));
    if (added.defined()) parts.push_back(added.rows);
    if (const int64_t next = added.defined() ? added.end() : n; next < n)
      parts.push_back(weight.rows(next, n - next));
  }
  auto packed = std::make_shared<const ops::PackedWeight>(parts, options_.compute, &arena_);
  memory_bytes_ += packed->bytes();
  Linear layer(std::vector{Linear::Packed{std::move(packed), Tensor()}});
  if (trained) layer.set_token_rows(added);
  return layer;
}

Linear WeightLoader::tied(const WeightName& name, const Embedding& embedding) {
  if (options_.plain()) return plain_head(embedding.table(), embedding.added());
  Linear layer = packed_head(embedding.table(), embedding.added());
  done(name.file + ".weight");
  return layer;
}

}  // namespace sumi::nn
