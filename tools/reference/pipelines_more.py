"""Writes tests/data/pipelines_more/: tiny random pipelines beside those of pipelines.py, whose networks they share where they can.

taiyi: BERT as text encoder. alt, alt_pre: AltDiffusion's XLM-R with both forms of its transformation.
checked: a safety checker, which holds one of two pictures back; expected.safetensors has its scores for inputs/picture.png.
upscaler: the x4 upscaler's shape.
xl: Stable Diffusion XL's shape, with two text encoders.
lcm: a network that knows the guidance scale (latent consistency).
cases.json and expected.safetensors are as in tests/data/pipelines. Usage: python tools/reference/pipelines_more.py
"""
import json
import os
import shutil

import diffusers
import torch
import transformers
from safetensors.torch import load_file, save_file

import pipelines as base
import vae as vae_reference

ROOT, OUT = base.ROOT, base.ROOT / "pipelines_more"
SHARED = base.ROOT / "pipelines" / "parts"
FILES = {"unet": "diffusion_pytorch_model.safetensors", "vae": "diffusion_pytorch_model.safetensors"}


def shared(name, kind):
    """A network of pipelines.py with its weights."""
    model = kind.from_config(json.loads((SHARED / name / "config.json").read_text())).eval()
    model.load_state_dict(load_file(SHARED / name / "diffusion_pytorch_model.safetensors"))
    return model.float()


def folder(name, classes, scheduler, links):
    path = OUT / name
    path.mkdir(parents=True, exist_ok=True)
    index = {"_class_name": classes.pop("pipeline"), "_diffusers_version": diffusers.__version__,
             "scheduler": ["diffusers", scheduler["_class_name"]],
             "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"], **classes}
    base.write_json(path / "model_index.json", index)
    base.write_json(path / "scheduler" / "scheduler_config.json", scheduler)
    for part in links:
        os.symlink(f"../../pipelines/parts/{links[part]}", path / part)
    return path


def save(path, model, config, file="model.safetensors"):
    base.write_json(path / "config.json", config)
    tensors = {n: p.detach().bfloat16().contiguous() for n, p in model.named_parameters()}
    save_file(tensors, path / file, metadata={"format": "pt"})


def tokenizer_files(path, source, length):
    path.mkdir(parents=True)
    for file in (ROOT / "tokenizers" / "folders" / source).iterdir():
        if file.name != "expected.json":
            shutil.copy(file, path / file.name)
    settings = json.loads((path / "tokenizer_config.json").read_text())
    base.write_json(path / "tokenizer_config.json", {**settings, "model_max_length": length})
    return transformers.AutoTokenizer.from_pretrained(path)


def stable_diffusion(unet, vae, encoder, tokenizer, scheduler, **more):
    parts = dict(safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe = diffusers.StableDiffusionPipeline(
        vae=vae, text_encoder=encoder, tokenizer=tokenizer, unet=unet,
        scheduler=getattr(diffusers, scheduler["_class_name"]).from_config(scheduler), **{**parts, **more})
    pipe.set_progress_bar_config(disable=True)
    return pipe


def text_encoders(cases, unet, vae):
    links, size = dict(unet="unet", vae="vae"), dict(width=48, height=64)
    flags = ["--width", "48", "--height", "64"]
    common = dict(hidden_size=24, num_hidden_layers=3, num_attention_heads=2, intermediate_size=40, max_position_embeddings=40)

    config = base.scheduler()
    path = folder("taiyi", dict(pipeline="StableDiffusionPipeline", text_encoder=["transformers", "BertModel"],
                                tokenizer=["transformers", "BertTokenizer"]), config, links)
    tokenizer = tokenizer_files(path / "tokenizer", "bert_uncased", 20)
    settings = dict(architectures=["BertModel"], model_type="bert", **{**common, "hidden_size": 16}, vocab_size=len(tokenizer),
                    type_vocab_size=2, hidden_act="gelu", layer_norm_eps=1e-12, pad_token_id=0)
    model = transformers.BertModel(transformers.BertConfig(**settings)).eval()
    vae_reference.randomize(model)
    save(path / "text_encoder", model, settings)
    pipe = stable_diffusion(unet, vae, model, tokenizer, config)
    cases.add("taiyi", "taiyi", pipe, flags, size, prompt="the quick cat", negative="a dog")

    from diffusers.pipelines.deprecated.alt_diffusion import modeling_roberta_series as series
    for name, changes in [("alt", {}), ("alt_pre", dict(has_pre_transformation=True))]:
        path = folder(name, dict(pipeline="AltDiffusionPipeline", text_encoder=["alt_diffusion", "RobertaSeriesModelWithTransformation"],
                                 tokenizer=["transformers", "XLMRobertaTokenizer"]), config, links)
        tokenizer = tokenizer_files(path / "tokenizer", "xlm_roberta", 24)
        settings = dict(architectures=["RobertaSeriesModelWithTransformation"], model_type="xlm-roberta", **common,
                        vocab_size=len(tokenizer), type_vocab_size=1, hidden_act="gelu", layer_norm_eps=1e-5, pad_token_id=1,
                        bos_token_id=0, eos_token_id=2, project_dim=16, **changes)
        model = series.RobertaSeriesModelWithTransformation(series.RobertaSeriesConfig(**settings)).eval()
        vae_reference.randomize(model)
        save(path / "text_encoder", model, settings)
        pipe = stable_diffusion(unet, vae, model, tokenizer, config)
        cases.add(name, name, pipe, flags, size, prompt="the quick cat", negative="")


def safety_checker(cases, unet, vae, encoder, clip_tokenizer):
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    config = base.scheduler()
    path = folder("checked", dict(pipeline="StableDiffusionPipeline", text_encoder=["transformers", "CLIPTextModel"],
                                  tokenizer=["transformers", "CLIPTokenizer"],
                                  safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
                                  feature_extractor=["transformers", "CLIPImageProcessor"]), config,
                  dict(unet="unet", vae="vae", text_encoder="text_encoder", tokenizer="tokenizer"))
    vision = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8,
                  hidden_act="quick_gelu", model_type="clip_vision_model")
    settings = dict(architectures=["StableDiffusionSafetyChecker"], model_type="clip", projection_dim=12, vision_config=vision)
    base.write_json(path / "feature_extractor" / "preprocessor_config.json", dict(
        crop_size=32, do_center_crop=True, do_convert_rgb=True, do_normalize=True, do_resize=True, resample=3, size=32,
        feature_extractor_type="CLIPFeatureExtractor", image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711]))
    extractor = transformers.CLIPImageProcessor.from_pretrained(path / "feature_extractor")
    checker = StableDiffusionSafetyChecker(transformers.CLIPConfig(**settings)).eval()
    vae_reference.randomize(checker)
    pipe = stable_diffusion(unet, vae, encoder, clip_tokenizer, config)
    flags, size = ["--width", "48", "--height", "64"], dict(width=48, height=64)
    draw = lambda seed, kind: pipe("a red cat, sitting", num_inference_steps=5, **size, output_type=kind,  # noqa: E731
                                   generator=torch.Generator("cpu").manual_seed(seed))

    def cosines(image):
        pixels = extractor(image, return_tensors="pt").pixel_values
        with torch.no_grad():
            found = torch.nn.functional.normalize(checker.visual_projection(checker.vision_model(pixels)[1]))
            unit = torch.nn.functional.normalize
            return [(found @ unit(table).T)[0] for table in (checker.special_care_embeds, checker.concept_embeds)]

    safe, held = (cosines(draw(seed, "pil").images[0]) for seed in (3, 4))
    worst = (held[1] - safe[1]).argmax()
    assert held[1][worst] - safe[1][worst] > 0.03, held[1] - safe[1]
    with torch.no_grad():
        checker.special_care_embeds_weights.copy_(torch.maximum(safe[0], held[0]) + 0.05)
        checker.special_care_embeds_weights[0] = min(safe[0][0], held[0][0]) - 0.02
        checker.concept_embeds_weights.copy_(torch.maximum(safe[1], held[1]) + 0.05)
        checker.concept_embeds_weights[worst] = (safe[1][worst] + held[1][worst]) / 2
        for p in checker.parameters():
            p.copy_(p.bfloat16().float())
    base.write_json(path / "safety_checker" / "config.json", settings)
    # Published files have the name of the tower twice.
    name = lambda n: "vision_model." + n if n.startswith("vision_model.") and ".vision_model." not in n else n  # noqa: E731
    save_file({name(n): p.detach().bfloat16().contiguous() for n, p in checker.named_parameters()},
              path / "safety_checker" / "model.safetensors", metadata={"format": "pt"})

    cases.add("checked_safe", "checked", pipe, flags, size)
    pipe = stable_diffusion(unet, vae, encoder, clip_tokenizer, config, safety_checker=checker, feature_extractor=extractor)
    assert draw(3, "np").nsfw_content_detected == [False] and draw(4, "np").nsfw_content_detected == [True]
    arguments = cases.cases[-1]["arguments"]
    cases.cases.append({"name": "checked_held", "model": "checked",
                        "arguments": ["4" if before == "--seed" else word for before, word in zip([""] + arguments, arguments)]})
    cases.expected["checked_held.latents"] = draw(4, "latent").images.contiguous()
    cases.expected["checked_held.picture"] = torch.from_numpy((draw(4, "np").images[0] * 255).round().astype("uint8")).contiguous()
    assert cases.expected["checked_held.picture"].max() == 0

    from PIL import Image
    picture = Image.open(base.INPUTS / "picture.png").convert("RGB")
    special, concepts = cosines(picture)
    special, adjustment = (special - checker.special_care_embeds_weights).tolist(), 0.0
    for i in range(len(special)):  # as diffusers' forward does, which keeps its scores to itself
        special[i] += adjustment
        adjustment = 0.01 if special[i] > 0 else adjustment
    cases.expected["checked.special"] = torch.tensor(special)
    cases.expected["checked.concepts"] = (concepts - checker.concept_embeds_weights + adjustment).detach()


def upscaler(cases, encoder, tokenizer):
    config = {**base.scheduler("v_prediction"), "_class_name": "DDIMScheduler"}
    low = dict(_class_name="DDPMScheduler", beta_end=0.02, beta_schedule="scaled_linear", beta_start=0.0001, clip_sample=True,
               num_train_timesteps=1000, prediction_type="epsilon", trained_betas=None, variance_type="fixed_small")
    path = folder("upscaler", dict(pipeline="StableDiffusionUpscalePipeline", text_encoder=["transformers", "CLIPTextModel"],
                                   tokenizer=["transformers", "CLIPTokenizer"], low_res_scheduler=["diffusers", "DDPMScheduler"]),
                  config, dict(text_encoder="text_encoder", tokenizer="tokenizer"))
    base.write_json(path / "low_res_scheduler" / "scheduler_config.json", low)
    settings = json.loads((SHARED / "unet" / "config.json").read_text())
    settings.update(in_channels=7, num_class_embeds=50, only_cross_attention=[True, False], block_out_channels=[8, 8])
    unet = diffusers.UNet2DConditionModel.from_config(settings).eval()
    vae_reference.randomize(unet, 1.0)
    save(path / "unet", unet, settings, FILES["unet"])
    settings = json.loads((SHARED / "vae" / "config.json").read_text())
    settings.update(block_out_channels=[4, 4, 8], down_block_types=["DownEncoderBlock2D"] * 3,
                    up_block_types=["UpDecoderBlock2D"] * 3, scaling_factor=0.08333)
    vae = diffusers.AutoencoderKL.from_config(settings).eval()
    vae_reference.randomize(vae)
    with torch.no_grad():  # few colours that are cut
        vae.decoder.conv_out.weight.mul_(0.5)
    save(path / "vae", vae, settings, FILES["vae"])
    pipe = diffusers.StableDiffusionUpscalePipeline(
        vae=vae, text_encoder=encoder, tokenizer=tokenizer, unet=unet, low_res_scheduler=diffusers.DDPMScheduler.from_config(low),
        scheduler=diffusers.DDIMScheduler.from_config(config))
    pipe.set_progress_bar_config(disable=True)
    from PIL import Image
    picture = Image.open(base.INPUTS / "picture.png").convert("RGB").crop((0, 0, 18, 25))  # no multiples of 4
    picture.save(OUT / "small.png")
    cases.add("upscaler", "upscaler", pipe, ["--image", "small.png"], dict(image=picture))
    cases.add("upscaler_level", "upscaler", pipe, ["--image", "small.png", "--noise-level", "40"],
              dict(image=picture, noise_level=40), guidance=1.0)


def xl(cases, encoder, tokenizer, vae):
    config = {**base.scheduler(), "_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading"}
    path = folder("xl", dict(pipeline="StableDiffusionXLPipeline", force_zeros_for_empty_prompt=True,
                             text_encoder=["transformers", "CLIPTextModel"], tokenizer=["transformers", "CLIPTokenizer"],
                             text_encoder_2=["transformers", "CLIPTextModelWithProjection"],
                             tokenizer_2=["transformers", "CLIPTokenizer"]), config,
                  dict(text_encoder="text_encoder", tokenizer="tokenizer", vae="vae"))
    shutil.copytree(SHARED / "tokenizer", path / "tokenizer_2")
    for file in ["tokenizer_config.json", "special_tokens_map.json"]:  # fills up with another token than the first
        text = json.loads((path / "tokenizer_2" / file).read_text())
        base.write_json(path / "tokenizer_2" / file, {**text, "pad_token": "!"})
    tokenizer_2 = transformers.CLIPTokenizer.from_pretrained(path / "tokenizer_2")
    assert tokenizer_2.pad_token_id == tokenizer.convert_tokens_to_ids("!") != tokenizer.pad_token_id
    settings = json.loads((SHARED / "text_encoder" / "config.json").read_text())
    settings.update(architectures=["CLIPTextModelWithProjection"], hidden_act="gelu", num_hidden_layers=3, projection_dim=8)
    second = transformers.CLIPTextModelWithProjection(transformers.CLIPTextConfig(**settings)).eval()
    base.clip_reference.randomize(second)
    save(path / "text_encoder_2", second, settings)
    settings = json.loads((SHARED / "unet" / "config.json").read_text())
    settings.update(cross_attention_dim=32, addition_embed_type="text_time", addition_time_embed_dim=8,
                    projection_class_embeddings_input_dim=6 * 8 + 8, transformer_layers_per_block=[1, 2], use_linear_projection=True,
                    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"], up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"])
    unet = diffusers.UNet2DConditionModel.from_config(settings).eval()
    vae_reference.randomize(unet, 1.0)
    save(path / "unet", unet, settings, FILES["unet"])
    pipe = diffusers.StableDiffusionXLPipeline(
        vae=vae, text_encoder=encoder, text_encoder_2=second, tokenizer=tokenizer, tokenizer_2=tokenizer_2, unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler.from_config(config), force_zeros_for_empty_prompt=True, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    flags, size = ["--width", "48", "--height", "64"], dict(width=48, height=64)
    cases.add("xl", "xl", pipe, flags, size, negative="blue")
    cases.add("xl_no_negative", "xl", pipe, flags, {**size, "negative_prompt": None})
    cases.add("xl_clip_skip", "xl", pipe, [*flags, "--clip-skip", "1"], {**size, "clip_skip": 1}, guidance=1.0)


def lcm(cases, encoder, tokenizer, vae):
    config = {**base.scheduler(), "_class_name": "LCMScheduler"}
    path = folder("lcm", dict(pipeline="LatentConsistencyModelPipeline", text_encoder=["transformers", "CLIPTextModel"],
                              tokenizer=["transformers", "CLIPTokenizer"]), config,
                  dict(text_encoder="text_encoder", tokenizer="tokenizer", vae="vae"))
    settings = json.loads((SHARED / "unet" / "config.json").read_text())
    settings.update(time_cond_proj_dim=12, block_out_channels=[8, 8])
    unet = diffusers.UNet2DConditionModel.from_config(settings).eval()
    vae_reference.randomize(unet, 1.0)
    save(path / "unet", unet, settings, FILES["unet"])
    pipe = stable_diffusion(unet, vae, encoder, tokenizer, config)
    cases.add("lcm", "lcm", pipe, ["--width", "48", "--height", "64"], dict(width=48, height=64))


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    torch.manual_seed(21)
    unet, vae = shared("unet", diffusers.UNet2DConditionModel), shared("vae", diffusers.AutoencoderKL)
    cases = base.Cases()
    text_encoders(cases, unet, vae)
    settings = json.loads((SHARED / "text_encoder" / "config.json").read_text())
    encoder = transformers.CLIPTextModel(transformers.CLIPTextConfig(**settings)).eval()
    weights = load_file(SHARED / "text_encoder" / "model.safetensors")
    names = {n for n, _ in encoder.named_parameters()}
    encoder.load_state_dict({n if n in names else n.removeprefix("text_model."): t for n, t in weights.items()}, strict=True)
    clip_tokenizer = transformers.CLIPTokenizer.from_pretrained(SHARED / "tokenizer")
    safety_checker(cases, unet, vae, encoder.float(), clip_tokenizer)
    upscaler(cases, encoder, clip_tokenizer)
    xl(cases, encoder, clip_tokenizer, vae)
    lcm(cases, encoder, clip_tokenizer, vae)
    vectors = load_file(base.INPUTS / "embedding.safetensors")["<wug>"]  # as the AUTOMATIC1111 interface keeps it
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "wug", "step": 3, "sd_checkpoint": None},
               OUT / "embedding.pt")
    base.write_json(OUT / "cases.json", cases.cases)
    save_file(cases.expected, OUT / "expected.safetensors")


if __name__ == "__main__":
    base.run(main, OUT)
