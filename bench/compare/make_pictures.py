"""Writes a diffusers folder with the shapes of Stable Diffusion 1.5 (859 million weights in the UNet, CLIP ViT-L/14, the
autoencoder) and random weights, for measuring: no real weights are needed to know how long a step takes.

Usage: python bench/compare/make_pictures.py FOLDER [--dtype bfloat16|float16|float32]   (torch, diffusers, transformers)
"""

import argparse
import json
import pathlib
import shutil

import diffusers
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]

TEXT = dict(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
            max_position_embeddings=77, hidden_act="quick_gelu", projection_dim=768)
UNET = dict(sample_size=64, in_channels=4, out_channels=4, block_out_channels=(320, 640, 1280, 1280), layers_per_block=2,
            attention_head_dim=8, cross_attention_dim=768)
VAE = dict(in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(128, 256, 512, 512), layers_per_block=2,
           sample_size=512, norm_num_groups=32, down_block_types=("DownEncoderBlock2D",) * 4,
           up_block_types=("UpDecoderBlock2D",) * 4)
SCHEDULER = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                 steps_offset=1, clip_sample=False, set_alpha_to_one=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--dtype", choices=["bfloat16", "float16", "float32"], default="bfloat16")
    o = parser.parse_args()
    torch.manual_seed(0)
    torch.set_default_dtype(getattr(torch, o.dtype))
    transformers.CLIPTextModel(transformers.CLIPTextConfig(**TEXT)).save_pretrained(o.folder / "text_encoder")
    diffusers.UNet2DConditionModel(**UNET).save_pretrained(o.folder / "unet")
    diffusers.AutoencoderKL(**VAE).save_pretrained(o.folder / "vae")
    torch.set_default_dtype(torch.float32)
    diffusers.DDIMScheduler(**SCHEDULER).save_pretrained(o.folder / "scheduler")
    shutil.copytree(ROOT / "tests" / "data" / "tokenizers" / "folders" / "clip", o.folder / "tokenizer",
                    dirs_exist_ok=True)
    index = {"_class_name": "StableDiffusionPipeline", "feature_extractor": [None, None],
             "requires_safety_checker": False, "safety_checker": [None, None],
             "scheduler": ["diffusers", "DDIMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
             "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
             "vae": ["diffusers", "AutoencoderKL"]}
    (o.folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    main()
