//! Calibrating on one's own pictures, and on too few of them.

use std::fs;

use image::{RgbImage, imageops, imageops::FilterType};
use serde_json::Value;
use sotto::model::DEMO_IMAGES;
use sotto_models::{Model, Weights, weights::Precision};

use crate::parties::{Parties, RECORD};

/// The embedded pictures as PNG files of this many pixels a side, in a folder.
fn folder(parties: &Parties, name: &str, side: u32) -> String {
    fs::create_dir(parties.path(name)).unwrap();
    for (i, record) in DEMO_IMAGES.chunks(RECORD).enumerate() {
        let at = |x: u32, y: u32, c: usize| record[1 + 1024 * c + (32 * y + x) as usize];
        let picture = RgbImage::from_fn(32, 32, |x, y| image::Rgb([0, 1, 2].map(|c| at(x, y, c))));
        let picture = imageops::resize(&picture, side, side, FilterType::Nearest);
        picture.save(parties.path(&format!("{name}/{i:02}.png"))).unwrap();
    }
    parties.text(name)
}

#[test]
fn a_thin_calibration_is_refused_or_said() {
    let parties = Parties::new();
    let (model, file) = (parties.text("model"), parties.path("model/calibration.toml"));
    let images = parties.text("images.bin");
    parties.must(&["calibrate", &model, "--images", &images]);
    let before = fs::read_to_string(&file).unwrap();
    let weights = fs::read(parties.path("model/weights.safetensors")).unwrap();
    RgbImage::from_pixel(32, 32, image::Rgb([99; 3])).save(parties.path("grey.png")).unwrap();
    let grey = parties.text("grey.png");
    let refused = parties.sotto(&["calibrate", &model, "--images", &grey]);
    refused.failed(3, &["1 images are too few", "--force"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    let forced = parties.sotto(&["calibrate", &model, "--force", "--images", &grey]);
    assert_eq!(forced.code, 0, "{}", forced.err);
    assert!(
        forced.err.contains("on 1 images, where 256 images or more are wanted"),
        "{}",
        forced.err
    );

    // As they were sorted: another order adds numbers up in another one.
    fs::write(parties.path("model/weights.safetensors"), weights).unwrap();
    let done = parties.sotto(&["calibrate", &model, "--images", &images]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("warning: this model is calibrated on 16 images"), "{}", done.err);
    assert!(done.out.contains("4 times as large") && done.out.contains("of layer"), "{}", done.out);
    assert_eq!(fs::read_to_string(&file).unwrap(), before, "the order in halves is of no account");
    let many = parties.sotto(&["calibrate", &model, "--images", &parties.many(256)]);
    assert!(many.code == 0 && !many.err.contains("warning"), "{}", many.err);
    parties
        .sotto(&["calibrate", &model, "--count", "0", "--images", &images])
        .failed(2, &["limit of 0"]);
}

#[test]
fn a_client_is_told_on_how_little_its_model_was_calibrated() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    for (count, is_thin) in [(16, true), (256, false)] {
        let (model, many) = (parties.text("model"), parties.many(count));
        parties.sotto(&["calibrate", &model, "--images", &many]);
        let (_server, server) = parties.server("", dealer, None);
        let config = parties.client_config("client", "", [server, dealer]);
        let done = parties.infer(&config, &["--limit", "1", &many]);
        let all: Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!(all["setup"]["calibrated_on"], count);
        let warning = "warning: the server's model is calibrated on";
        assert_eq!(done.err.contains(warning), is_thin, "{}", done.err);
    }
}

#[test]
fn every_command_takes_the_same_pictures() {
    let parties = Parties::new();
    let model = parties.text("model");
    let (fits, large) = (folder(&parties, "fits", 32), folder(&parties, "large", 40));
    let one = format!("{large}/03.png");
    let calibrate = ["calibrate", &model, "--images", &fits, &one];
    parties.sotto(&calibrate).failed(3, &["1 of 17", "40 x 40", "--resize"]);
    let done = parties.sotto(&[&calibrate[..], &["--resize"]].concat());
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("ranges of 17 images"), "{}", done.out);
    let demo = ["demo", "--json", "--model", &model, "--limit", "3", "--images", &one, &fits];
    parties.sotto(&demo).failed(3, &["40 x 40", "--resize"]);
    let done = parties.sotto(&[&demo[..], &["--resize"]].concat());
    let all: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(all["images"], 3, "{}", done.err);
    let names = all["results"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["03.png", "00.png", "01.png"]);
}

/// Values of attention below a unit of the number format, which the projection makes large again: ranges say nothing of it.
#[test]
fn a_model_that_the_format_does_not_hold_is_refused() {
    let parties = Parties::new();
    let (folder, images) = (parties.text("model"), parties.text("images.bin"));
    let files = ["calibration.toml", "weights.safetensors"].map(|f| parties.path("model").join(f));
    let calibrate = ["calibrate", &folder, "--images", &images];
    let good = parties.sotto(&calibrate);
    assert!(good.code == 0 && good.out.contains("differ from plain ones by 0."), "{}", good.out);

    let model = Model::from_toml(&fs::read_to_string(parties.path("model/arch.toml")).unwrap());
    let model = model.unwrap();
    let weights = Weights::load(&files[1], &model).unwrap();
    let width = model.stack.width;
    let values = weights.iter().map(|(name, values)| {
        let by = |i: usize| match name {
            "blocks.0.attn.qkv.weight" if i >= 2 * width * width => 1e-4,
            "blocks.0.attn.proj.weight" => 1e4,
            _ => 1.0,
        };
        let values = values.iter().enumerate().map(|(i, x)| x * by(i));
        (name.to_owned(), values.collect())
    });
    let small = Weights::from_values(&model, values.collect()).unwrap();
    small.save(&files[1], Precision::F32).unwrap();
    let before = files.each_ref().map(|file| fs::read(file).unwrap());
    let parts = ["private results differ", "`ln2.centred` of layer 0", "--force"];
    parties.sotto(&calibrate).failed(2, &parts);
    assert!(files.each_ref().map(|file| fs::read(file).unwrap()) == before, "nothing is written");
    let forced = parties.sotto(&[&calibrate[..], &["--force"]].concat());
    assert!(forced.code == 0 && forced.err.contains(parts[1]), "{}", forced.err);
    assert!(fs::read(&files[0]).unwrap() != before[0], "it is as it was told");
}
