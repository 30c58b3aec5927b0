"""The benchmark's models in PyTorch: what `measure.py` sets beside `sotto reference`. Prints JSON lines.

    python3 benches/gpu/torch_reference.py [cpu|cuda] [SECONDS]
"""

import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

# layers, heads, width, hidden, image, patch, classes; and the images at once
MODELS = {
    "vit_cifar": ((7, 4, 256, 512, 32, 4, 10), [1, 264, 1056]),
    "vit_tiny": ((9, 12, 192, 384, 64, 4, 200), [1, 64]),
}
ON_A_PROCESSOR = {"vit_cifar": [1, 64], "vit_tiny": [1, 16]}


class Block(nn.Module):
    """MPCViT's: the second residual starts from the norm."""

    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))
        x = self.norm2(x)
        return x + self.fc2(F.gelu(self.fc1(x)))


class Vit(nn.Module):
    def __init__(self, layers, heads, width, hidden, image, patch, classes):
        super().__init__()
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, (image // patch) ** 2 + 1, width))
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, 0]))


def median(run, wait, seconds):
    """Median seconds of a run, after three that are not counted."""
    for _ in range(3):
        run()
    wait()
    times, begun = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        run()
        wait()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def ways(model, x, device):
    """Ways to run a model, by name."""
    yield "eager", lambda: model(x)
    if device == "cpu":
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    for name in ["FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH"]:
        def run(backend=getattr(SDPBackend, name)):
            with sdpa_kernel(backend):
                model(x)
        yield name.lower(), run
    # A compilation takes most of a minute: where it counts.
    if x.dtype == torch.bfloat16 and x.shape[0] != 264:
        compiled = torch.compile(model, mode="max-autotune", dynamic=False)
        yield "compile", lambda: compiled(x)
    graph = torch.cuda.CUDAGraph()
    model(x)
    torch.cuda.synchronize()
    with torch.cuda.graph(graph):
        model(x)
    yield "graph", graph.replay


def main():
    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    formats = {"f32": torch.float32}
    if device == "cuda":
        formats.update(f16=torch.float16, bf16=torch.bfloat16)
    for name, (shape, batches) in MODELS.items():
        for precision, dtype in formats.items():
            model = Vit(*shape).eval().to(device, dtype)
            for batch in batches if device == "cuda" else ON_A_PROCESSOR[name]:
                x = torch.randn(batch, 3, shape[4], shape[4], device=device, dtype=dtype)
                found = {"model": name, "device": device, "precision": precision, "batch": batch}
                with torch.inference_mode():
                    for way, run in ways(model, x, device):
                        try:
                            s = median(run, wait, seconds)
                        except Exception as e:  # a backend that does not take the shape
                            print(json.dumps({**found, "way": way, "missing": str(e).splitlines()[0]}), flush=True)
                            continue
                        print(json.dumps({**found, "way": way, "batch_s": s}), flush=True)


main()
