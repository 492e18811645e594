"""What torch's CPU generator draws -> tests/data/base/random.txt.

One case per line, drawn one after the other from one generator after each "seed" line:
  seed S | rand N | randn N | randn_f16 N | randn_bf16 N | randint LOW HIGH N | randperm N | bernoulli P N,
then " | " and the numbers: floats as hexadecimal bits, integers as they are. Calls of more than 64 numbers have the
FNV-1a hash of all bytes, and the first and last four numbers. "state" lines have the hash of get_state().
"""

import pathlib

import numpy
import torch

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "base" / "random.txt"
SEEDS = [0, 1, 42, 1234567, 2**32 + 5, 2**64 - 1]


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def numbers(array):
    kinds = {2: numpy.uint16, 4: numpy.uint32}
    bits = array.view(kinds[array.itemsize]) if array.dtype.kind == "f" else array
    shown = [f"{v:x}" if array.dtype.kind == "f" or bits is not array else str(v) for v in bits.tolist()]
    if len(shown) <= 64:
        return " ".join(shown)
    return " ".join([fnv(array.tobytes())] + shown[:4] + shown[-4:])


def draw(call, generator):
    name, *arguments = call.split()
    counts = [int(a) for a in arguments if name != "bernoulli"]
    if name == "rand":
        return torch.rand(*counts, generator=generator).numpy()
    if name == "randn":
        return torch.randn(*counts, generator=generator).numpy()
    if name == "randn_f16":
        return torch.randn(*counts, dtype=torch.float16, generator=generator).numpy()
    if name == "randn_bf16":  # numpy has no bfloat16; any 2-byte float shows its bits
        return torch.randn(*counts, dtype=torch.bfloat16, generator=generator).view(torch.float16).numpy()
    if name == "randint":
        return torch.randint(counts[0], counts[1], (counts[2],), generator=generator).numpy()
    if name == "randperm":
        return torch.randperm(*counts, generator=generator).numpy()
    if name == "bernoulli":
        probability = torch.full((int(arguments[1]),), float(arguments[0]))
        return torch.bernoulli(probability, generator=generator).to(torch.uint8).numpy()
    raise ValueError(call)


def main():
    assert torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    lines = []
    for seed in SEEDS:
        lines.append(f"seed {seed}")
        calls = [f"randn {n}" for n in range(1, 41)] if seed in (0, 42) else ["randn 3", "randn 17", "randn 5"]
        calls += ["randn 1000", "rand 5", "randn 16384", "rand 100", "randint 0 1000 20",
                  "randint -5 9000000000 7", "randperm 1", "randperm 50", "bernoulli 0.3 40", "randn 1",
                  "randn_f16 7", "randn_bf16 7", "randn_f16 64", "randn_bf16 64", "randn_f16 3001",
                  "randn_bf16 3001", "randperm 1000", "randn 15", "randn 65536"]
        generator = torch.Generator().manual_seed(seed)
        lines.append("state | " + fnv(generator.get_state().numpy().tobytes()))
        for call in calls:
            lines.append(f"{call} | {numbers(draw(call, generator))}")
            lines.append("state | " + fnv(generator.get_state().numpy().tobytes()))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
