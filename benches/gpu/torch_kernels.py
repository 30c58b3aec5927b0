"""The kernels of `crates/gpu/examples/kernels.rs` in PyTorch, the best way of each: JSON lines.

    python3 benches/gpu/torch_kernels.py [bf16|f16|f32]
"""

import json
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

FORMATS = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
HEADS = [("CIFAR", 65, 4, 64, 2048), ("Tiny", 257, 12, 16, 512), ("BERT", 128, 12, 64, 256), ("ViT-base", 197, 12, 64, 192)]
BACKENDS = ["FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH"]


def seconds(run, tries=21):
    """Median by the card's clock, after three that are not counted."""
    for _ in range(3):
        run()
    times = []
    for _ in range(tries):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        times.append(1e-3 * start.elapsed_time(end))
    return sorted(times)[tries // 2]


def tell(what, precision, ways):
    """The fastest of the ways that work."""
    found, refused = [], []
    for name, run in ways:
        try:
            found.append((seconds(run), name))
        except Exception as e:  # a backend that does not take the shape
            refused.append(f"{name}: {str(e).splitlines()[0][:80]}")
    if found:
        best, way = min(found)
        print(json.dumps({"what": what, "precision": precision, "seconds": best, "way": way, "refused": refused}), flush=True)


def with_backend(name, q, k, v):
    def run():
        with sdpa_kernel(getattr(SDPBackend, name)):
            F.scaled_dot_product_attention(q, k, v)
    return run


def relu(q, k, v):
    p = F.relu(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5)
    return p @ v / (p.sum(-1, keepdim=True) + 1)


def sigmoid(q, k, v):
    n = torch.tensor(float(q.shape[-2]), device=q.device).log()
    return torch.sigmoid(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 - n) @ v


def linear(q, k, v):
    return q @ (k.transpose(-1, -2) @ v) * (q.shape[-1] ** -0.5 / q.shape[-2])


def main():
    precision = sys.argv[1] if len(sys.argv) > 1 else "bf16"
    dtype = FORMATS[precision]
    with torch.inference_mode():
        a, b = (torch.randn(8192, 8192, device="cuda", dtype=dtype) for _ in range(2))
        s = seconds(lambda: a @ b, 7)
        from_, to = (torch.empty(1 << 30, device="cuda", dtype=torch.uint8) for _ in range(2))
        copy = seconds(lambda: to.copy_(from_), 7)
        print(json.dumps({"ceilings": precision, "operations": 2 * 8192**3 / s, "bytes": 2 * (1 << 30) / copy}), flush=True)
        del a, b, from_, to
        for model, n, heads, dh, batch in HEADS:
            x = torch.randn(batch, n, 3, heads, dh, device="cuda", dtype=dtype)
            views = x.permute(2, 0, 3, 1, 4).unbind(0)
            ways = []
            for layout, (q, k, v) in [("", views), (", copied apart", [t.contiguous() for t in views])]:
                ways += [(name.lower() + layout, with_backend(name, q, k, v)) for name in BACKENDS]
            tell(f"{model} softmax", precision, ways)
            for name, of in [("ReLU", relu), ("sigmoid", sigmoid), ("linear", linear)]:
                ways = [("eager", lambda of=of: of(*views))]
                if model in ("CIFAR", "Tiny") and name != "sigmoid":
                    compiled = torch.compile(of, dynamic=False)
                    ways.append(("compile", lambda compiled=compiled: compiled(*views)))
                tell(f"{model} {name}", precision, ways)
        for what, rows, inputs, outputs, gelu in [
            ("CIFAR qkv", 68640, 256, 768, False),
            ("CIFAR fc1, GELU", 68640, 256, 512, True),
            ("CIFAR fc2", 68640, 512, 256, False),
            ("BERT fc1, GELU", 16384, 768, 3072, True),
            ("BERT fc2", 16384, 3072, 768, False),
            ("large", 8192, 4096, 4096, False),
        ]:
            x, w, bias = (torch.randn(*shape, device="cuda", dtype=dtype) for shape in [(rows, inputs), (outputs, inputs), (outputs,)])
            run = (lambda: F.gelu(F.linear(x, w, bias))) if gelu else (lambda: F.linear(x, w, bias))
            tell(what, precision, [("eager", run)])
        x, g, o = (torch.randn(*shape, device="cuda", dtype=dtype) for shape in [(137280, 256), (256,), (256,)])
        tell("CIFAR norm", precision, [("eager", lambda: F.layer_norm(x, (256,), g, o))])


main()
