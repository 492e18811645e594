"""Writes tests/data/pipelines/: tiny random pipelines, and the latents and pictures that diffusers makes with them.

parts/ holds the networks, shared by the model folders through links; inputs/ pictures, masks, LoRA and embedding files;
cases.json says how each picture of expected.safetensors was asked for, in the words of `sumi image`:
  <case>.latents [1, 4, h, w] f32 and <case>.picture [H, W, 3] u8.
Float32, one thread. Usage: python tools/reference/pipelines.py
"""
import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

import clip as clip_reference
import vae as vae_reference

ROOT = Path(__file__).resolve().parents[2] / "tests" / "data"
OUT = ROOT / "pipelines"
PARTS, INPUTS = OUT / "parts", OUT / "inputs"
WIDTH, HEIGHT = 48, 64

SCHEDULERS = {
    "ddpm": ("DDPMScheduler", {}), "ddim": ("DDIMScheduler", {}), "pndm": ("PNDMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}), "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}), "lms": ("LMSDiscreteScheduler", {}),
    "dpmpp-2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp-2m-karras": ("DPMSolverMultistepScheduler", dict(use_karras_sigmas=True)),
    "dpmpp-sde": ("DPMSolverMultistepScheduler", dict(algorithm_type="sde-dpmsolver++")),
    "unipc": ("UniPCMultistepScheduler", {}), "lcm": ("LCMScheduler", {}),
}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def save_part(name, model, settings, file):
    folder = PARTS / name
    write_json(folder / "config.json", settings)
    save_file({n: p.detach().bfloat16().contiguous() for n, p in clip_reference.file_names(model).items()}
              if file == "model.safetensors" else
              {n: p.detach().bfloat16().contiguous() for n, p in model.named_parameters()},
              folder / file, metadata={"format": "pt"})


def text_encoder(name, **changes):
    settings = clip_reference.config(vocab_size=751, max_position_embeddings=77, bos_token_id=749, eos_token_id=750,
                                     num_attention_heads=2, hidden_size=16, intermediate_size=32, **changes)
    model = transformers.CLIPTextModel(transformers.CLIPTextConfig(**settings)).eval()
    clip_reference.randomize(model)
    save_part(name, model, settings, "model.safetensors")
    # diffusers' clip_skip looks for the norm there; this release of transformers has no such attribute.
    object.__setattr__(model, "text_model", model)
    return model


def unet(name, **changes):
    settings = dict(_class_name="UNet2DConditionModel", act_fn="silu", attention_head_dim=2, block_out_channels=[8, 16],
                    center_input_sample=False, cross_attention_dim=16,
                    down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"], downsample_padding=1,
                    flip_sin_to_cos=True, freq_shift=0, in_channels=4, layers_per_block=1, mid_block_scale_factor=1,
                    norm_eps=1e-5, norm_num_groups=4, out_channels=4, sample_size=8,
                    up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"])
    settings.update(changes)
    model = diffusers.UNet2DConditionModel.from_config(settings).eval()
    vae_reference.randomize(model, 1.0)
    save_part(name, model, settings, "diffusion_pytorch_model.safetensors")
    return model


def controlnet(name, base):
    model = diffusers.ControlNetModel.from_unet(base, conditioning_embedding_out_channels=(4, 8, 8, 8)).eval()
    vae_reference.randomize(model, 1.0)
    settings = {k: v for k, v in model.config.items() if not k.startswith("_")}
    save_part(name, model, {"_class_name": "ControlNetModel", **settings}, "diffusion_pytorch_model.safetensors")
    return model


def autoencoder():
    settings = vae_reference.kl(block_out_channels=[4, 8, 8, 8], down_block_types=["DownEncoderBlock2D"] * 4,
                                up_block_types=["UpDecoderBlock2D"] * 4, sample_size=64)
    model = diffusers.AutoencoderKL.from_config(settings).eval()
    vae_reference.randomize(model)
    with torch.no_grad():  # pictures that are seldom cut at black and white
        model.decoder.conv_out.weight.mul_(0.5)
    save_part("vae", model, settings, "diffusion_pytorch_model.safetensors")
    return model


def scheduler(prediction="epsilon", **changes):
    return dict(_class_name="PNDMScheduler", beta_end=0.012, beta_schedule="scaled_linear", beta_start=0.00085,
                num_train_timesteps=1000, set_alpha_to_one=False, skip_prk_steps=True, steps_offset=1,
                prediction_type=prediction, trained_betas=None, clip_sample=False, **changes)


def model_folder(name, links, scheduler_config):
    folder = OUT / name
    folder.mkdir(parents=True)
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": diffusers.__version__,
             "feature_extractor": [None, None], "safety_checker": [None, None],
             "scheduler": ["diffusers", scheduler_config["_class_name"]],
             "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
             "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    write_json(folder / "model_index.json", index)
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler_config)
    for part, target in links.items():
        os.symlink(f"../parts/{target}", folder / part)


def write_inputs(base, encoder):
    generator = np.random.default_rng(7)
    INPUTS.mkdir(parents=True)
    for name in ["picture", "condition", "condition_b"]:
        small = Image.fromarray(generator.integers(0, 256, (8, 6, 3), dtype=np.uint8))
        small.resize((WIDTH, HEIGHT), Image.BICUBIC).save(INPUTS / f"{name}.png")
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[12:50, 9:31] = 255
    mask[30:, 26:40] = 140  # as good as white
    Image.fromarray(mask).save(INPUTS / "mask.png")
    np.save(INPUTS / "latents.npy", torch.randn(1, 4, HEIGHT // 8, WIDTH // 8).numpy())
    save_file({"<wug>": torch.randn(2, 16)}, INPUTS / "embedding.safetensors")
    # LoRA of some layers, in the names of peft and of kohya, the latter with alpha and a convolution.
    peft, kohya = {}, {}
    for name, module in base.named_modules():
        if name.endswith(("attn1.to_q", "attn2.to_v", "attn2.to_out.0")):
            o, i = module.weight.shape
            peft[f"unet.{name}.lora_A.weight"], peft[f"unet.{name}.lora_B.weight"] = torch.randn(2, i) / 4, torch.randn(o, 2) / 4
        if name.endswith(("attn1.to_k", "conv1")):
            shape = module.weight.shape
            key = "lora_unet_" + name.replace(".", "_")
            kohya[key + ".lora_down.weight"] = torch.randn(3, *shape[1:]) / 4
            kohya[key + ".lora_up.weight"] = torch.randn(shape[0], 3, *[1] * (len(shape) - 2)) / 4
            kohya[key + ".alpha"] = torch.tensor(1.5)
    for name, module in encoder.named_modules():
        if name.endswith(("q_proj", "fc2")):
            name = name.removeprefix("text_model.")
            o, i = module.weight.shape
            peft[f"text_encoder.text_model.{name}.lora_A.weight"] = torch.randn(2, i) / 4
            peft[f"text_encoder.text_model.{name}.lora_B.weight"] = torch.randn(o, 2) / 4
            key = "lora_te_text_model_" + name.replace(".", "_")
            kohya[key + ".lora_down.weight"], kohya[key + ".lora_up.weight"] = torch.randn(3, i) / 4, torch.randn(o, 3) / 4
            kohya[key + ".alpha"] = torch.tensor(3.0)
    save_file(peft, INPUTS / "lora_peft.safetensors")
    save_file(kohya, INPUTS / "lora_kohya.safetensors")
    return peft, kohya


def merge_lora(model, tensors, weight, prefixes):
    """W + weight alpha / r up down, by hand; returns the weights as they were."""
    modules, before = dict(model.named_modules()), {}
    with torch.no_grad():
        for name, module in modules.items():
            if not hasattr(module, "weight"):
                continue
            for peft_name, kohya_name in prefixes(name):
                for down, up, alpha in [(f"{peft_name}.lora_A.weight", f"{peft_name}.lora_B.weight", None),
                                        (f"{kohya_name}.lora_down.weight", f"{kohya_name}.lora_up.weight", f"{kohya_name}.alpha")]:
                    if down in tensors:
                        before[name] = module.weight.clone()
                        d, u = tensors[down].flatten(1), tensors[up].flatten(1)
                        factor = weight * (tensors[alpha].item() / d.shape[0] if alpha else 1.0)
                        module.weight += factor * (u @ d).reshape(module.weight.shape)
    return before


def chunk_embeddings(pipe, ids, weights):
    """The convention of src/diffusion/prompt.h: chunks of 75, weights on the states, the mean kept."""
    chunks = max(1, -(-len(ids) // 75))
    rows, factors = [], []
    for c in range(chunks):
        part = ids[c * 75:(c + 1) * 75]
        rows.append([749] + part + [750] * (76 - len(part)))
        factors.append([1.0] + weights[c * 75:(c + 1) * 75] + [1.0] * (76 - len(part)))
    states = pipe.text_encoder(torch.tensor(rows)).last_hidden_state
    factors = torch.tensor(factors)
    if (factors != 1).any():
        before = states.mean()
        states = states * factors[:, :, None]
        states = states * (before / states.mean())
    return states.reshape(1, -1, states.shape[-1]), chunks


class Cases:
    def __init__(self):
        self.cases, self.expected, self.only = [], {}, set(sys.argv[1:])

    def add(self, name, folder, pipe, arguments, call, seed=3, steps=5, prompt="a red cat, sitting", negative="", guidance=7.5,
            scheduler_name=None):
        if self.only and name not in self.only:
            return
        before = pipe.scheduler
        if scheduler_name:
            kind, options = SCHEDULERS[scheduler_name]
            pipe.scheduler = getattr(diffusers, kind).from_config(pipe.scheduler.config, **options)
            arguments = [*arguments, "--scheduler", scheduler_name]
        settings = dict(num_inference_steps=steps, guidance_scale=guidance, **call)
        if "prompt_embeds" not in call:
            settings = dict(prompt=prompt, negative_prompt=negative) | settings
        with torch.no_grad():
            latents = pipe(**settings, generator=torch.Generator("cpu").manual_seed(seed), output_type="latent").images
            picture = pipe.image_processor.postprocess(pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample,
                                                       output_type="np")
        picture = np.rint(picture[0] * 255).astype(np.uint8)
        assert np.isfinite(latents.numpy()).all() and picture.std() > 10, (name, latents.std(), picture.std())
        # Above this the picture would be mostly cut colours, and compare little.
        cut = ((picture == 0) | (picture == 255)).mean()
        print(f"{name:24} latents {latents.std():7.2f} cut {cut:.2f}")
        full = ["--prompt", prompt, "--negative-prompt", negative, "--seed", str(seed), "--steps", str(steps),
                "--guidance-scale", str(guidance), *arguments]
        self.cases.append({"name": name, "model": folder, "arguments": full})
        self.expected[name + ".latents"] = latents.contiguous()
        self.expected[name + ".picture"] = torch.from_numpy(picture).contiguous()
        pipe.scheduler = before


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    torch.manual_seed(11)
    tokenizer_folder = PARTS / "tokenizer"
    tokenizer_folder.mkdir(parents=True)
    for file in ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"]:
        shutil.copy(ROOT / "tokenizers" / "folders" / "clip" / file, tokenizer_folder / file)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(tokenizer_folder)
    encoder = text_encoder("text_encoder")
    encoder_2 = text_encoder("text_encoder_2", hidden_act="gelu", num_hidden_layers=3)
    unet_1 = unet("unet")
    unet_2 = unet("unet_2", use_linear_projection=True, attention_head_dim=[2, 4])
    unet_9 = unet("unet_inpaint", in_channels=9)
    control, control_b = controlnet("controlnet", unet_1), controlnet("controlnet_b", unet_1)
    vae = autoencoder()
    links = dict(tokenizer="tokenizer", text_encoder="text_encoder", unet="unet", vae="vae")
    model_folder("sd1", links, scheduler())
    model_folder("sd2", {**links, "text_encoder": "text_encoder_2", "unet": "unet_2"}, scheduler())
    model_folder("sd2_v", {**links, "text_encoder": "text_encoder_2", "unet": "unet_2"},
                 {**scheduler("v_prediction"), "_class_name": "DDIMScheduler"})
    model_folder("inpaint", {**links, "unet": "unet_inpaint"}, scheduler())
    peft, kohya = write_inputs(unet_1, encoder)

    def pipeline(kind, folder, **changes):
        config = json.loads((OUT / folder / "scheduler" / "scheduler_config.json").read_text())
        parts = dict(vae=vae, text_encoder=encoder if folder in ("sd1", "inpaint") else encoder_2, tokenizer=tokenizer,
                     unet={"sd1": unet_1, "inpaint": unet_9}.get(folder, unet_2), safety_checker=None,
                     feature_extractor=None, requires_safety_checker=False,
                     scheduler=getattr(diffusers, config["_class_name"]).from_config(config))
        pipe = kind(**{**parts, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    cases = Cases()
    size = dict(width=WIDTH, height=HEIGHT)
    size_flags = ["--width", str(WIDTH), "--height", str(HEIGHT)]
    sd1, sd2, sd2_v = (pipeline(diffusers.StableDiffusionPipeline, f) for f in ("sd1", "sd2", "sd2_v"))
    cases.add("sd1", "sd1", sd1, [], {}, negative="blue", seed=42)
    cases.add("sd1_tall", "sd1", sd1, size_flags, size)
    cases.add("sd1_unguided", "sd1", sd1, size_flags, size, guidance=1.0)
    cases.add("sd1_clip_skip", "sd1", sd1, [*size_flags, "--clip-skip", "1"], dict(**size, clip_skip=1), negative="blue")
    cases.add("sd2", "sd2", sd2, size_flags, size)
    cases.add("sd2_v", "sd2_v", sd2_v, size_flags, size)
    cases.add("sd2_v_rescale", "sd2_v", sd2_v, [*size_flags, "--guidance-rescale", "0.7"], dict(**size, guidance_rescale=0.7))
    for name in SCHEDULERS:
        cases.add("scheduler_" + name, "sd1", sd1, size_flags, size, scheduler_name=name, steps=6, seed=5)
    latents = torch.from_numpy(np.load(INPUTS / "latents.npy"))
    cases.add("init_latents", "sd1", sd1, ["--init-latents", "inputs/latents.npy"], dict(latents=latents, **size))

    picture, mask = Image.open(INPUTS / "picture.png"), Image.open(INPUTS / "mask.png")
    to_picture = pipeline(diffusers.StableDiffusionImg2ImgPipeline, "sd1")
    for name, scheduler_name in [("img2img", None), ("img2img_euler", "euler"), ("img2img_dpmpp", "dpmpp-2m")]:
        cases.add(name, "sd1", to_picture, ["--image", "inputs/picture.png", "--strength", "0.6"],
                  dict(image=picture, strength=0.6), scheduler_name=scheduler_name, steps=8)
    for name, folder, strength in [("inpaint", "sd1", 1.0), ("inpaint_strength", "sd1", 0.7), ("inpaint_9", "inpaint", 1.0),
                                   ("inpaint_9_strength", "inpaint", 0.7)]:
        pipe = pipeline(diffusers.StableDiffusionInpaintPipeline, folder)
        cases.add(name, folder, pipe, ["--image", "inputs/picture.png", "--mask", "inputs/mask.png", "--strength", str(strength)],
                  dict(image=picture, mask_image=mask, strength=strength, **size), steps=6, scheduler_name="ddim")

    condition, condition_b = Image.open(INPUTS / "condition.png"), Image.open(INPUTS / "condition_b.png")
    one = pipeline(diffusers.StableDiffusionControlNetPipeline, "sd1", controlnet=control)
    flags = ["--controlnet", "parts/controlnet", "--condition", "inputs/condition.png"]
    image = dict(image=condition)
    cases.add("controlnet", "sd1", one, flags, image)
    cases.add("controlnet_scale", "sd1", one, [*flags, "--conditioning-scale", "0.6"],
              dict(**image, controlnet_conditioning_scale=0.6))
    cases.add("controlnet_range", "sd1", one, [*flags, "--control-start", "0.2", "--control-end", "0.7"],
              dict(**image, control_guidance_start=0.2, control_guidance_end=0.7), steps=6)
    cases.add("controlnet_guess", "sd1", one, [*flags, "--guess-mode"], dict(**image, guess_mode=True))
    two = pipeline(diffusers.StableDiffusionControlNetPipeline, "sd1", controlnet=[control, control_b])
    cases.add("controlnet_two", "sd1", two,
              [*flags, "--controlnet", "parts/controlnet_b", "--condition", "inputs/condition_b.png", "--conditioning-scale",
               "0.8", "--conditioning-scale", "0.5"],
              dict(image=[condition, condition_b], controlnet_conditioning_scale=[0.8, 0.5]))

    def embeds(parts):
        ids, weights = [], []
        for text, weight in parts:
            part = tokenizer(text, add_special_tokens=False).input_ids
            ids, weights = ids + part, weights + [weight] * len(part)
        with torch.no_grad():
            states, chunks = chunk_embeddings(sd1, ids, weights)
            empty = chunk_embeddings(sd1, [], [])[0]
        return dict(prompt_embeds=states, negative_prompt_embeds=empty.repeat(1, chunks, 1), **size)

    long = "a village by the sea, boats and gulls, painted in oil, " * 6
    assert len(tokenizer(long, add_special_tokens=False).input_ids) > 80
    cases.add("prompt_long", "sd1", sd1, size_flags, embeds([(long, 1.0)]), prompt=long)
    cases.add("prompt_weighted", "sd1", sd1, size_flags, embeds([("a ", 1.0), ("red ", 1.3), ("big ", 1.3 * 0.5), (" cat (sitting)", 1.0)]),
              prompt="a (red (big:0.5):1.3) cat (sitting)")
    cases.add("prompt_long_weighted", "sd1", sd1, size_flags, embeds([(long, 0.8), (" at dawn", 1.0)]),
              prompt=f"({long}:0.8) at dawn")

    before = merge_lora(unet_1, peft, 0.7, lambda n: [(f"unet.{n}", "")]) | merge_lora(
        encoder, peft, 0.7, lambda n: [("text_encoder.text_model." + n.removeprefix("text_model."), "")])
    cases.add("lora_peft", "sd1", sd1, [*size_flags, "--lora", "inputs/lora_peft.safetensors:0.7"], size)
    second = merge_lora(unet_1, kohya, 1.0, lambda n: [("", "lora_unet_" + n.replace(".", "_"))]) | merge_lora(
        encoder, kohya, 1.0, lambda n: [("", "lora_te_text_model_" + n.removeprefix("text_model.").replace(".", "_"))])
    assert len(before) > 6 and len(second) > 6
    cases.add("lora_two", "sd1", sd1, [*size_flags, "--lora", "inputs/lora_peft.safetensors:0.7", "--lora",
                                       "inputs/lora_kohya.safetensors"], size)
    # The last cases: the weights stay changed. A learned embedding, with the LoRAs.
    vectors = torch.randn(0)
    from safetensors.torch import load_file
    vectors = load_file(INPUTS / "embedding.safetensors")["<wug>"]
    table = encoder.get_input_embeddings().weight
    with torch.no_grad():
        table[700:702] = vectors  # ids that the prompt does not use otherwise
    ids = tokenizer("a ", add_special_tokens=False).input_ids + [700, 701] + tokenizer(" on grass", add_special_tokens=False).input_ids
    with torch.no_grad():
        states, _ = chunk_embeddings(sd1, ids, [1.0] * len(ids))
        empty = chunk_embeddings(sd1, [], [])[0]
    cases.add("embedding", "sd1", sd1,
              [*size_flags, "--lora", "inputs/lora_peft.safetensors:0.7", "--lora", "inputs/lora_kohya.safetensors",
               "--embedding", "inputs/embedding.safetensors"],
              dict(prompt_embeds=states, negative_prompt_embeds=empty, **size), prompt="a <wug> on grass")

    write_json(OUT / "cases.json", cases.cases)
    save_file(cases.expected, OUT / "expected.safetensors")


def run(script, folder):
    """Runs a script's main() as all of them are run, and prints how much it wrote."""
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    diffusers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    script()
    print(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink()), "bytes")


if __name__ == "__main__":
    run(main, OUT)
