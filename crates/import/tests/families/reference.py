"""Writes the vectors beside it: for each family a tiny model of the reference implementation, its names and shapes, and what
it computes of one input. Weights are not stored: both sides draw them from a tensor's name.

    pip install torch transformers==4.40.2 timm==0.9.16 numpy
    python reference.py
"""

import json
import math
import pathlib

import numpy as np
import safetensors.torch
import timm
import torch
import torch.nn.functional as F
import transformers as hf

HERE = pathlib.Path(__file__).parent


def draw(name, shape, centre, size):
    """Numbers of centre +- size: FNV-1a of the name, then splitmix64."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        x = np.uint64(seed) + np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = (x ^ (x >> np.uint64(31))) >> np.uint64(40)
    unit = x.astype(np.float64) / 2**23 - 1
    return torch.tensor((centre + size * unit).astype(np.float32).reshape(shape))


def spread(name, shape):
    """The centre and size of a tensor's numbers: such that no part of the model is idle."""
    if "lambda1" in name or ".ls" in name:
        return 0.6, 0.3
    if len(shape) == 1:
        return (1.0, 0.3) if name.endswith("weight") else (0.0, 0.2)
    if "token" in name or "pos" in name or "embeddings.weight" in name:
        return 0.0, 0.7
    return 0.0, round(1.7 / math.sqrt(math.prod(shape[1:])), 4)


def fill(model):
    """Draws a model's weights; gives their list for the file."""
    listed = []
    state = model.state_dict()
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        shape = list(tensor.shape)
        centre, size = spread(name, shape)
        state[name] = draw(name, shape, centre, size)
        listed.append([name, shape, centre, size])
    model.load_state_dict(state)
    model.eval()
    return listed


def write(name, config, tensors, result, **more):
    result = [round(float(x), 6) for x in result.detach().flatten()]
    case = {"config": config, "tensors": tensors, **more, "result": result}
    text = json.dumps(case, indent=1)
    # Short lists on one line.
    text = "\n".join(join(text.split("\n")))
    (HERE / f"{name}.json").write_text(text + "\n")
    print(name, len(result), result[:3])


def join(lines):
    depth, part = 0, ""
    for line in lines:
        opens = line.rstrip().endswith("[") and not line.strip().startswith('"tensors"')
        if depth == 0 and not opens:
            yield line
            continue
        part += line.strip() if part else line
        part += "" if part.endswith("[") else " "
        depth += line.count("[") - line.count("]")
        if depth == 0:
            yield part.rstrip().replace(" ]", "]")
            part = ""


SMALL = dict(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, vocab_size=40,
    max_position_embeddings=12,
)
WORDS = [2, 17, 31, 5, 9, 3]
KINDS = [0, 0, 0, 1, 1, 1]


def config_of(model):
    config = model.config.to_diff_dict()
    config["architectures"] = [type(model).__name__]
    return config


def text(name, model, pick, kinds=None, **more):
    tensors = fill(model)
    given = {"input_ids": torch.tensor([WORDS]), "attention_mask": torch.ones(1, len(WORDS))}
    if kinds:
        given["token_type_ids"] = torch.tensor([kinds])
    with torch.no_grad():
        result = pick(model(**given))
    write(name, config_of(model), tensors, result, words=WORDS, kinds=kinds or [], **more)


def logits(out):
    return out.logits


def texts():
    mean = lambda out: F.normalize(out.last_hidden_state.mean(1))
    text("bert_sentence", hf.BertModel(hf.BertConfig(**SMALL)), mean, KINDS, sentence=True, old_norms=True)
    names = {"0": "bad", "1": "neutral", "2": "good"}
    three = dict(id2label=names, label2id={v: int(k) for k, v in names.items()})
    bert = hf.BertConfig(**SMALL, **three, hidden_act="gelu_new")
    text("bert_classes", hf.BertForSequenceClassification(bert), logits, KINDS)
    roberta = dict(SMALL, max_position_embeddings=14, type_vocab_size=1, layer_norm_eps=1e-5)
    text("roberta_classes", hf.RobertaForSequenceClassification(hf.RobertaConfig(**roberta, num_labels=5)), logits)
    text("xlm_roberta_tokens", hf.XLMRobertaForTokenClassification(hf.XLMRobertaConfig(**roberta, num_labels=4)), logits)
    distil = hf.DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=24, vocab_size=40, max_position_embeddings=12)
    text("distilbert_classes", hf.DistilBertForSequenceClassification(distil), logits)
    albert = hf.AlbertConfig(**SMALL, embedding_size=8)
    text("albert_classes", hf.AlbertForSequenceClassification(albert), logits, KINDS)


def picture(name, model, tensors, result_of, config, side, **more):
    image = draw("picture", [1, 3, side, side], 0.0, 1.0)
    with torch.no_grad():
        result = result_of(image)
    write(name, config, tensors, result, side=side, **more)


def bit(side, shorter, crop):
    """A preprocessor's file."""
    size = {"shortest_edge": shorter} if shorter else {"height": side, "width": side}
    cut = {"do_center_crop": True, "crop_size": {"height": crop, "width": crop}} if crop else {}
    return {
        "do_resize": True, "size": size, **cut, "resample": 3, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
    }


EYES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, patch_size=4)


def pictures():
    vit = hf.ViTForImageClassification(hf.ViTConfig(**EYES, intermediate_size=24, image_size=12, num_labels=4))
    picture("vit_classes", vit, fill(vit), lambda x: vit(x).logits, config_of(vit), 12, preprocessor=bit(12, 0, 0))
    deit = hf.DeiTForImageClassificationWithTeacher(
        hf.DeiTConfig(**EYES, intermediate_size=24, image_size=12, num_labels=4))
    picture("deit_teacher", deit, fill(deit), lambda x: deit(x).logits, config_of(deit), 12,
            preprocessor=bit(16, 0, 12))
    dino = hf.Dinov2ForImageClassification(hf.Dinov2Config(**EYES, mlp_ratio=2, image_size=20, num_labels=3))
    tensors = fill(dino)
    places = dino.dinov2.embeddings
    full = places.position_embeddings

    def resized(embeddings, height, width):
        # As later versions do: by size, not by a factor.
        return torch.cat([full[:, :1], grid(full[:, 1:], 5, height // 4, False)], 1)

    places.interpolate_pos_encoding = resized
    picture("dinov2_classes", dino, tensors, lambda x: dino(x).logits, config_of(dino), 12,
            preprocessor=bit(0, 14, 12))
    registers()


def grid(rows, old, new, antialias):
    d = rows.shape[-1]
    square = rows.reshape(1, old, old, d).permute(0, 3, 1, 2)
    square = F.interpolate(square, size=(new, new), mode="bicubic", align_corners=False, antialias=antialias)
    return square.permute(0, 2, 3, 1).reshape(1, new * new, d)


TIMM = dict(embed_dim=16, depth=2, num_heads=2)
CUT = {"input_size": [3, 12, 12], "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center",
       "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def of_timm(name, architecture, pool="token", classes=4, **arguments):
    arguments = {**TIMM, "img_size": 12, "patch_size": 4, **arguments}
    model = timm.create_model(architecture, num_classes=classes, global_pool=pool, **arguments)
    config = {"architecture": architecture, "num_classes": classes, "global_pool": pool,
              "pretrained_cfg": CUT, "model_args": arguments}
    picture(name, model, fill(model), model, config, 12)


def timms():
    of_timm("timm_vit", "vit_tiny_patch16_224")
    of_timm("timm_deit_distilled", "deit_tiny_distilled_patch16_224")
    of_timm("timm_deit3", "deit3_small_patch16_224")
    of_timm("timm_registers", "vit_small_patch14_reg4_dinov2", classes=0)
    of_timm("timm_gap", "vit_base_patch16_gap_224", pool="avg")


def registers():
    """DINOv2 with registers: timm's model under the hub's names, which keep a position for the class token."""
    model = timm.create_model("vit_small_patch14_reg4_dinov2", num_classes=0, **TIMM, img_size=12, patch_size=4)
    state, hub, d = model.state_dict(), [], 16
    prefix = "embeddings."

    def at(name, shape):
        centre, size = spread(name, shape)
        hub.append([name, shape, centre, size])
        return draw(name, shape, centre, size)

    places = at(prefix + "position_embeddings", [1, 26, d])
    state["cls_token"] = at(prefix + "cls_token", [1, 1, d]) + places[:, :1]
    at(prefix + "mask_token", [1, d])
    state["reg_token"] = at(prefix + "register_tokens", [1, 4, d])
    state["pos_embed"] = grid(places[:, 1:], 5, 3, True)
    patches = prefix + "patch_embeddings.projection."
    for part in ["weight", "bias"]:
        state["patch_embed.proj." + part] = at(patches + part, list(state["patch_embed.proj." + part].shape))
        state["norm." + part] = at("layernorm." + part, [d])
        for n in range(2):
            ours, theirs = f"blocks.{n}.", f"encoder.layer.{n}."
            shape = [d, d] if part == "weight" else [d]
            qkv = [at(f"{theirs}attention.attention.{k}.{part}", shape) for k in ["query", "key", "value"]]
            state[f"{ours}attn.qkv.{part}"] = torch.cat(qkv)
            for a, b in [("attn.proj", "attention.output.dense"), ("norm1", "norm1"), ("norm2", "norm2"),
                         ("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2")]:
                key = f"{ours}{a}.{part}"
                state[key] = at(f"{theirs}{b}.{part}", list(state[key].shape))
    for n in range(2):
        for k in [1, 2]:
            state[f"blocks.{n}.ls{k}.gamma"] = at(f"encoder.layer.{n}.layer_scale{k}.lambda1", [d])
    model.load_state_dict(state)
    model.eval()
    config = {"model_type": "dinov2_with_registers", "architectures": ["Dinov2WithRegistersModel"], **EYES,
              "mlp_ratio": 4, "image_size": 20, "num_register_tokens": 4, "layer_norm_eps": 1e-6}
    picture("dinov2_registers", model, hub, model, config, 12, preprocessor=bit(0, 14, 12))


def folder():
    """A whole folder, for the tests of the commands: a sentence encoder of 40 words in half precision."""
    out = HERE.parents[3] / "cli/tests/tiny"
    (out / "1_Pooling").mkdir(parents=True, exist_ok=True)
    model = hf.BertModel(hf.BertConfig(**dict(SMALL, max_position_embeddings=24)))
    fill(model)
    state = {name: tensor.half() for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    safetensors.torch.save_file(state, out / "model.safetensors", {"format": "pt"})
    words = "[PAD] [UNK] [CLS] [SEP] a the dealer server client sees neither picture nor weight text share is one of two " \
        "numbers that look random word by and it not what network waits long short open mask sum public private ."
    words = words.split()
    assert len(words) == len(set(words)) == 40, len(set(words))
    special = {w: {"id": w, "ids": [words.index(w)], "tokens": [w]} for w in ["[CLS]", "[SEP]"]}
    token = lambda w, kind: {"SpecialToken": {"id": w, "type_id": kind}}
    part = lambda w, kind: {"Sequence": {"id": w, "type_id": kind}}
    single = [token("[CLS]", 0), part("A", 0), token("[SEP]", 0)]
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "TemplateProcessing", "single": single,
                           "pair": single + [part("B", 1), token("[SEP]", 1)], "special_tokens": special},
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {w: i for i, w in enumerate(words)}, "unk_token": "[UNK]"},
    }
    types = ["Transformer", "Pooling", "Normalize"]
    paths = ["", "1_Pooling", "2_Normalize"]
    files = {
        "config.json": config_of(model), "tokenizer.json": tokenizer,
        "1_Pooling/config.json": {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True},
        "modules.json": [{"idx": i, "name": str(i), "path": paths[i], "type": f"sentence_transformers.models.{t}"}
                         for i, t in enumerate(types)],
        "sentence_bert_config.json": {"max_seq_length": 16, "do_lower_case": False},
    }
    for name, value in files.items():
        (out / name).write_text(json.dumps(value, indent=1) + "\n")


texts()
pictures()
timms()
folder()
