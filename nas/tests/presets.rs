//! MPCViT's sizes take a step on tiny data sets in the official formats.

use std::path::{Path, PathBuf};
use std::process::Command;

use sotto_nas::config::Config;
use sotto_nas::data::DataSet;
use sotto_nas::train::Trainer;
use sotto_nas::{device, presets};

const PIXELS: usize = 3 * 32 * 32;

/// A new folder with one of the sets in it: four training pictures and a test picture.
fn data(preset: &str) -> PathBuf {
    let root = std::env::temp_dir().join(format!("sotto-nas-{preset}-{}", std::process::id()));
    let write = |name: &str, bytes: &[u8]| {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let record = |labels: &[u8]| {
        let shade = labels[labels.len() - 1];
        [labels.to_vec(), (0..PIXELS).map(|i| shade.wrapping_mul(31) ^ i as u8).collect()].concat()
    };
    match preset {
        "mpcvit-cifar10" => {
            for i in 0..5 {
                let name = format!("cifar-10-batches-bin/data_batch_{}.bin", i + 1);
                write(&name, &record(&[i]));
            }
            write("cifar-10-batches-bin/test_batch.bin", &record(&[9]));
        }
        "mpcvit-cifar100" => {
            let train: Vec<u8> = [0, 33, 66, 99].iter().flat_map(|&l| record(&[1, l])).collect();
            write("cifar-100-binary/train.bin", &train);
            write("cifar-100-binary/test.bin", &record(&[1, 42]));
        }
        _ => {
            write("wnids.txt", b"n01\nn02\n");
            let mut png = std::io::Cursor::new(Vec::new());
            let picture =
                image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, 9]));
            picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
            for name in ["n01/images/a", "n01/images/b", "n02/images/a", "n02/images/b"] {
                write(&format!("train/{name}.JPEG"), png.get_ref());
            }
            write("val/images/val_0.JPEG", png.get_ref());
            write("val/val_annotations.txt", b"val_0.JPEG\tn02\t0\t0\t9\t9\n");
        }
    }
    root
}

/// Runs `sotto-nas train` up to a step; returns what it says.
fn train(preset: &str, root: &Path, more: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sotto-nas"));
    command.args(["train", "--preset", preset, "--batch", "2", "--micro", "1"]);
    command.arg("--data").arg(root).arg("--out").arg(root.join("out")).args(more);
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    said
}

/// One step by the program, a resumed one, and one with kinds drawn at random, as the supernet's are.
fn steps(preset: &str, parameters: usize) {
    let root = data(preset);
    let said = train(preset, &root, &["--steps", "1"]);
    assert!(said.contains(&format!("{parameters} parameters")), "{said}");
    assert!(said.contains("stopped after step 1 "), "{said}");
    let said = train(preset, &root, &["--steps", "2", "--resume"]);
    assert!(said.contains("stopped after step 2 "), "{said}");

    let line = format!("--preset {preset} --data d --out o --batch 2 --micro 1");
    let mut config = Config::parse(line.split(' ').map(String::from)).unwrap();
    (config.out, config.recipe.drawn) = (root.join("supernet"), true);
    (config.teacher, config.recipe.distilled) = (Some(root.join("out")), true);
    std::fs::create_dir_all(&config.out).unwrap();
    let data = DataSet::read(&root).unwrap();
    let arch = presets::fit(presets::find(&config.arch).unwrap(), &data).unwrap();
    let mut trainer = Trainer::new(config, arch, device::find("cpu").unwrap()).unwrap();
    let before = trainer.weights();
    trainer.run(&data, Some(1)).unwrap();
    assert_eq!(trainer.step(), 1);
    let after = trainer.weights();
    let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert!(moved == before.len(), "{moved} of {} tensors moved", before.len());
    std::fs::remove_dir_all(root).unwrap();
}

#[test]
fn mpcvits_cifar_10_model_takes_steps() {
    steps("mpcvit-cifar10", 3_716_874);
}

#[test]
fn mpcvits_cifar_100_model_takes_steps() {
    steps("mpcvit-cifar100", 3_740_004);
}

#[test]
fn mpcvits_tiny_imagenet_model_takes_steps() {
    steps("mpcvit-tiny", 2_765_960);
}
