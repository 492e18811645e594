"""Writes tests/data/formats/torch/: checkpoints written by torch.save, and the fuzzer's seeds made of them; and
tests/data/language/*_bin: checkpoints of other cases there as pytorch_model.bin, whole and in shards."""

import collections
import io
import json
import shutil
import zipfile

from pathlib import Path

import torch
from safetensors.torch import load_file

DATA = Path(__file__).resolve().parents[2] / "tests" / "data"
OUT = DATA / "formats" / "torch"
CORPUS = DATA.parent / "fuzz" / "corpus" / "torch"


def every_type():
    values = torch.arange(6).reshape(2, 3) - 2
    tensors = collections.OrderedDict(
        (str(dtype).removeprefix("torch."), values.to(dtype))
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
                      torch.int8, torch.bool))
    tensors["uint8"] = values.abs().to(torch.uint8)
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 4)
    tensors["parameter"] = torch.nn.Parameter(torch.tensor([1.5, -2.5]))
    shared = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors["whole"] = shared
    tensors["tied"] = shared
    tensors["rows"] = shared[1:3]
    tensors["transposed"] = shared.t()
    tensors["columns"] = shared[:, ::2]
    tensors["expanded"] = torch.tensor([7.0, 8.0])[:, None].expand(2, 3)
    tensors["of_one"] = shared[:, 2:3].t()  # strides of axes of size 1 say nothing
    return tensors


def training_state():
    model = torch.nn.Linear(2, 3)
    with torch.no_grad():
        model.weight.copy_(torch.arange(6).reshape(3, 2))
        model.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.25)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    with torch.no_grad():
        model.weight.copy_(torch.arange(6).reshape(3, 2))
    return {"epoch": 3, "best": torch.tensor(0.5), "big": 1 << 70, "rate": -0.125, "name": "naïve", "done": False,
            "raw": b"bytes", "shape": model.weight.shape, "dtype": torch.float16, "optimizer": optimizer.state_dict(),
            "state_dict": {"model": model.state_dict()}}


def write(name, value, **options):
    torch.save(value, OUT / name, **options)


def write_formats():
    OUT.mkdir(parents=True, exist_ok=True)
    write("types.pt", every_type())
    write("types_legacy.pt", every_type(), _use_new_zipfile_serialization=False)
    write("types_protocol4.pt", every_type(), pickle_protocol=4)
    write("training.pt", training_state())
    write("training_legacy.pt", training_state(), _use_new_zipfile_serialization=False, pickle_protocol=5)
    # The same archive without zip64 records, and one that was compressed.
    with zipfile.ZipFile(OUT / "training.pt") as archive:
        for name, method in (("rezipped.pt", zipfile.ZIP_STORED), ("compressed.pt", zipfile.ZIP_DEFLATED)):
            with zipfile.ZipFile(OUT / name, "w", method) as copy:
                for entry in archive.namelist():
                    info = zipfile.ZipInfo(entry, (2000, 1, 1, 0, 0, 0))
                    info.compress_type = method
                    copy.writestr(info, archive.read(entry))
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), OUT / "script.pt")


def write_seeds():
    CORPUS.mkdir(parents=True, exist_ok=True)
    for name in ("types.pt", "types_legacy.pt", "training.pt", "rezipped.pt"):
        shutil.copyfile(OUT / name, CORPUS / name)
    small = {"a": torch.tensor([1.0]), "b": torch.ones(2, 2, dtype=torch.int64).t()}
    torch.save(small, CORPUS / "small_legacy.pt", _use_new_zipfile_serialization=False)
    # Uncompressed and without alignment the archive is short enough for a fuzzer to work on.
    buffer = io.BytesIO()
    torch.save(small, buffer)
    with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(CORPUS / "small.pt", "w") as copy:
        for entry in archive.namelist():
            if entry.endswith("data.pkl") or "/data/" in entry:
                copy.writestr(zipfile.ZipInfo("a/" + entry.split("/", 1)[1]), archive.read(entry))


def write_folders():
    """gpt2_bin in the older container; llama_tied_bin in two zip shards, the head's copy among them."""
    language = DATA / "language"
    for case in ("gpt2", "llama_tied"):
        folder = language / f"{case}_bin"
        folder.mkdir(exist_ok=True)
        shutil.copyfile(language / case / "config.json", folder / "config.json")
    torch.save(load_file(language / "gpt2" / "model.safetensors"), language / "gpt2_bin" / "pytorch_model.bin",
               _use_new_zipfile_serialization=False)
    tensors = load_file(language / "llama_tied" / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    names = sorted(tensors)
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": {}}
    for i, part in enumerate((names[:8], names[8:])):
        file = f"pytorch_model-{i + 1:05d}-of-00002.bin"
        torch.save({n: tensors[n] for n in part}, language / "llama_tied_bin" / file)
        index["weight_map"].update({n: file for n in part})
    (language / "llama_tied_bin" / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    write_formats()
    write_seeds()
    write_folders()
