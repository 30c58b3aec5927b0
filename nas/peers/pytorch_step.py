"""Images per second of a training step in PyTorch, beside `sotto-nas train --optimiser adamw`.

The same model (MPCViT's block, softmax, GELU), batch and loss; pictures lie in memory, nothing is augmented.

    pip install torch==2.9.0 numpy
    python pytorch_step.py LAYERS HEADS WIDTH [--threads 2] [--batch 128] [--steps 60]
"""

import argparse
import time

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x):
        n, t, d = x.shape
        qkv = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(mixed.transpose(1, 2).reshape(n, t, d))
        x = self.norm2(x)
        return x + self.fc2(F.gelu(self.fc1(x)))


class Vit(nn.Module):
    def __init__(self, layers, heads, dim, patches=64, pixels=48, classes=10):
        super().__init__()
        self.embed = nn.Linear(pixels, dim)
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.place = nn.Parameter(0.2 * torch.randn(1, patches + 1, dim))
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, classes)

    def forward(self, patches):
        x = self.embed(patches)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.place
        return self.head(self.norm(self.blocks(x))[:, 0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("layers", "heads", "width"):
        parser.add_argument(name, type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(args.threads)
    model = Vit(args.layers, args.heads, args.width)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, fused=True)
    pictures = torch.randn(8, args.batch, 64, 48)
    classes = torch.randint(10, (8, args.batch))
    for step in range(args.steps + 5):
        if step == 5:
            start = time.perf_counter()
        loss = F.cross_entropy(model(pictures[step % 8]), classes[step % 8], label_smoothing=0.1)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    rate = args.steps * args.batch / (time.perf_counter() - start)
    print(f"PyTorch {torch.__version__}, {args.threads} threads: {rate:.0f} images/s")


if __name__ == "__main__":
    main()
