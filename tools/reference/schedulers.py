"""Each scheduler's timesteps, sigmas and steps in diffusers -> tests/data/diffusion/schedulers.{json,safetensors}.

Samples and model outputs are drawn from torch generators, so the test draws them itself: seed 11 the sample [2, 3, 2, 3], seed
100 + i the output of step i, seed 5 the noise that add_noise and the steps use.
"""

import json
import pathlib
import warnings

import diffusers
import numpy
import torch
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "diffusion"
SHAPE = (2, 3, 2, 3)
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
V = {"prediction_type": "v_prediction"}
X0 = {"prediction_type": "sample"}
THRESHOLD = {"thresholding": True, "sample_max_value": 1.5, "dynamic_thresholding_ratio": 0.95}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
SPACINGS = [{"timestep_spacing": s, "steps_offset": o} for s, o in
            (("linspace", 0), ("leading", 1), ("trailing", 0))]

# name, class, steps, then configurations
GROUPS = [
    ("ddim", "DDIMScheduler", 5, [{}, SD | {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1},
     *[SD | s for s in SPACINGS], SD | V | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
     SD | X0, THRESHOLD, COSINE | {"clip_sample_range": 2.0}, SD | {"eta": 0.7}, SD | V | {"eta": 1.0}]),
    ("ddpm", "DDPMScheduler", 5, [{}, *[SD | s for s in SPACINGS], SD | V, X0 | {"clip_sample_range": 0.8},
     COSINE | THRESHOLD | {"variance_type": "learned_range"}, {"variance_type": "fixed_large"},
     {"variance_type": "fixed_small_log"}, {"beta_schedule": "sigmoid"}, {"beta_schedule": "laplace"}]),
    ("pndm", "PNDMScheduler", 7, [{}, SD | {"skip_prk_steps": True, "steps_offset": 1}, V,
     SD | V | {"skip_prk_steps": True, "set_alpha_to_one": True},
     *[SD | s | {"skip_prk_steps": True} for s in SPACINGS], COSINE]),
    ("euler", "EulerDiscreteScheduler", 6, [{}, *[SD | s for s in SPACINGS], SD | V, SD | X0,
     SD | {"use_karras_sigmas": True}, SD | {"use_exponential_sigmas": True, "timestep_spacing": "leading"},
     SD | {"final_sigmas_type": "sigma_min"}, SD | V | {"timestep_type": "continuous"},
     SD | V | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
     SD | {"interpolation_type": "log_linear"}, SD | {"use_karras_sigmas": True, "sigma_min": 0.1, "sigma_max": 9.0}]),
    ("euler_a", "EulerAncestralDiscreteScheduler", 6, [{}, *[SD | s for s in SPACINGS], SD | V,
     SD | V | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}]),
    ("heun", "HeunDiscreteScheduler", 5, [{}, *[SD | s for s in SPACINGS], SD | V, SD | X0,
     SD | {"use_karras_sigmas": True}, SD | {"clip_sample": True}, {"beta_schedule": "exp", "beta_end": 0.02}]),
    ("lms", "LMSDiscreteScheduler", 7, [{}, *[SD | s for s in SPACINGS], SD | V, SD | X0,
     SD | {"use_karras_sigmas": True}]),
    ("dpm", "DPMSolverMultistepScheduler", 6, [{}, *[SD | s for s in SPACINGS], SD | V, SD | X0,
     SD | {"use_karras_sigmas": True}, SD | {"use_exponential_sigmas": True},
     SD | {"algorithm_type": "sde-dpmsolver++"}, SD | {"algorithm_type": "sde-dpmsolver++", "solver_type": "heun"},
     SD | {"algorithm_type": "sde-dpmsolver++", "solver_order": 3, "use_karras_sigmas": True},
     SD | {"solver_order": 3}, SD | {"solver_order": 1}, SD | {"solver_type": "heun"},
     SD | {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
     SD | V | {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "solver_order": 3},
     SD | X0 | {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "solver_type": "heun"},
     SD | {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"},
     SD | {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min", "solver_type": "heun"},
     SD | {"lower_order_final": False, "final_sigmas_type": "sigma_min"}, SD | {"euler_at_final": True},
     COSINE | THRESHOLD | {"lambda_min_clipped": -5.1}, COSINE | {"use_karras_sigmas": True},
     SD | V | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
     COSINE | THRESHOLD | {"variance_type": "learned_range"}]),
    ("dpm16", "DPMSolverMultistepScheduler", 16, [SD, SD | {"solver_order": 3}]),
    ("unipc", "UniPCMultistepScheduler", 6, [{}, *[SD | s for s in SPACINGS], SD | V, SD | X0,
     SD | {"use_karras_sigmas": True}, SD | {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"},
     SD | {"solver_order": 3}, SD | {"solver_type": "bh1", "final_sigmas_type": "sigma_min"},
     SD | {"solver_order": 3, "solver_type": "bh1", "final_sigmas_type": "sigma_min"},
     SD | {"predict_x0": False, "final_sigmas_type": "sigma_min"}, SD | {"disable_corrector": [0, 2]},
     SD | {"lower_order_final": False, "final_sigmas_type": "sigma_min", "solver_order": 3}, THRESHOLD]),
    ("lcm", "LCMScheduler", 4, [{}, V, X0 | {"clip_sample": True}, THRESHOLD | {"original_inference_steps": 20},
     {"timestep_scaling": 1.0, "set_alpha_to_one": False}]),
]


def randn(seed, shape=SHAPE):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run(kind, steps, config, tensors, name):
    eta = config.pop("eta", None)
    scheduler = getattr(diffusers, kind).from_config(config)
    scheduler.set_timesteps(steps)
    tensors[f"{name}.timesteps"] = numpy.float32(scheduler.timesteps.numpy())
    tensors[f"{name}.init"] = numpy.float32([float(scheduler.init_noise_sigma)])
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(1)
    noised = scheduler.add_noise(randn(11), randn(5), scheduler.timesteps[1:2])
    tensors[f"{name}.noised"] = noised.numpy()
    scheduler = getattr(diffusers, kind).from_config(config)
    scheduler.set_timesteps(steps)
    if hasattr(scheduler, "set_begin_index"):  # else a first timestep that comes twice is passed over
        scheduler.set_begin_index(0)
    sample = randn(11) * float(scheduler.init_noise_sigma)
    generator = torch.Generator().manual_seed(5)
    options = {"eta": eta} if eta is not None else {}
    if "generator" in scheduler.step.__code__.co_varnames:
        options["generator"] = generator
    scaled, samples = [], []
    channels = 6 if config.get("variance_type") == "learned_range" else 3
    for i, t in enumerate(scheduler.timesteps):
        scaled.append(scheduler.scale_model_input(sample, t).numpy())
        output = randn(100 + i, (2, channels, 2, 3))
        if "variance_type" in config and kind.startswith("DDPM") and channels == 6:
            output[:, 3:] = output[:, 3:].clamp(-1, 1)
        sample = scheduler.step(output, t, sample, **options).prev_sample
        assert torch.isfinite(sample).all(), (name, i)
        samples.append(sample.numpy())
    tensors[f"{name}.scaled"] = numpy.stack(scaled)
    tensors[f"{name}.samples"] = numpy.stack(samples)


def main():
    warnings.simplefilter("ignore")
    diffusers.utils.logging.set_verbosity_error()
    cases, tensors = [], {}
    for group, kind, steps, configs in GROUPS:
        for number, config in enumerate(configs):
            name = f"{group}.{number}"
            config = {"_class_name": kind} | config
            cases.append({"name": name, "steps": steps, "config": dict(config)})
            run(kind, steps, config, tensors, name)
    OUT.mkdir(parents=True, exist_ok=True)
    save_file(tensors, OUT / "schedulers.safetensors")
    lines = ",\n".join(json.dumps(case) for case in cases)
    (OUT / "schedulers.json").write_text(f"[\n{lines}\n]\n")
    print(len(cases), "cases")


if __name__ == "__main__":
    main()
