"""Writes tests/data/diffusion/: tiny random UNets and ControlNets and what diffusers computes with them.

One folder per case (config.json, diffusion_pytorch_model.safetensors or .bin) and expected.safetensors, pictures as
[B, H, W, C] f32:
  sample, timesteps [B], context [B, T, C]              the inputs of a step; some cases also classes [B],
  pooled_text [B, P], time_ids [B, 6], time_condition   ... and
  output                                                the UNet's answer
  grad.<parameter>, grad_output                         (some) gradients of sum(output * grad_output)
ControlNets have condition [B, 8 H, 8 W, 3] instead of an output, and down.<i>, mid, guess.down.<i>, guess.mid (scale 0.6),
grad_down.<i>, grad_mid; the case "controlled" is a UNet that gets the residuals of "controlnet".
Float32 (gradients: double, rounded), random and large weights, so that a mistake anywhere shows.
Usage: python tools/reference/diffusion.py [case ...]
"""
import json
import sys
import zlib
from pathlib import Path

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parents[2] / "tests" / "data" / "diffusion"


def unet(**changes):
    base = dict(_class_name="UNet2DConditionModel", in_channels=4, out_channels=4, block_out_channels=[8, 16],
                down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"], up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
                layers_per_block=1, norm_num_groups=4, cross_attention_dim=12, attention_head_dim=2, norm_eps=1e-5,
                sample_size=16, act_fn="silu", flip_sin_to_cos=True, freq_shift=0, downsample_padding=1,
                mid_block_scale_factor=1)
    return {**base, **changes}


def controlnet(**changes):
    base = unet(_class_name="ControlNetModel", conditioning_embedding_out_channels=[4, 6, 8, 10])
    for key in ("out_channels", "up_block_types", "sample_size"):
        base.pop(key)
    return {**base, **changes}


# name: (config, options)
CASES = {
    "sd1": (unet(layers_per_block=2), dict(dtype=torch.float16)),
    # Odd sizes on every level, three levels, batch of one.
    "sd1_odd": (unet(block_out_channels=[8, 8, 16], down_block_types=["CrossAttnDownBlock2D"] * 2 + ["DownBlock2D"],
                     up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 2, mid_block_scale_factor=1.5,
                     flip_sin_to_cos=False, freq_shift=1, downsample_padding=0),
                dict(size=(11, 7), batch=1, dtype=torch.bfloat16, pickle=True)),
    "sd2": (unet(use_linear_projection=True, attention_head_dim=[2, 4]), dict(dtype=torch.bfloat16, size=(6, 10))),
    "inpaint": (unet(in_channels=9), dict(dtype=torch.float16)),
    "upscaler": (unet(in_channels=7, use_linear_projection=True, only_cross_attention=[True, False], num_class_embeds=30,
                      down_block_types=["CrossAttnDownBlock2D"] * 2, up_block_types=["CrossAttnUpBlock2D"] * 2),
                 dict(dtype=torch.bfloat16, classes=[20, 3])),
    "xl": (unet(block_out_channels=[8, 16], down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
                up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"], transformer_layers_per_block=[1, 2],
                attention_head_dim=[1, 2], use_linear_projection=True, addition_embed_type="text_time",
                addition_time_embed_dim=6, projection_class_embeddings_input_dim=6 * 6 + 10, class_embed_type=None),
           dict(dtype=torch.bfloat16, pooled=10, size=(6, 8))),
    # What else a configuration may ask for.
    "options": (unet(resnet_time_scale_shift="scale_shift", class_embed_type="timestep", time_cond_proj_dim=5,
                     encoder_hid_dim=7, encoder_hid_dim_type="text_proj", mid_block_type="UNetMidBlock2D",
                     conv_in_kernel=1, conv_out_kernel=5, time_embedding_dim=20),
                dict(dtype=torch.float16, classes=[5, 700], condition=5, context=7)),
    "projection": (unet(class_embed_type="projection", projection_class_embeddings_input_dim=9, mid_block_type=None),
                   dict(dtype=torch.float16, class_vectors=9)),
    "gradients": (unet(block_out_channels=[8, 8], attention_head_dim=2), dict(gradients=True, size=(8, 6))),
    "controlnet": (controlnet(), dict(dtype=torch.float16, size=(4, 6), conditioned=True)),
    "controlnet_bgr": (controlnet(controlnet_conditioning_channel_order="bgr", use_linear_projection=True,
                                  attention_head_dim=[1, 4]), dict(dtype=torch.bfloat16, size=(3, 5), batch=1)),
    "controlnet_gradients": (controlnet(block_out_channels=[8, 8]), dict(gradients=True, size=(6, 4))),
}


def randomize(model, dtype, scale=1.2):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                value = 1 + 0.3 * torch.randn_like(p)
            elif name.endswith("bias"):
                value = 0.3 * torch.randn_like(p)
            elif "class_embedding.weight" in name:
                value = torch.randn_like(p)
            else:
                fan_in = p[0].numel()
                value = torch.randn_like(p) * scale * (1.6 if "to_q" in name or "to_k" in name else 1.0) / fan_in**0.5
            p.copy_(value.to(dtype).float())


def nhwc(x):
    return x.permute(0, 2, 3, 1).contiguous()


def write_case(name):
    settings, options = CASES[name]
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings, indent=1) + "\n")
    torch.manual_seed(zlib.crc32(name.encode()))
    control = settings["_class_name"] == "ControlNetModel"
    model = (ControlNetModel if control else UNet2DConditionModel).from_config(
        {k: v for k, v in settings.items() if k != "_class_name"}).float().eval()
    dtype = options.get("dtype", torch.float32)
    randomize(model, dtype, 0.8 if options.get("gradients") else 1.2)
    tensors = {n: p.detach().to(dtype).contiguous() for n, p in model.named_parameters()}
    if options.get("pickle"):
        torch.save(tensors, folder / "diffusion_pytorch_model.bin")
    else:
        save_file(tensors, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})

    batch, (height, width) = options.get("batch", 2), options.get("size", (8, 6))
    sample = torch.randn(batch, settings["in_channels"], height, width)
    timesteps = torch.tensor([17, 981][:batch])
    context = torch.randn(batch, 5, options.get("context", settings["cross_attention_dim"]))
    if options.get("gradients"):  # in double, so that the rounding measured is ours alone
        model, sample, context = model.double(), sample.double(), context.double()
    expected = {"sample": nhwc(sample), "timesteps": timesteps.float(), "context": context}
    arguments = {}
    if "classes" in options:
        arguments["class_labels"] = torch.tensor(options["classes"])
        expected["classes"] = arguments["class_labels"].float()
    if "class_vectors" in options:
        arguments["class_labels"] = expected["class_vectors"] = torch.randn(batch, options["class_vectors"])
    if "condition" in options:
        arguments["timestep_cond"] = expected["time_condition"] = torch.randn(batch, options["condition"])
    if "pooled" in options:
        added = dict(text_embeds=torch.randn(batch, options["pooled"]),
                     time_ids=torch.tensor([[64.0, 48, 0, 3, 64, 48]]).repeat(batch, 1))
        arguments["added_cond_kwargs"] = added
        expected["pooled_text"], expected["time_ids"] = added["text_embeds"], added["time_ids"].contiguous()

    if not control:
        output = model(sample, timesteps, context, **arguments).sample
        expected["output"] = nhwc(output.detach())
        if options.get("gradients"):
            weights = torch.randn_like(output)
            expected["grad_output"] = nhwc(weights)
            (output * weights).sum().backward()
    else:
        condition = torch.rand(batch, 3, 8 * height, 8 * width).to(sample.dtype)
        expected["condition"] = nhwc(condition)
        down, mid = model(sample, timesteps, context, condition, return_dict=False)
        for i, x in enumerate(down):
            expected[f"down.{i}"] = nhwc(x.detach())
        expected["mid"] = nhwc(mid.detach())
        with torch.no_grad():
            guess_down, guess_mid = model(sample, timesteps, context, condition, conditioning_scale=0.6, guess_mode=True,
                                          return_dict=False)
        for i, x in enumerate(guess_down):
            expected[f"guess.down.{i}"] = nhwc(x)
        expected["guess.mid"] = nhwc(guess_mid)
        if options.get("gradients"):
            loss = 0
            for key, x in [(f"grad_down.{i}", x) for i, x in enumerate(down)] + [("grad_mid", mid)]:
                weights = torch.randn_like(x)
                expected[key] = nhwc(weights)
                loss = loss + (x * weights).sum()
            loss.backward()
        if options.get("conditioned"):
            # The UNet "inpaint" would have nine channels: this is the net of the case "sd1" with one layer.
            follower = UNet2DConditionModel.from_config({k: v for k, v in unet().items() if k != "_class_name"}).eval()
            randomize(follower, torch.float16)
            other = OUT / "controlled"
            other.mkdir(exist_ok=True)
            (other / "config.json").write_text(json.dumps(unet(), indent=1) + "\n")
            save_file({n: p.detach().half().contiguous() for n, p in follower.named_parameters()},
                      other / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
            with torch.no_grad():
                plain = follower(sample, timesteps, context).sample
                both = follower(sample, timesteps, context, down_block_additional_residuals=[2 * x for x in down],
                                mid_block_additional_residual=2 * mid).sample
            save_file({"sample": nhwc(sample), "timesteps": timesteps.float(), "context": context,
                       "output": nhwc(plain), "controlled": nhwc(both)}, other / "expected.safetensors")
    if options.get("gradients"):
        for parameter, p in model.named_parameters():
            expected["grad." + parameter] = p.grad.contiguous()
    save_file({key: value.float() for key, value in expected.items()}, folder / "expected.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case in sys.argv[1:] or CASES:
        write_case(case)
        print(case, sum(f.stat().st_size for f in (OUT / case).iterdir()))
