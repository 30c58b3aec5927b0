use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{ImageFormat, Rgb, RgbImage, RgbaImage};

use super::*;
use crate::Arch;

const CIFAR_RECORD: usize = 1 + cifar::PIXELS;

fn records(labels: &[u8]) -> Vec<u8> {
    let record = |(i, &label): (usize, &u8)| {
        let pixels = (0..CIFAR_RECORD - 1).map(move |k| (k / 1024 * 80 + k % 64 + i) as u8);
        std::iter::once(label).chain(pixels).collect::<Vec<u8>>()
    };
    labels.iter().enumerate().flat_map(record).collect()
}

fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, data) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &data[..]).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn coloured(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 77]))
}

fn small() -> Arch {
    Arch::vit(1, 1, 4, 4, 8, 4, 2)
}

fn refusal<T>(result: Result<T, Error>) -> String {
    result.err().expect("this input is bad").to_string()
}

#[test]
fn cifar_records_are_read_in_order() {
    let bytes = records(&[3, 9, 0]);
    let arch = Arch::vit_cifar();
    let all = read_cifar(&bytes[..], "x.bin", &arch, Fit::Exact, usize::MAX).unwrap();
    let labels: Vec<_> = all.iter().map(|p| p.label).collect();
    assert_eq!(labels, [Some(3), Some(9), Some(0)]);
    assert_eq!(all[1].pixels, bytes[CIFAR_RECORD + 1..2 * CIFAR_RECORD]);
    assert_eq!(all[2].name, "x.bin#2");
    let two = read_cifar(&bytes[..], "x.bin", &arch, Fit::Exact, 2).unwrap();
    assert!(two == all[..2]);
}

#[test]
fn bad_cifar_files_name_file_and_offset() {
    let arch = Arch::vit_cifar();
    let read = |bytes: &[u8]| refusal(read_cifar(bytes, "x.bin", &arch, Fit::Exact, 9));
    let said = read(&records(&[1, 2])[..5000]);
    assert!(said.contains("x.bin: ends at offset 5000"), "{said}");
    assert!(said.contains("starts at offset 3073 (1927 of 3073 bytes)"), "{said}");
    assert!(read(&records(&[1, 10])).contains("x.bin: label 10 at offset 3073"));
    assert!(read(&[]).contains("ends at offset 0"));
    let bytes = records(&[1]);
    let said = refusal(read_cifar(&bytes[..], "x.bin", &small(), Fit::Exact, 9));
    assert!(said.contains("x.bin#0: has 32 x 32 pixels; `vit_1_1_8` takes 8 x 8"), "{said}");
    let resized = read_cifar(&bytes[..], "x.bin", &small(), Fit::Resize, 9).unwrap();
    assert_eq!(resized[0].pixels.len(), 3 * 64);
}

#[test]
fn archives_are_read_by_split() {
    let arch = Arch::vit_cifar();
    let long = format!("{}/data_batch_3.bin", "d".repeat(150));
    let bytes = archive(&[
        ("c/readme.html", b"<html>".to_vec()),
        ("c/data_batch_1.bin", records(&[1, 2])),
        ("c/test_batch.bin", records(&[7])),
        ("c/data_batch_2.bin", records(&[3])),
        (&long, records(&[4])),
    ]);
    let labels = |split, limit| -> Vec<u8> {
        let read = read_cifar_archive(&bytes[..], "c.tar.gz", split, &arch, Fit::Exact, limit);
        read.unwrap().iter().map(|p| p.label.unwrap()).collect()
    };
    assert_eq!(labels(Split::Test, 9), [7]);
    // A member whose name needs an extended header is not CIFAR-10's.
    assert_eq!(labels(Split::Train, 9), [1, 2, 3]);
    assert_eq!(labels(Split::Train, 2), [1, 2]);
    assert!(labels(Split::Train, 0).is_empty());
}

#[test]
fn bad_archives_are_refused() {
    let arch = Arch::vit_cifar();
    let read = |bytes: &[u8]| {
        refusal(read_cifar_archive(bytes, "c.tar.gz", Split::Test, &arch, Fit::Exact, 9))
    };
    let other = archive(&[("c/other.bin", records(&[1]))]);
    assert!(read(&other).contains("c.tar.gz: has no `test_batch.bin` or `test.bin`"));
    let noise: Vec<u8> = (0..40_000u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
    let noise: Vec<u8> = noise.chunks(3072).flat_map(|c| [&[1][..], c].concat()).collect();
    let whole = archive(&[("c/test_batch.bin", noise[..4 * CIFAR_RECORD].to_vec())]);
    let said = read(&whole[..whole.len() / 2]);
    assert!(said.contains("c.tar.gz"), "{said}");
    let cut = archive(&[("c/test_batch.bin", records(&[1, 2])[..4000].to_vec())]);
    assert!(read(&cut).contains("c.tar.gz/test_batch.bin: ends at offset 4000"));
    assert!(read(b"\x1f\x8bnot gzip at all").contains("not a whole .tar.gz"));
}

#[test]
fn pictures_are_decoded_into_planes() {
    let picture = coloured(8, 8);
    let png = decode(&encoded(&picture, ImageFormat::Png), "a.png", &small(), Fit::Exact).unwrap();
    assert_eq!((png.pixels[1], png.pixels[64 + 8], png.pixels[128]), (1, 1, 77));
    assert_eq!((png.label, png.name.as_str()), (None, "a.png"));
    let jpeg = encoded(&picture, ImageFormat::Jpeg);
    let jpeg = decode(&jpeg, "a.jpg", &small(), Fit::Exact).unwrap();
    let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= 12;
    assert!(png.pixels.iter().zip(&jpeg.pixels).all(near));
    let mut clear = Cursor::new(Vec::new());
    let pixel = image::Rgba([9, 8, 7, 0]);
    RgbaImage::from_pixel(8, 8, pixel).write_to(&mut clear, ImageFormat::Png).unwrap();
    let clear = decode(clear.get_ref(), "a.png", &small(), Fit::Exact).unwrap();
    assert_eq!((clear.pixels[0], clear.pixels[191]), (9, 7));
}

#[test]
fn sizes_are_exact_or_fitted() {
    let wide = encoded(&coloured(40, 16), ImageFormat::Png);
    let said = refusal(decode(&wide, "w.png", &small(), Fit::Exact));
    assert!(said.contains("w.png: has 40 x 16 pixels"), "{said}");
    assert!(said.contains("takes 8 x 8 (--resize crops and scales)"), "{said}");
    let fitted = decode(&wide, "w.png", &small(), Fit::Resize).unwrap();
    // The centred square is columns 12 to 27; halved, its inner columns keep the mean.
    assert_eq!(fitted.pixels.len(), 192);
    for x in 1..7 {
        let expected = 12.5 + 2.0 * x as f32;
        assert!((fitted.pixels[x] as f32 - expected).abs() <= 1.0, "{}", fitted.pixels[x]);
    }
    assert!(fitted.pixels[128..].iter().all(|&p| p == 77));
}

#[test]
fn hostile_pictures_are_refused() {
    let mut png = encoded(&coloured(8, 8), ImageFormat::Png);
    // The width in the header, with the header's checksum made to fit.
    png[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    let said = refusal(decode(&png, "h.png", &small(), Fit::Resize));
    assert!(said.contains("h.png") && said.to_lowercase().contains("limit"), "{said}");
    let whole = encoded(&coloured(8, 8), ImageFormat::Png);
    assert!(refusal(decode(&whole[..60], "t.png", &small(), Fit::Exact)).contains("t.png"));
    assert!(refusal(decode(b"GIF89a", "g.gif", &small(), Fit::Exact)).contains("g.gif"));
    assert!(refusal(decode(b"", "e", &small(), Fit::Exact)).contains("neither PNG nor JPEG"));
}

#[test]
fn load_tells_files_apart() {
    let folder = tempfile::tempdir().unwrap();
    let arch = Arch::vit_cifar();
    let read = |name: &str, bytes: &[u8], limit| {
        let path = folder.path().join(name);
        File::create(&path).unwrap().write_all(bytes).unwrap();
        load(&path, &arch, Fit::Exact, limit)
    };
    // A .bin may begin like a gzip file would: the extension decides.
    let bin = read("x.BIN", &records(&[1, 2, 3]), 2).unwrap();
    assert_eq!((bin.len(), bin[1].name.as_str()), (2, "x.BIN#1"));
    let tar = archive(&[("cifar-10-batches-bin/test_batch.bin", records(&[5]))]);
    let tar = read("c.tar.gz", &tar, 9).unwrap();
    assert_eq!((tar.len(), tar[0].name.as_str()), (1, "c.tar.gz/test_batch.bin#0"));
    let png = encoded(&coloured(32, 32), ImageFormat::Png);
    assert_eq!(read("p.dat", &png, 1).unwrap()[0].pixels[..3], [0, 1, 2]);
    assert!(read("p.png", &png, 0).unwrap().is_empty());
    assert!(refusal(read("empty.png", b"", 1)).contains("empty.png"));
    let missing = load(&folder.path().join("none.png"), &arch, Fit::Exact, 1);
    assert!(matches!(missing, Err(Error::Io { .. })));
}

#[test]
fn normalising_by_hand() {
    let mut arch = small();
    arch.mean = [0.0, 0.5, 1.0];
    arch.std = [1.0, 0.5, 0.25];
    let pixels = [[51u8; 64], [255; 64], [0; 64]].concat();
    let picture = Picture { pixels, label: None, name: "x".into() };
    let out = normalise(&arch, &picture);
    for (c, expected) in [0.2f32, 1.0, -4.0].into_iter().enumerate() {
        assert!(out[64 * c..][..64].iter().all(|x| (x - expected).abs() < 1e-6));
    }
}

#[test]
fn patches_by_hand() {
    let image: Vec<f32> = (0..192).map(|i| i as f32).collect();
    let cut = patches(&small().pixels(), &image);
    // Patch 1 is the top right: plane 0, row 0, columns 4..8; then its row 1; plane 1 later.
    assert_eq!(cut[48..56], [4.0, 5.0, 6.0, 7.0, 12.0, 13.0, 14.0, 15.0]);
    assert_eq!(cut[48 + 16], 64.0 + 4.0);
    assert_eq!(cut[96], 32.0);
}
