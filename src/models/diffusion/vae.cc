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

std::unique_ptr<Vae> make_vae(const Config& config, const formats::TensorSource& source,
                              const VaeOptions& options) {
  const std::string name = config.get_string("_class_name", "AutoencoderKL");
  if (name == "AutoencoderKL") return std::make_unique<AutoencoderKl>(config, source, options);
  if (name == "AutoencoderTiny") return std::make_unique<AutoencoderTiny>(config, source, options);
  fail("{}: _class_name: expected AutoencoderKL or AutoencoderTiny, found {}", config.file(), name);
}

std::unique_ptr<Vae> open_vae(const std::string& folder, const VaeOptions& options) {
  const Config config = Config::read(folder + "/config.json");
  return make_vae(config, *formats::open_weights_folder(folder), options);
}

}  // namespace sumi::models
