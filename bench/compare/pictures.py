"""The stages of a picture in Sumi, diffusers on PyTorch, OpenVINO, and stable-diffusion.cpp: the same folder, sizes and threads, in alternating runs,
each in a process of its own. Seconds are the best of --runs after one that warms up; a UNet step takes both halves of
guidance (batch 2). "20 steps" is the sum that a picture of 20 steps takes: text encoder, 20 UNet steps, decoder.

Usage: python bench/compare/pictures.py FOLDER --sumi build/sumi [--size 512] [--rounds 1] [--engines sumi-bf16,pytorch-f32]
       ... FOLDER --growth 256,512,768,1024 --engines sumi-bf16          (one engine, several sizes)
--write FILE puts the table between the lines <!-- comparison:begin --> and <!-- comparison:end --> (growth: ...) of FILE,
with --marks X between comparison-X's. An engine sumi-bf16-low is `sumi bench image --low-memory`. FOLDER: bench/compare/make_pictures.py writes one.
OpenVINO's converted models are kept beside it, and for sdcpp-f16 (or another of its types, such as q8_0) a checkpoint in one file. That engine's times
are of a single run of one step, from its own log.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time

from compare import put_between_marks

ENGINES = ["sumi-f32", "sumi-bf16", "sumi-int8", "pytorch-f32", "pytorch-bf16", "openvino-f32", "openvino-bf16"]
STAGES = ["text encoder", "UNet step", "decoder"]


def best(run, runs):
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def torch_parts(o, dtype):
    """name -> (module, its inputs), each loaded when asked for."""
    import diffusers
    import torch
    import transformers
    torch.set_num_threads(o.threads)
    torch.manual_seed(0)
    side = o.size // 8

    class Text(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = transformers.CLIPTextModel.from_pretrained(f"{o.folder}/text_encoder", dtype=dtype)

        def forward(self, ids):
            return self.net(ids).last_hidden_state

    class UNet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = diffusers.UNet2DConditionModel.from_pretrained(f"{o.folder}/unet", torch_dtype=dtype)

        def forward(self, sample, time, text):
            return self.net(sample, time, text).sample

    class Decoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = diffusers.AutoencoderKL.from_pretrained(f"{o.folder}/vae", torch_dtype=dtype)

        def forward(self, latents):
            return self.net.decode(latents).sample

    inputs = {"text encoder": (torch.randint(0, 49000, (2, 77)),),
              "UNet step": (torch.randn(2, 4, side, side).to(dtype), torch.tensor(500.0),
                            torch.randn(2, 77, 768).to(dtype)),
              "decoder": (torch.randn(1, 4, side, side).to(dtype),)}
    return {name: (kind, inputs[name]) for name, kind in zip(STAGES, (Text, UNet, Decoder))}


def measure_torch(o, dtype_name):
    import torch
    dtype = getattr(torch, {"f32": "float32", "bf16": "bfloat16"}[dtype_name])
    seconds = {}
    with torch.inference_mode():
        for name, (kind, inputs) in torch_parts(o, dtype).items():
            module = kind().eval()
            seconds[name] = best(lambda: module(*inputs), o.runs)
            del module
    return seconds


def convert_openvino(o):
    """Once, in a process of its own: it needs more memory than measuring."""
    import openvino
    import torch
    for name, (kind, inputs) in torch_parts(o, torch.float32).items():
        path = pathlib.Path(f"{o.folder}-openvino") / f"{name}-{o.size}.xml"
        if path.exists():
            continue
        with torch.inference_mode():
            model = openvino.convert_model(kind().eval(), example_input=inputs)
        model.reshape({port: list(x.shape) for port, x in zip(model.inputs, inputs)})
        openvino.save_model(model, path, compress_to_fp16=True)


def measure_openvino(o, dtype_name):
    import numpy
    import openvino
    core = openvino.Core()
    generator = numpy.random.default_rng(0)
    seconds = {}
    for name in STAGES:
        path = pathlib.Path(f"{o.folder}-openvino") / f"{name}-{o.size}.xml"
        compiled = core.compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": o.threads, "PERFORMANCE_HINT": "LATENCY",
                                                    "INFERENCE_PRECISION_HINT": dtype_name})
        inputs = [generator.standard_normal(list(x.shape)).astype(numpy.float32) if x.element_type.is_real()
                  else numpy.ones(list(x.shape), numpy.int64) for x in compiled.inputs]
        request = compiled.create_infer_request()
        seconds[name] = best(lambda: request.infer(inputs), o.runs)
        del request, compiled
    return seconds


def sdcpp_checkpoint(o):
    return pathlib.Path(f"{o.folder}-sdcpp.safetensors")


def convert_sdcpp(o):
    """A checkpoint in the original naming, once."""
    if sdcpp_checkpoint(o).exists():
        return
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "reference"))
    import single_file
    from safetensors.torch import load_file, save_file
    part = lambda name, file="diffusion_pytorch_model": load_file(f"{o.folder}/{name}/{file}.safetensors")  # noqa: E731
    text = {"text_model." + n.removeprefix("text_model."): t for n, t in part("text_encoder", "model").items()}
    save_file(single_file.prefixed("model.diffusion_model.", single_file.ldm_unet(part("unet"), 4, 2)) |
              single_file.prefixed("first_stage_model.", single_file.ldm_vae(part("vae"), 4)) |
              single_file.prefixed("cond_stage_model.transformer.", text), sdcpp_checkpoint(o))


def measure_sdcpp(o, dtype_name):
    from stable_diffusion_cpp import StableDiffusion
    model = StableDiffusion(model_path=str(sdcpp_checkpoint(o)), wtype=dtype_name, n_threads=o.threads, vae_decode_only=True)
    with tempfile.TemporaryFile("w+") as log:
        sys.stdout.flush(), sys.stderr.flush()
        saved = os.dup(1), os.dup(2)
        os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
        try:
            model.generate_image(prompt="a lighthouse in a storm", width=o.size, height=o.size, sample_steps=1, cfg_scale=7.5,
                                 sample_method="euler", seed=1)
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os.dup2(saved[0], 1), os.dup2(saved[1], 2)
        log.seek(0)
        text = log.read()
    seconds = {}
    for name, words in zip(STAGES, ("get_learned_condition completed", "sampling completed", "decode_first_stage completed")):
        found = re.search(words + r",? taking ([0-9.]+) ?(ms|s)", text)
        if not found:
            sys.exit(f"no line '{words}' in the log of stable-diffusion.cpp:\n{text}")
        seconds[name] = float(found[1]) / (1000 if found[2] == "ms" else 1)
    return seconds


def peer(o):
    engine, _, dtype = o.peer.partition("-")
    if dtype == "convert":
        return convert_sdcpp(o) if engine == "sdcpp" else convert_openvino(o)
    seconds = {"openvino": measure_openvino, "sdcpp": measure_sdcpp, "pytorch": measure_torch}[engine](o, dtype)
    print(json.dumps({"seconds": seconds,
                      "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 * 1.024}))


def measure(o, engine):
    if engine.startswith("sumi"):
        dtype = engine.removeprefix("sumi-").removesuffix("-low")
        low = engine.endswith("-low")
        out = subprocess.run([o.sumi, "bench", "image", o.folder, "--size", str(o.size), "--steps", str(o.runs), "--dtype",
                              dtype, "--threads", str(o.threads), "--json"] + (["--low-memory"] if low else []),
                             capture_output=True, text=True, check=True).stdout
        result = json.loads(out)
        return {"seconds": {stage["name"]: stage["seconds"] for stage in result["stages"]},
                "megabytes": result["peak_memory_bytes"] / 1e6}
    command = [sys.executable, __file__, o.folder, "--size", str(o.size), "--runs", str(o.runs), "--threads",
               str(o.threads), "--peer"]
    if engine.startswith(("openvino", "sdcpp")):
        subprocess.run(command + [engine.partition("-")[0] + "-convert"], check=True, stdout=subprocess.DEVNULL)
    out = subprocess.run(command + [engine], capture_output=True, text=True, check=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            flags = line.split()
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
    kinds = [text for flag, text in (("avx512f", "AVX-512"), ("avx512_bf16", "BF16"), ("amx_bf16", "AMX")) if flag in flags]
    return f"{name} with {', '.join(kinds)}" if kinds else name


def table(head, results):
    """results: [(name, runs)]; the best of each stage."""
    lines = [f"| {head} | text encoder | UNet step | decoder | 20 steps | memory at most |", "|---|---|---|---|---|---|"]
    for name, runs in results:
        text, step, decoder = (min(r["seconds"][stage] for r in runs) for stage in STAGES)
        memory = min(r["megabytes"] for r in runs) / 1000
        lines.append(f"| {name} | {text:.3f} s | {step:.2f} s | {decoder:.2f} s | {text + 20 * step + decoder:.1f} s | "
                     f"{memory:.2f} GB |")
    return "\n".join(lines) + "\n"


def write(path, name, o, text):
    name += f"-{o.marks}" if o.marks else ""
    put_between_marks(pathlib.Path(path), name, f"{processor()}, {o.threads} threads:\n\n{text.rstrip()}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--sumi", default="build/sumi")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--growth", help="sizes of a table of one engine")
    parser.add_argument("--write", help="a file with places for the tables")
    parser.add_argument("--marks", help="what follows the names of the table's places, as in comparison-X")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.peer:
        return peer(o)
    engines = o.engines.split(",")
    if o.growth:
        results = []
        for size in o.growth.split(","):
            o.size = int(size)
            results.append((f"{size} x {size}", [measure(o, engines[0])]))
            print(size, json.dumps(results[-1][1]), file=sys.stderr)
        text = table(engines[0], results)
        print(text)
        if o.write:
            write(o.write, "growth", o, text)
        return
    results = {engine: [] for engine in engines}
    for _ in range(o.rounds):
        for engine in engines:
            results[engine].append(measure(o, engine))
            print(engine, json.dumps(results[engine][-1]), file=sys.stderr)
    text = table(f"{o.size} x {o.size}", list(results.items()))
    print(text)
    if o.write:
        write(o.write, "comparison", o, text)


if __name__ == "__main__":
    main()
