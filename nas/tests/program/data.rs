//! Tiny data sets in the official formats.

use std::path::PathBuf;

const PIXELS: usize = 3 * 32 * 32;

/// A new folder with the set of a preset in it: four or five training pictures and a test picture.
pub fn data(preset: &str, name: &str) -> PathBuf {
    let root =
        std::env::temp_dir().join(format!("sotto-nas-program-{name}-{}", std::process::id()));
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
