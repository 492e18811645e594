"""Writes tests/data/train/: what torch, transformers and diffusers compute while they train.

optimizers.safetensors
  start.<p>, grad.<p> [10, ...]     two parameters and their gradients at ten steps
  <optimizer>.<p>                   the parameter after ten steps
  clipped.<p>, norm                 gradients of step 0 after clip_grad_norm_(max_norm=1), and their norm before
  ema.<p>                           EMAModel's average over AdamW's ten steps, decay 0.2
schedules.safetensors
  <case> [23] f64                   learning rates of steps 0 to 22 (get_scheduler of transformers)
losses.safetensors
  <model>.ids [10, 2, 16] i32, <model>.losses [10] f32   ten AdamW steps of a checkpoint of tests/data/language
Usage: python tools/reference/training.py
"""

import math
import pathlib

import torch
import transformers
from diffusers.training_utils import EMAModel
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data"
OUT = ROOT / "train"
LR, STEPS = 3e-2, 10
SHAPES = {"matrix": (70, 61), "vector": (19,)}


class Lion(torch.optim.Optimizer):
    """Algorithm 2 of arXiv:2302.06675."""

    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(group["lr"] * torch.sign(beta1 * m + (1 - beta1) * p.grad))
                m.mul_(beta2).add_(p.grad, alpha=1 - beta2)


OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=LR, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1),
    "adafactor": lambda p: transformers.Adafactor(p, lr=LR, scale_parameter=False, relative_step=False,
                                                  weight_decay=0.1),
    "lion": lambda p: Lion(p, lr=LR, betas=(0.9, 0.99), weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=LR, weight_decay=0.1),
    "sgd_momentum": lambda p: torch.optim.SGD(p, lr=LR, momentum=0.9, weight_decay=0.1),
}

SCHEDULES = {
    "constant": ("constant", 0, {}),
    "constant_with_warmup": ("constant_with_warmup", 5, {}),
    "linear": ("linear", 3, {}),
    "cosine": ("cosine", 3, {}),
    "cosine_no_warmup": ("cosine", 0, {}),
    "cosine_with_restarts": ("cosine_with_restarts", 2, {"num_cycles": 3}),
    "polynomial": ("polynomial", 4, {"power": 2.0, "lr_end": 1e-5}),
}


def optimizers():
    torch.manual_seed(1)
    start = {n: torch.randn(s) for n, s in SHAPES.items()}
    # Gradients of very different sizes, some zero, and of a sign that changes.
    grads = {n: torch.randn(STEPS, *s) * torch.logspace(-4, 0, s[-1]) for n, s in SHAPES.items()}
    grads["matrix"][:, 5] = 0
    out = {f"start.{n}": v for n, v in start.items()} | {f"grad.{n}": v for n, v in grads.items()}
    for name, make in OPTIMIZERS.items():
        params = {n: torch.nn.Parameter(v.clone()) for n, v in start.items()}
        optimizer = make(list(params.values()))
        ema = EMAModel(params.values(), decay=0.2)
        for step in range(STEPS):
            for n, p in params.items():
                p.grad = grads[n][step].clone()
            optimizer.step()
            ema.step(params.values())
        out |= {f"{name}.{n}": p.detach() for n, p in params.items()}
        if name == "adamw":
            out |= {f"ema.{n}": v for n, v in zip(params, ema.shadow_params)}
    clipped = {n: torch.nn.Parameter(v.clone()) for n, v in start.items()}
    for n, p in clipped.items():
        p.grad = grads[n][0].clone()
    out["norm"] = torch.nn.utils.clip_grad_norm_(clipped.values(), 1.0).reshape(1)
    out |= {f"clipped.{n}": p.grad for n, p in clipped.items()}
    save_file({k: v.contiguous() for k, v in out.items()}, OUT / "optimizers.safetensors")


def schedules():
    out = {}
    for case, (name, warmup, extra) in SCHEDULES.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-3)
        scheduler = transformers.get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=20,
                                               scheduler_specific_kwargs=extra)
        rates = []
        for _ in range(23):
            rates.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        out[case] = torch.tensor(rates, dtype=torch.float64)
    save_file(out, OUT / "schedules.safetensors")


def losses():
    out = {}
    for name in ("llama", "gpt2"):
        torch.manual_seed(2)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            ROOT / "language" / name, dtype=torch.float32, attn_implementation="eager")
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.01)
        vocab = model.config.vocab_size
        ids = torch.randint(3, vocab, (STEPS, 2, 16))
        ids[1::2] = ids[0]  # seen again: the loss falls
        values = []
        for batch in ids:
            loss = torch.nn.functional.cross_entropy(model(batch).logits[:, :-1].reshape(-1, vocab),
                                                     batch[:, 1:].reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            values.append(loss.detach())
        assert values[-1] < values[0] and not math.isnan(values[-1])
        out[f"{name}.ids"] = ids.int()
        out[f"{name}.losses"] = torch.stack(values)
    save_file(out, OUT / "losses.safetensors")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    optimizers()
    schedules()
    losses()
