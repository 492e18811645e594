#include "models/diffusion/vae.h"

#include "base/error.h"
#include "formats/weights_folder.h"
#include "models/diffusion/autoencoder_kl.h"
#include "models/diffusion/autoencoder_tiny.h"
#include "ops/elementwise.h"

namespace sumi::models {

Tensor LatentDistribution::sample(const Tensor& noise) const {
  return std.defined() ? ops::add(mean, ops::mul(std, noise)) : mean;
}

namespace {

bool is_tiny(const Config& config) {
  const std::string name = config.get_string("_class_name", "AutoencoderKL");
  if (name != "AutoencoderKL" && name != "AutoencoderTiny")
    fail("{}: _class_name: expected AutoencoderKL or AutoencoderTiny, found {}", config.file(),
         name);
  return name == "AutoencoderTiny";
}

}  // namespace

int64_t vae_factor(const Config& config) {
  const size_t levels =
      is_tiny(config)
          ? config.has("encoder_block_out_channels")
                ? config.get_ints("encoder_block_out_channels").size()
                : 4
          : autoencoder_kl_spec(config).block_out_channels.size();
  if (levels < 1 || levels > 8)
    fail("{}: encoder_block_out_channels has {} entries, expected 1 to 8", config.file(), levels);
  return int64_t{1} << (levels - 1);
}

std::unique_ptr<Vae> make_vae(const Config& config, const formats::TensorSource& source,
                              const VaeOptions& options) {
  if (is_tiny(config)) return std::make_unique<AutoencoderTiny>(config, source, options);
  return std::make_unique<AutoencoderKl>(config, source, options);
}

std::unique_ptr<Vae> open_vae(const std::string& folder, const VaeOptions& options) {
  const Config config = Config::read(folder + "/config.json");
  return make_vae(config, *formats::open_weights_folder(folder), options);
}

}  // namespace sumi::models
