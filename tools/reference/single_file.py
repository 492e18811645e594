"""Writes tests/data/single_file/: checkpoints in the original naming, made from the tiny pipelines of tests/data/pipelines by the
inverse of diffusers' conversion; diffusers' own functions must turn each back into the tensors it was made from.

sd1.safetensors, xl.safetensors (from pipelines_more), sd2.ckpt (with what such files hold besides: EMA weights, buffers, a training state), controlnet.pth.
shapes.json: names and shapes of the published models' tensors, and the configurations that diffusers derives for them:
  {"sd1": {"tensors": {name: shape}, "unet": {...}, "vae": {...}}, "sd2": ...}
Usage: python tools/reference/single_file.py
"""
import json
import sys
import types
import warnings
from pathlib import Path

import diffusers
import torch
import transformers
from diffusers.loaders import single_file_utils as reference
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2] / "tests" / "data"
PARTS, OUT = ROOT / "pipelines" / "parts", ROOT / "single_file"
RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}


def ldm_unet(tensors, levels, layers):
    """levels: number of resolutions; layers: resnets in each on the way down."""
    top = {"conv_in": "input_blocks.0.0", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
           "conv_norm_out": "out.0", "conv_out": "out.2", "add_embedding.linear_1": "label_emb.0.0",
           "add_embedding.linear_2": "label_emb.0.2", "controlnet_mid_block": "middle_block_out.0"}
    hints = sorted({int(n.split(".")[2]) for n in tensors if n.startswith("controlnet_cond_embedding.blocks.")})
    result = {}
    for name, tensor in tensors.items():
        words = name.split(".")
        end = "." + words[-1]
        if name.removesuffix(end) in top:
            new = top[name.removesuffix(end)] + end
        elif words[0] == "controlnet_down_blocks":
            new = f"zero_convs.{words[1]}.0{end}"
        elif words[0] == "controlnet_cond_embedding":
            place = {"conv_in": 0, "conv_out": 2 * len(hints) + 2}.get(words[1])
            new = f"input_hint_block.{2 * int(words[2]) + 2 if place is None else place}{end}"
        elif words[0] == "mid_block":
            index = 1 if words[1] == "attentions" else 2 * int(words[2])
            new = f"middle_block.{index}." + ".".join([RESNET.get(words[3], words[3]), *words[4:]])
        else:
            level, kind, index = int(words[1]), words[2], int(words[3])
            down = words[0] == "down_blocks"
            block = level * (layers + 1) + (index + 1 if down else index)
            stem = f"{'input' if down else 'output'}_blocks."
            if kind == "downsamplers":
                new = f"{stem}{(level + 1) * (layers + 1)}.0.op{end}"
            elif kind == "upsamplers":
                last = level * (layers + 1) + layers
                attends = f"up_blocks.{level}.attentions.{layers}.norm.weight" in tensors
                new = f"{stem}{last}.{2 if attends else 1}.conv{end}"
            elif kind == "resnets":
                new = f"{stem}{block}.0." + ".".join([RESNET[words[4]], *words[5:]])
            else:
                new = f"{stem}{block}.1." + ".".join(words[4:])
        assert new not in result, new
        result[new] = tensor
    return result


def ldm_vae(tensors, levels):
    result = {}
    for name, tensor in tensors.items():
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        words = new.split(".")
        if words[1] == "down_blocks" or words[1] == "up_blocks":
            down = words[1] == "down_blocks"
            level = int(words[2]) if down else levels - 1 - int(words[2])
            rest = (["block", words[4], *words[5:]] if words[3] == "resnets" else
                    ["downsample" if down else "upsample", *words[5:]])
            new = ".".join([words[0], "down" if down else "up", str(level), *rest])
        new = new.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
        if "mid_block.attentions.0" in new:
            for ours, theirs in [("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")]:
                new = new.replace(f"mid_block.attentions.0.{ours}.", f"mid.attn_1.{theirs}.")
            tensor = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
        result[new] = tensor
    return result


def open_clip(tensors, layers):
    """With a last layer and a projection, unless the tensors have one: Stable Diffusion 2 does not use them."""
    result, width = {}, tensors["text_model.embeddings.token_embedding.weight"].shape[1]
    rename = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
              "self_attn.out_proj": "attn.out_proj"}
    for name, tensor in tensors.items():
        new = name.removeprefix("text_model.")
        if new.startswith("encoder.layers."):
            new = "transformer.resblocks." + new.removeprefix("encoder.layers.")
            for ours, theirs in rename.items():
                new = new.replace(ours, theirs)
            if "self_attn" in new:
                stem, end = new.split(".self_attn.")[0], new.split(".")[-1]
                if ".q_proj." not in new:
                    continue
                parts = [tensors[name.replace("q_proj", p)] for p in ("q_proj", "k_proj", "v_proj")]
                new, tensor = f"{stem}.attn.in_proj_{end}", torch.cat(parts)
        new = {"embeddings.token_embedding.weight": "token_embedding.weight",
               "embeddings.position_embedding.weight": "positional_embedding", "final_layer_norm.weight": "ln_final.weight",
               "final_layer_norm.bias": "ln_final.bias"}.get(new, new)
        result[new] = tensor
    if "text_projection.weight" in result:
        result["text_projection"] = result.pop("text_projection.weight").T.contiguous()
        return result
    for name in [n for n in result if n.startswith("transformer.resblocks.0.")]:
        result[name.replace("blocks.0.", f"blocks.{layers}.")] = torch.randn_like(result[name].float()).to(result[name].dtype)
    result["text_projection"] = torch.zeros(width, width, device=tensor.device)
    result["logit_scale"] = torch.zeros((), device=tensor.device)
    return result


def equal(found, expected, what):
    found = {n: t for n, t in found.items() if t is not None}
    assert found.keys() == expected.keys(), (what, found.keys() ^ expected.keys())
    for name, tensor in expected.items():
        assert torch.equal(found[name].reshape(tensor.shape), tensor), (what, name)


def check(checkpoint, unet, vae, encoder):
    equal(reference.convert_ldm_unet_checkpoint(dict(checkpoint), {"layers_per_block": 1}), unet, "unet")
    equal(reference.convert_ldm_vae_checkpoint(dict(checkpoint), {"down_block_types": [0] * 4, "up_block_types": [0] * 4}), vae, "vae")
    if any(".resblocks." in n for n in checkpoint):
        size = types.SimpleNamespace(config=types.SimpleNamespace(hidden_size=16))
        found = reference.convert_open_clip_checkpoint(size, dict(checkpoint))
        # diffusers leaves out the published models' last layer, which is number 23.
        last = max(int(n.split(".")[3]) for n in found if ".layers." in n)
        found = {n: t for n, t in found.items() if f".layers.{last}." not in n and n != "text_projection.weight"}
    else:
        found = reference.convert_ldm_clip_checkpoint(dict(checkpoint))
        found.pop("text_model.embeddings.position_ids")
    equal(found, encoder, "text encoder")


def prefixed(prefix, tensors):
    return {prefix + n: t.contiguous() for n, t in tensors.items()}


def shapes_of(unet_changes, clip_changes, width):
    """Tensors of the published model's shapes, without memory, and diffusers' configurations for them."""
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(**unet_changes)
        vae = diffusers.AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2,
                                      down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
        encoder = transformers.CLIPTextModel(transformers.CLIPTextConfig(**clip_changes))
    texts = {"text_model." + n.removeprefix("text_model."): p for n, p in encoder.named_parameters()}
    tensors = (prefixed("model.diffusion_model.", ldm_unet(dict(unet.named_parameters()), 4, 2)) |
               prefixed("first_stage_model.", ldm_vae(dict(vae.named_parameters()), 4)) |
               (prefixed("cond_stage_model.transformer.", texts) if width == 768 else
                prefixed("cond_stage_model.model.", open_clip(texts, 23))))
    network = dict(in_channels=4, out_channels=4, model_channels=320, attention_resolutions=[4, 2, 1], num_res_blocks=2,
                   channel_mult=[1, 2, 4, 4], transformer_depth=1, context_dim=width)
    network |= dict(num_heads=8) if width == 768 else dict(num_head_channels=64, use_linear_in_transformer=True)
    first = dict(ddconfig=dict(z_channels=4, in_channels=3, out_ch=3, ch=128, ch_mult=[1, 2, 4, 4], num_res_blocks=2))
    original = {"model": {"params": dict(unet_config={"params": network}, first_stage_config={"params": first})}}
    drop_null = lambda config: {k: v for k, v in config.items() if v is not None}  # noqa: E731
    return {"tensors": {n: list(t.shape) for n, t in tensors.items()},
            "unet": drop_null(reference.create_unet_diffusers_config_from_ldm(original, tensors)),
            "vae": drop_null(reference.create_vae_diffusers_config_from_ldm(original, tensors))}


def main():
    torch.manual_seed(5)
    OUT.mkdir(exist_ok=True)
    part = lambda name, file: load_file(PARTS / name / file)  # noqa: E731
    vae = part("vae", "diffusion_pytorch_model.safetensors")
    first_stage = prefixed("first_stage_model.", ldm_vae(vae, 4))
    unet, encoder = part("unet", "diffusion_pytorch_model.safetensors"), part("text_encoder", "model.safetensors")
    encoder = {"text_model." + n.removeprefix("text_model."): t for n, t in encoder.items()}
    sd1 = (prefixed("model.diffusion_model.", ldm_unet(unet, 2, 1)) | first_stage |
           prefixed("cond_stage_model.transformer.", encoder))
    sd1["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    sd1["betas"] = torch.linspace(0, 1, 10)
    check(sd1, unet, vae, encoder)
    save_file(sd1, OUT / "sd1.safetensors")

    unet, encoder = part("unet_2", "diffusion_pytorch_model.safetensors"), part("text_encoder_2", "model.safetensors")
    encoder = {"text_model." + n.removeprefix("text_model."): t for n, t in encoder.items()}
    sd2 = (prefixed("model.diffusion_model.", ldm_unet(unet, 2, 1)) | first_stage |
           prefixed("cond_stage_model.model.", open_clip(encoder, 3)))
    check(sd2, unet, vae, encoder)
    sd2["model_ema.decay"] = torch.tensor(0.9)
    sd2["model_ema.diffusion_modelinput_blocks00weight"] = torch.zeros(3)
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})
    for name in ["pytorch_lightning", "pytorch_lightning.callbacks"]:
        sys.modules[name] = types.ModuleType(name)
    sys.modules[module.__name__] = module
    torch.save({"epoch": 3, "global_step": 12, "callbacks": {module.ModelCheckpoint: {"best": None}}, "state_dict": sd2},
               OUT / "sd2.ckpt")

    folder = ROOT / "pipelines_more" / "xl"
    unet = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    second = load_file(folder / "text_encoder_2" / "model.safetensors")
    encoder = part("text_encoder", "model.safetensors")
    encoder = {"text_model." + n.removeprefix("text_model."): t for n, t in encoder.items()}
    xl = (prefixed("model.diffusion_model.", ldm_unet(unet, 2, 1)) | first_stage |
          prefixed("conditioner.embedders.0.transformer.", encoder) |
          prefixed("conditioner.embedders.1.model.", open_clip(second, 3)))
    equal(reference.convert_ldm_unet_checkpoint(dict(xl), {"layers_per_block": 1, "addition_embed_type": "text_time"}), unet, "xl")
    found = reference.convert_open_clip_checkpoint(None, dict(xl), prefix="conditioner.embedders.1.model.")
    equal(found, second, "text encoder 2")
    equal(reference.convert_ldm_clip_checkpoint(dict(xl)), encoder, "text encoder")
    save_file(xl, OUT / "xl.safetensors")

    control = part("controlnet", "diffusion_pytorch_model.safetensors")
    ldm = ldm_unet(control, 2, 1)
    # diffusers takes the last layer of the hint encoder at the published nets' place, 14: as here.
    equal(reference.convert_controlnet_checkpoint(prefixed("control_model.", ldm), {"layers_per_block": 1}), control, "controlnet")
    torch.save(prefixed("control_model.", ldm), OUT / "controlnet.pth")

    shapes = {"sd1": shapes_of(dict(cross_attention_dim=768), {**dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                                                                     num_attention_heads=12)}, 768),
              "sd2": shapes_of(dict(cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True),
                               dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16), 1024)}
    text = json.dumps(shapes, separators=(",", ":")).replace('],"', '],\n"')
    (OUT / "shapes.json").write_text(text + "\n")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
    print(sum(f.stat().st_size for f in OUT.iterdir()), "bytes")
