//! Pictures: PNG, JPEG, CIFAR's records and archives.

use std::io::{Cursor, Write};

use image::ImageFormat;
use sotto_models::{
    Arch,
    images::{Fit, Picture, Split, decode, normalise, read_cifar, read_cifar_archive},
};

use super::{
    input::{Input, fuzz},
    models::SMALL,
};

fn encoded(format: ImageFormat) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(24, 20, |x, y| {
        image::Rgb([(x * 9) as u8, (y * 12) as u8, (x * y) as u8])
    });
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).expect("a picture encodes into memory");
    out.into_inner()
}

fn fits(arch: &Arch, picture: &Picture) -> bool {
    picture.pixels.len() == 3 * arch.image * arch.image
        && normalise(arch, picture).iter().all(|x| x.is_finite())
}

fn check(valid: &[Vec<u8>], input: &Input) {
    let bytes = input.bytes(valid);
    for fit in [Fit::Exact, Fit::Resize] {
        if let Ok(picture) = decode(&bytes, "hostile", &SMALL.arch, fit) {
            assert!(fits(&SMALL.arch, &picture));
        }
    }
}

#[test]
fn png() {
    let valid = [encoded(ImageFormat::Png)];
    fuzz!(|input: &Input| check(&valid, input));
}

#[test]
fn jpeg() {
    let valid = [encoded(ImageFormat::Jpeg)];
    fuzz!(|input: &Input| check(&valid, input));
}

fn records() -> Vec<u8> {
    let mut records = vec![0; 3 * 3073];
    records[3073] = 9;
    records
}

#[test]
fn cifar_records() {
    let valid = [records()];
    fuzz!(|input: &Input| {
        let bytes = input.bytes(&valid);
        if let Ok(all) = read_cifar(&bytes[..], "hostile", &SMALL.arch, Fit::Resize, 2) {
            assert!(all.len() <= 2 && all.iter().all(|picture| fits(&SMALL.arch, picture)));
        }
    });
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(bytes).expect("into memory");
    gz.finish().expect("into memory")
}

#[test]
fn cifar_archive() {
    let records = records();
    let mut tar = tar::Builder::new(Vec::new());
    for name in ["cifar/readme.html", "cifar/test_batch.bin"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(records.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &records[..]).expect("an archive in memory");
    }
    let tar = tar.into_inner().expect("an archive in memory");
    let (packed, plain) = ([zipped(&tar)], [tar]);
    let read = |bytes: &[u8]| {
        let all = read_cifar_archive(bytes, "hostile", Split::Test, &SMALL.arch, Fit::Resize, 2);
        assert!(all.is_ok_and(|all| all.len() <= 2) || bytes != packed[0]);
    };
    fuzz!(|input: &Input| {
        read(&input.bytes(&packed));
        // Past the checksum: what is inside of the archive.
        read(&zipped(&input.bytes(&plain)));
    });
}
