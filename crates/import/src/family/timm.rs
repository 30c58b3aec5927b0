//! timm's ViT, DeiT, DeiT III and DINOv2: names that are ours but for a few, a structure that the architecture's name tells.

use sotto_models::{
    arch::Activation,
    model::{Pixels, Place, Pool},
};

use crate::{
    config::Config,
    error::Error,
    given::Given,
    labels::labels,
    picture::{Filter, Framing, Preparation, Scale},
    recipe::{Names, Recipe, sources},
    resize::Kernel,
    stack, vision,
};

const NAMES: &Names = &[
    ("patch_embed", &["patch_embed.proj"]),
    ("blocks.N.norm1", &["blocks.N.norm1"]),
    ("blocks.N.attn.qkv", &["blocks.N.attn.qkv"]),
    ("blocks.N.attn.proj", &["blocks.N.attn.proj"]),
    ("blocks.N.norm2", &["blocks.N.norm2"]),
    ("blocks.N.mlp.fc1", &["blocks.N.mlp.fc1"]),
    ("blocks.N.mlp.fc2", &["blocks.N.mlp.fc2"]),
    ("norm", &["norm"]),
    ("head", &["head"]),
];
const SCALES: &[(&str, &str)] =
    &[("blocks.N.attn.proj", "blocks.N.ls1.gamma"), ("blocks.N.mlp.fc2", "blocks.N.ls2.gamma")];
/// Names of sizes, with width, heads and layers.
const SIZES: [(&str, [usize; 3]); 5] = [
    ("tiny", [192, 3, 12]),
    ("small", [384, 6, 12]),
    ("medium", [512, 8, 12]),
    ("base", [768, 12, 12]),
    ("large", [1024, 16, 24]),
];
/// Words of an architecture's name that change nothing but what tensors show.
const WORDS: [&str; 5] = ["distilled", "reg4", "gap", "miil", "dinov2"];
/// All of its models have it.
const EPS: f64 = 1e-6;

pub(crate) fn recipe(given: &Given<'_>) -> Result<Recipe, Error> {
    let config = given.config;
    let [mut width, mut heads, mut layers] = size(config)?;
    let cfg = config.inner("pretrained_cfg")?;
    let cfg = cfg.ok_or_else(|| config.other("pretrained_cfg", "how pictures are prepared"))?;
    if let Some(changed) = config.inner("model_args")? {
        changed.only(&[
            "embed_dim",
            "num_heads",
            "depth",
            "img_size",
            "patch_size",
            "mlp_ratio",
        ])?;
        width = changed.size_or("embed_dim", width)?;
        heads = if changed.value("num_heads").is_some() {
            stack::heads(&changed, "num_heads")?
        } else {
            heads
        };
        layers = if changed.value("depth").is_some() {
            stack::layers(&changed, "depth")?
        } else {
            layers
        };
    }
    let preparation = preparation(&cfg)?;
    let image = preparation.framing.crop;
    let (has, along) = (
        |name: &str| given.checkpoint.has(name),
        |name: &str, axis: usize| given.checkpoint.size(name, axis),
    );
    let (patch, hidden) =
        (along("patch_embed.proj.weight", 2), along("blocks.0.mlp.fc1.weight", 0));
    let (patch, hidden) = (patch.unwrap_or(16), hidden.unwrap_or(4 * width));
    let lead: Vec<(&str, usize)> = ["cls_token", "dist_token", "reg_token"]
        .into_iter()
        .filter_map(|name| Some((name, along(name, 1)?)))
        .collect();
    let rows = lead.iter().fold(0, |sum: usize, (_, n)| sum.saturating_add(*n));
    let grid = vision::grid(&cfg, "input_size", image, patch)?;
    let Preparation { mean, std, .. } = preparation;
    let pixels = Pixels { image, channels: 3, patch, mean, std, lead: rows };
    let mut stack =
        stack::uniform(layers, heads, [width, hidden], Activation::Gelu, Place::Before, EPS);
    stack.qkv_bias = has("blocks.0.attn.qkv.bias");
    let (two, classes) = (has("head_dist.weight"), along("head.weight", 0));
    let mut notes = Vec::new();
    let output = match classes {
        Some(_) if given.choices.embedding.is_none() => {
            let pool = if two { Pool::FirstTwo } else { pool(config, lead.is_empty())? };
            let (output, _) = vision::classes(given, "head", pool, &mut Vec::new())?;
            let names = labels(config, "label_names", output.classes(), &mut notes)?;
            (output, names)
        }
        _ => vision::embedding(given),
    };
    let mut recipe = vision::model(given, (pixels, preparation.framing), stack, output, notes)?;
    recipe.sources.extend(sources(&recipe.model, NAMES, ""));
    if has("blocks.0.ls1.gamma") {
        recipe.scale(SCALES, "");
    }
    vision::mean_of_heads(&mut recipe, ["head", "head_dist"]);
    // Some keep positions of patches alone.
    let stored = along("pos_embed", 1).is_none_or(|n| n != grid * grid);
    let lead: Vec<_> = lead.into_iter().map(|(name, n)| (name.to_owned(), n, stored)).collect();
    vision::places(&mut recipe, &lead, "pos_embed".into(), (grid, grid), Kernel::Antialias);
    Ok(recipe)
}

/// Width, heads and layers by the architecture's name, such as `vit_small_patch16_224`.
fn size(config: &Config) -> Result<[usize; 3], Error> {
    let name = config.text("architecture")?.unwrap_or_default();
    let mut words = name.split('_');
    let known = matches!(words.next(), Some("vit" | "deit" | "deit3"));
    let size = words.next().and_then(|w| SIZES.iter().find(|(size, _)| *size == w));
    let number = |w: &str| w.strip_prefix("patch").unwrap_or(w).parse::<u16>().is_ok();
    match size {
        Some((_, size)) if known && words.all(|w| number(w) || WORDS.contains(&w)) => Ok(*size),
        _ => {
            let accepted = "vit, deit or deit3, _tiny, _small, _medium, _base or _large, with patches, size, \
                and perhaps distilled, reg4, gap, miil, dinov2";
            Err(config.other("architecture", accepted))
        }
    }
}

fn pool(config: &Config, headless: bool) -> Result<Pool, Error> {
    match config.text("global_pool")?.unwrap_or("token") {
        "token" if !headless => Ok(Pool::First),
        "avg" => Ok(Pool::Mean),
        _ => Err(config.other("global_pool", "\"token\" (with a class token), \"avg\"")),
    }
}

/// How pictures are prepared. The picture's size is the one that the positions were trained for.
fn preparation(cfg: &Config) -> Result<Preparation, Error> {
    let sizes = cfg.value("input_size").and_then(|v| v.as_array()).cloned().unwrap_or_default();
    let sizes: Vec<u64> = sizes.iter().filter_map(|v| v.as_u64()).collect();
    let crop = match sizes[..] {
        [3, height, width] if height == width && (1..=4096).contains(&height) => height as usize,
        _ => return Err(cfg.other("input_size", "3 planes of a square, such as [3, 224, 224]")),
    };
    let part = cfg.number_or("crop_pct", 0.875)?;
    if !(0.25..=1.0).contains(&part) {
        return Err(cfg.other("crop_pct", "0.25 to 1"));
    }
    let scale = match cfg.text("crop_mode")?.unwrap_or("center") {
        "center" => Scale::Shorter,
        "squash" => Scale::Both,
        _ => return Err(cfg.other("crop_mode", "\"center\", \"squash\"")),
    };
    let filter = match cfg.text("interpolation")?.unwrap_or("bilinear") {
        "bilinear" => Filter::Bilinear,
        "bicubic" => Filter::Bicubic,
        _ => return Err(cfg.other("interpolation", "\"bilinear\", \"bicubic\"")),
    };
    let framing = Framing { scale, size: (crop as f64 / part).floor() as usize, crop, filter };
    let single = |planes: [f64; 3]| planes.map(|x| x as f32);
    let (mean, std) = (single(cfg.planes("mean")?), single(cfg.planes("std")?));
    Ok(Preparation { framing, mean, std })
}
