"""Writes tests/data/train/pictures: a tiny data set, and the losses of some steps of the trainings of picture models on
the pipelines of tests/data/pipelines, as diffusers' training scripts compute them (their loss written out, because the
scripts want datasets from elsewhere and a GPU's tools).

losses.safetensors: <case>.losses f32 [STEPS]; of adapters also what they begin with, <parameter> under its name.
What is random is drawn as src/train/picture_task.h says. Usage: python tools/reference/picture_training.py
"""
import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import peft
import torch
import transformers
from diffusers.training_utils import compute_snr
from PIL import Image, ImageDraw
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2] / "tests" / "data"
PARTS, OUT = ROOT / "pipelines" / "parts", ROOT / "train" / "pictures"
SIZE, STEPS, BATCH = 32, 6, 2
COLOURS = {"red": (220, 30, 40), "green": (30, 170, 60), "blue": (40, 60, 210)}


def write_data():
    shutil.rmtree(OUT, ignore_errors=True)
    (OUT / "outlines").mkdir(parents=True)
    rows = []
    for i, (name, colour) in enumerate(COLOURS.items()):
        size = [(48, 40), (32, 32), (33, 57)][i]
        box = [size[0] // 4, size[1] // 5, size[0] * 3 // 4, size[1] * 2 // 3]
        picture, outline = Image.new("RGB", size, (90, 90, 80)), Image.new("RGB", size)
        ImageDraw.Draw(picture).ellipse(box, fill=colour)
        ImageDraw.Draw(outline).ellipse(box, outline=(255, 128, 64))
        picture.save(OUT / f"{name}.png")
        outline.save(OUT / "outlines" / f"{name}.png")
        rows.append({"image": f"{name}.png", "conditioning_image": f"outlines/{name}.png", "prompt": f"a {name} circle"})
    (OUT / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def loss_seed(key, example):
    mask = (1 << 64) - 1
    x = (key + 0x9e3779b97f4a7c15 * (example + 1)) & mask
    x = ((x ^ (x >> 30)) * 0xbf58476d1ce4e5b9) & mask
    x = ((x ^ (x >> 27)) * 0x94d049bb133111eb) & mask
    return (x ^ (x >> 31)) & 0xffffffff


def pixels(path, flip):
    """torchvision's Resize and CenterCrop, then [3, H, W] in [0, 1]."""
    image = Image.open(path).convert("RGB")
    short = min(image.size)
    if short != SIZE:
        image = image.resize(tuple(SIZE * s // short for s in image.size), Image.BILINEAR)
    left, top = (round((s - SIZE) / 2.0) for s in image.size)
    image = image.crop((left, top, left + SIZE, top + SIZE))
    if flip:
        image = image.transpose(Image.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


class Pipeline:
    def __init__(self, folder):
        folder = ROOT / "pipelines" / folder
        load = dict(torch_dtype=torch.float32)
        self.tokenizer = transformers.CLIPTokenizer.from_pretrained(PARTS / "tokenizer")
        self.text = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
        self.vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae", **load)
        self.unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet", **load)
        config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
        self.noise = diffusers.DDPMScheduler.from_config(config)
        for net in (self.text, self.vae, self.unet):
            net.requires_grad_(False)

    def states(self, prompts):
        ids = self.tokenizer(prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        return self.text(ids)[0]


def loss(pipe, rows, examples, key, control=None, bgr=False, random_flip=False, empty_prompts=0.0, snr_gamma=0.0,
         noise_offset=0.0, classes=None, prior_weight=1.0):
    generator = torch.Generator().manual_seed(loss_seed(key, examples[0]))
    chosen = [rows[e % len(rows)] for e in examples] + ([classes[e % len(classes)] for e in examples] if classes else [])
    draws = [torch.rand(4, generator=generator) for _ in chosen]
    flips = [random_flip and d[0].item() < 0.5 for d in draws]
    prompts = ["" if d[1].item() < empty_prompts else row["prompt"] for row, d in zip(chosen, draws)]
    images = torch.stack([pixels(OUT / row["image"], flip) for row, flip in zip(chosen, flips)])
    with torch.no_grad():
        spread = pipe.vae.encode(images * 2 - 1).latent_dist
        latents = spread.mean + spread.std * torch.randn(spread.mean.shape, generator=generator)
        latents = latents * pipe.vae.config.scaling_factor
    noise = torch.randn(latents.shape, generator=generator)
    if noise_offset:
        noise = noise + noise_offset * torch.randn(latents.shape[:2], generator=generator)[:, :, None, None]
    timesteps = torch.randint(0, pipe.noise.config.num_train_timesteps, (len(chosen),), generator=generator)
    noisy = pipe.noise.add_noise(latents, noise, timesteps)
    states = pipe.states(prompts)
    residuals = {}
    if control is not None:
        hints = torch.stack([pixels(OUT / row["conditioning_image"], flip) for row, flip in zip(chosen, flips)])
        down, mid = control(noisy, timesteps, encoder_hidden_states=states, controlnet_cond=hints, return_dict=False)
        residuals = dict(down_block_additional_residuals=down, mid_block_additional_residual=mid)
    predicted = pipe.unet(noisy, timesteps, encoder_hidden_states=states, **residuals).sample
    v = pipe.noise.config.prediction_type == "v_prediction"
    target = pipe.noise.get_velocity(latents, noise, timesteps) if v else noise
    each = torch.nn.functional.mse_loss(predicted, target, reduction="none").mean(dim=(1, 2, 3))
    if snr_gamma:
        snr = compute_snr(pipe.noise, timesteps)
        each = each * torch.stack([snr, snr_gamma * torch.ones_like(snr)], dim=1).min(dim=1)[0] / (snr + 1 if v else snr)
    if classes:
        return each[:len(examples)].mean() + prior_weight * each[len(examples):].mean()
    return each.mean()


def run(parameters, step_loss):
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=1e-2)
    losses = []
    for step in range(STEPS):
        value = step_loss([(2 * step) % 3, (2 * step + 1) % 3], 1000 + 7 * (step % 3))
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(value.detach())
    print([round(x.item(), 5) for x in losses])
    return torch.stack(losses)


def adapters(net, prefix, targets, out):
    """peft adapters of rank 2 and alpha 3 that begin with random A and B, which `out` gets."""
    net.add_adapter(peft.LoraConfig(r=2, lora_alpha=3, target_modules=targets))
    parameters = []
    for name, p in net.named_parameters():
        if "lora_" in name:
            with torch.no_grad():
                p.copy_(torch.randn(p.shape) / 4)
            name = name.replace(".default", "")
            out[prefix + name] = p.detach().clone()
            parameters.append(p.requires_grad_())
    return parameters


def main():
    torch.manual_seed(3)
    rows = write_data()
    out = {}
    pipe = Pipeline("sd1")
    control = diffusers.ControlNetModel.from_pretrained(PARTS / "controlnet", torch_dtype=torch.float32).train()
    out["controlnet.losses"] = run(list(control.parameters()), lambda examples, key: loss(
        pipe, rows, examples, key, control, random_flip=True, empty_prompts=0.3))
    pipe = Pipeline("sd2_v")
    out["image.losses"] = run(list(pipe.unet.requires_grad_().parameters()), lambda examples, key: loss(
        pipe, rows, examples, key, snr_gamma=5.0, noise_offset=0.1))
    pipe = Pipeline("sd1")
    parameters = adapters(pipe.unet, "unet.", ["to_q", "to_k", "to_v", "to_out.0"], out)
    parameters += adapters(pipe.text, "text_encoder.", ["q_proj", "k_proj", "v_proj", "out_proj"], out)
    out["lora.losses"] = run(parameters, lambda examples, key: loss(pipe, rows, examples, key))
    pipe = Pipeline("sd1")
    parameters = list(pipe.unet.requires_grad_().parameters()) + list(pipe.text.requires_grad_().parameters())
    instance = [{**row, "prompt": "a sks circle"} for row in sorted(rows, key=lambda row: row["image"])]
    classes = [{"image": row["conditioning_image"], "prompt": "a circle"} for row in instance]
    out["dreambooth.losses"] = run(parameters, lambda examples, key: loss(
        pipe, instance, examples, key, classes=classes, prior_weight=0.7))
    save_file({k: v.contiguous() for k, v in out.items()}, OUT / "losses.safetensors")
    print(sum(v.numel() for v in out.values()), "numbers")


if __name__ == "__main__":
    main()
