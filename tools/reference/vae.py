"""Writes tests/data/vae/: tiny random autoencoders, and what diffusers computes with them.

One folder per case (config.json, diffusion_pytorch_model.safetensors) and expected.safetensors, pictures and latents NHWC:
  picture [B, H, W, 3], mean and std [B, h, w, C]      encode
  latents [B, h, w, C], decoded [B, H, W, 3]           decode
  large_picture, large_mean, large_latents, large_decoded   the same in tiles
  mix, grad.<parameter>                                (one case) gradients of mean(decode(latents) * mix)
Usage: python tools/reference/vae.py [case ...]
"""
import json
import sys
import zlib
from pathlib import Path

import diffusers
import torch
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[2] / "tests" / "data" / "vae"


def kl(**changes):
    base = dict(_class_name="AutoencoderKL", act_fn="silu", block_out_channels=[4, 8, 8],
                down_block_types=["DownEncoderBlock2D"] * 3, up_block_types=["UpDecoderBlock2D"] * 3, in_channels=3,
                out_channels=3, latent_channels=4, layers_per_block=1, norm_num_groups=2, sample_size=32,
                scaling_factor=0.18215)
    return {**base, **changes}


CASES = {
    "kl": (kl(), dict(gradients=True)),
    # Two layers, no attention, no 1x1 convolutions around the latents, another size of tiles.
    "kl_bare": (kl(block_out_channels=[4, 12], down_block_types=["DownEncoderBlock2D"] * 2,
                   up_block_types=["UpDecoderBlock2D"] * 2, layers_per_block=2, sample_size=24, use_quant_conv=False,
                   use_post_quant_conv=False, mid_block_add_attention=False, latent_channels=3), {}),
    "kl_old_names": (kl(block_out_channels=[4, 8], down_block_types=["DownEncoderBlock2D"] * 2,
                        up_block_types=["UpDecoderBlock2D"] * 2), dict(old_names=True)),
    "tiny": (dict(_class_name="AutoencoderTiny", encoder_block_out_channels=[6, 6, 6], in_channels=3, out_channels=3,
                  decoder_block_out_channels=[6, 6, 6], num_encoder_blocks=[1, 2, 1], num_decoder_blocks=[2, 1, 1],
                  latent_channels=4, act_fn="relu", scaling_factor=1.0), {}),
}
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def randomize(model, gain=1.2):
    """Large weights, norms and biases that bfloat16 holds exactly."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                value = torch.randn_like(p) * 0.3 + (1 if "norm" in name and name.endswith("weight") else 0)
            else:
                value = torch.randn_like(p) * (gain / p[0].numel() ** 0.5)
            p.copy_(value.bfloat16().float())


def nhwc(x):
    return x.detach().permute(0, 2, 3, 1).contiguous().float()


def write_case(name):
    settings, options = CASES[name]
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
    torch.manual_seed(zlib.crc32(name.encode()))
    kind = getattr(diffusers, settings["_class_name"])
    model = kind.from_config(settings).eval()
    randomize(model)
    tensors = {}
    for n, p in model.named_parameters():
        if options.get("old_names"):
            for new, old in OLD_NAMES.items():
                n = n.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
        tensors[n] = p.detach().bfloat16().contiguous()
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})

    expected = {}
    levels = len(settings.get("block_out_channels", settings.get("encoder_block_out_channels")))
    factor, channels = 2 ** (levels - 1), settings["latent_channels"]
    for prefix, height, width, batch in [("", 16, 24, 2), ("large_", 64, 40, 1)]:
        if prefix and settings["_class_name"] == "AutoencoderTiny":
            continue
        picture = torch.rand(batch, 3, height, width) * 2 - 1
        latents = torch.randn(batch, channels, height // factor, width // factor)
        if prefix:
            model.enable_tiling()
        with torch.no_grad():
            if settings["_class_name"] == "AutoencoderKL":
                posterior = model.encode(picture).latent_dist
                expected[prefix + "mean"] = nhwc(posterior.mean)
                expected[prefix + "std"] = nhwc(posterior.std)
            else:
                expected[prefix + "mean"] = nhwc(model.encode(picture).latents)
            decoded = model.decode(latents).sample
        expected[prefix + "picture"], expected[prefix + "latents"] = nhwc(picture), nhwc(latents)
        expected[prefix + "decoded"] = nhwc(decoded)
        if options.get("gradients") and not prefix:
            mix = torch.randn_like(decoded)
            (model.decode(latents).sample * mix).mean().backward()
            expected["mix"] = nhwc(mix)
            for n, p in model.named_parameters():
                if p.grad is not None:
                    expected["grad." + n] = p.grad.contiguous()
    save_file(expected, folder / "expected.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case in sys.argv[1:] or CASES:
        write_case(case)
        print(case, sum(f.stat().st_size for f in (OUT / case).iterdir()))
