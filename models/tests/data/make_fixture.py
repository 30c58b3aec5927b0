"""Writes tiny.toml, tiny.safetensors and tiny_case.safetensors beside itself: a two-layer model with
every kind of attention, and what numpy in float64 makes of one input.  Needs numpy; run without
arguments.  Independent of the Rust code: the formulas are MPCViT's (ICCV 2023), but for
ReLU attention's epsilon of 1."""
import json
import math
import pathlib
import struct

import numpy as np

HERE = pathlib.Path(__file__).parent
IMAGE, PATCH, DIM, HEADS, MLP, CLASSES = 16, 4, 16, 4, 24, 5
ATTENTION = [["softmax", "relu", "linear", "softmax"], ["linear", "relu", "softmax", "relu"]]
ACTIVATION = ["gelu", "relu"]
TOKENS = (IMAGE // PATCH) ** 2 + 1
erf = np.vectorize(math.erf)


def make_weights(rng):
    def normal(*shape, std):
        return (rng.standard_normal(shape) * std).astype(np.float32)

    w = {
        "patch_embed.weight": normal(DIM, 3, PATCH, PATCH, std=1 / math.sqrt(3 * PATCH**2)),
        "patch_embed.bias": normal(DIM, std=0.1),
        "cls_token": normal(1, 1, DIM, std=0.5),
        "pos_embed": normal(1, TOKENS, DIM, std=0.3),
        "norm.weight": 1 + normal(DIM, std=0.2),
        "norm.bias": normal(DIM, std=0.2),
        "head.weight": normal(CLASSES, DIM, std=0.5),
        "head.bias": normal(CLASSES, std=0.2),
    }
    for i in range(len(ATTENTION)):
        b = f"blocks.{i}."
        w[b + "attn.qkv.weight"] = normal(3 * DIM, DIM, std=0.4)
        for name, rows, columns in [("attn.proj", DIM, DIM), ("mlp.fc1", MLP, DIM), ("mlp.fc2", DIM, MLP)]:
            w[b + name + ".weight"] = normal(rows, columns, std=1 / math.sqrt(columns))
            w[b + name + ".bias"] = normal(rows, std=0.1)
        for name in ("norm1", "norm2"):
            w[b + name + ".weight"] = 1 + normal(DIM, std=0.2)
            w[b + name + ".bias"] = normal(DIM, std=0.2)
    return w


def layer_norm(x, w, name):
    centred = x - x.mean(-1, keepdims=True)
    var = (centred**2).mean(-1, keepdims=True)
    return centred / np.sqrt(var + 1e-5) * w[name + ".weight"] + w[name + ".bias"]


def linear(x, w, name):
    y = x @ w[name + ".weight"].T
    return y + w[name + ".bias"] if name + ".bias" in w else y


def attention(x, w, name, kinds):
    q, k, v = linear(x, w, name).reshape(TOKENS, 3, HEADS, DIM // HEADS).transpose(1, 2, 0, 3)
    heads = []
    for h, kind in enumerate(kinds):
        s = q[h] @ k[h].T / math.sqrt(DIM // HEADS)
        if kind == "softmax":
            a = np.exp(s) / np.exp(s).sum(-1, keepdims=True)
        elif kind == "relu":
            a = np.maximum(s, 0) / (np.maximum(s, 0).sum(-1, keepdims=True) + 1.0)
        else:
            a = s / TOKENS
        heads.append(a @ v[h])
    return np.concatenate(heads, -1)


def forward(w, image):
    w = {name: value.astype(np.float64) for name, value in w.items()}
    seen = {}
    g = IMAGE // PATCH
    patches = image.astype(np.float64).reshape(3, g, PATCH, g, PATCH).transpose(1, 3, 0, 2, 4)
    embedding = w["patch_embed.weight"].reshape(DIM, -1)
    x = patches.reshape(g * g, -1) @ embedding.T + w["patch_embed.bias"]
    x = np.concatenate([w["cls_token"][0], x]) + w["pos_embed"][0]
    seen["embed"] = x
    for i, kinds in enumerate(ATTENTION):
        b = f"blocks.{i}."
        seen[f"attention{i}"] = attention(layer_norm(x, w, b + "norm1"), w, b + "attn.qkv", kinds)
        x = x + linear(seen[f"attention{i}"], w, b + "attn.proj")
        x = layer_norm(x, w, b + "norm2")
        h = linear(x, w, b + "mlp.fc1")
        h = np.maximum(h, 0) if ACTIVATION[i] == "relu" else 0.5 * h * (1 + erf(h / math.sqrt(2)))
        x = x + linear(h, w, b + "mlp.fc2")
        seen[f"layer{i}"] = x
    seen["logits"] = linear(layer_norm(x[:1], w, "norm"), w, "head")[0]
    return seen


def save(path, tensors):
    header, offset, parts = {}, 0, []
    for name in sorted(tensors):
        data = np.ascontiguousarray(tensors[name], dtype="<f4")
        end = offset + data.nbytes
        header[name] = {"dtype": "F32", "shape": list(data.shape), "data_offsets": [offset, end]}
        offset = end
        parts.append(data.tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def main():
    rng = np.random.default_rng(2023)
    weights = make_weights(rng)
    image = rng.standard_normal((3, IMAGE, IMAGE)).astype(np.float32)
    save(HERE / "tiny.safetensors", weights)
    save(HERE / "tiny_case.safetensors", {"input": image, **forward(weights, image)})
    (HERE / "tiny.toml").write_text(f"""\
# Made by make_fixture.py.
name = "tiny"
image = {IMAGE}
channels = 3
patch = {PATCH}
dim = {DIM}
heads = {HEADS}
mlp = {MLP}
classes = {CLASSES}
layers = {len(ATTENTION)}
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
attention = {json.dumps(ATTENTION)}
activation = {json.dumps(ACTIVATION)}
labels = ["apple", "bee", "cloud", "door", "elm"]
""")


main()
