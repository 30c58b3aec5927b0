//! Hostile files: architectures, calibrations, weights, pictures, certificates. Always an error or a valid
//! value, whatever the bytes; what is read can be used without a panic.

use std::io::{Cursor, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::{collection::vec, prelude::*};
use sotto_models::{
    Arch, Calibration, Private, Weights,
    images::{Fit, Split, decode, normalise, read_cifar, read_cifar_archive},
    private::Options,
    weights::Precision,
};
use sotto_net::{Certificate, Identity};

use crate::{
    hostile_bytes::{edited, edits},
    zoo,
};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn small() -> Arch {
    let (mut arch, ..) = zoo::every_kind().swap_remove(4);
    arch.labels = ["a", "b", "c", "d"].map(String::from).to_vec();
    arch
}

/// Numbers that files put where small ones belong.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "63",
    "65",
    "4097",
    "1e38",
    "-1e-38",
    "nan",
    "inf",
    "9223372036854775807",
    "1e999",
];

/// The text with the value of one of its `key = value` lines, or one number of a list, replaced.
fn with_number(text: &str, line: usize, number: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let at = line % lines.len();
    let mut all: Vec<String> = lines.iter().map(|l| l.to_string()).collect();
    if let Some((key, _)) = lines[at].split_once('=') {
        all[at] = format!("{key}= {number}");
    }
    all.join("\n")
}

#[test]
fn architectures_are_valid_or_refused() {
    let valid = small().to_toml();
    proptest!(config(1500), |(
        edits in edits(), random in vec(any::<u8>(), 0..400), line in 0usize..40,
        number in prop::sample::select(&NUMBERS[..]),
    )| {
        let texts = [edited(valid.as_bytes(), &edits), random, with_number(&valid, line, number).into()];
        for bytes in texts {
            let text = String::from_utf8_lossy(&bytes);
            if let Ok(arch) = Arch::from_toml(&text) {
                prop_assert!(arch.validate().is_ok());
                prop_assert_eq!(Arch::from_toml(&arch.to_toml()).expect("its own text"), arch);
            }
        }
    });
    let nested = format!("name = {}", "[".repeat(100_000));
    assert!(Arch::from_toml(&nested).is_err());
}

fn calibration() -> (Arch, Calibration) {
    let model = zoo::specimen(small(), 1, Options::default(), 3);
    (model.arch, model.calibration)
}

#[test]
fn calibrations_are_read_or_refused() {
    let (_, calibration) = calibration();
    let valid = calibration.to_toml();
    proptest!(config(800), |(
        edits in edits(), random in vec(any::<u8>(), 0..400), line in 0usize..400,
        number in prop::sample::select(&NUMBERS[..]),
    )| {
        let texts = [edited(valid.as_bytes(), &edits), random, with_number(&valid, line, number).into()];
        for bytes in texts {
            let text = String::from_utf8_lossy(&bytes);
            if let Ok(read) = Calibration::from_toml(&text) {
                for (i, layer) in read.layers.iter().enumerate() {
                    for name in layer.keys() {
                        if let Ok(range) = read.named(i, name) {
                            prop_assert!(range.min <= range.max && range.size().is_finite());
                        }
                    }
                }
            }
        }
    });
    assert!(Calibration::from_toml(&"[".repeat(100_000)).is_err());
}

/// Client and dealer receive architecture and calibration from the server: whatever these say, tracing gives
/// a plan or an error.
#[test]
fn hostile_ranges_are_plans_or_errors() {
    let (arch, calibration) = calibration();
    let mut panicked = Vec::new();
    let mut plans = 0;
    for layer in 0..calibration.layers.len() {
        for name in calibration.layers[layer].keys() {
            for size in [0.0, 1e-6, 1e3, 1e6, 1e12, f32::MAX] {
                for (min, max) in [(-size, size), (size, size)] {
                    let mut spoilt = calibration.clone();
                    let range = spoilt.layers[layer].get_mut(name).expect("its own key");
                    (range.min, range.max) = (min, max);
                    let trace = || Private::new(&arch, &spoilt, 1, Options::default()).is_ok();
                    match catch_unwind(AssertUnwindSafe(trace)) {
                        Ok(traced) => plans += usize::from(traced),
                        Err(why) => panicked.push(format!(
                            "layer {layer}, {name} of {min}..{max}: {}",
                            why.downcast_ref::<String>().map_or("arithmetic", |why| why)
                        )),
                    }
                }
            }
        }
    }
    assert!(plans > 0, "mild ranges give plans");
    let count = panicked.len();
    assert!(panicked.is_empty(), "{count} ranges panic:\n{}", panicked.join("\n"));
}

#[test]
fn weight_files_are_read_or_refused() {
    let arch = small();
    let weights = Weights::random(&arch, 1);
    let valid = weights.to_bytes(Precision::F16).expect("small numbers");
    let header = u64::from_le_bytes(valid[..8].try_into().expect("8 bytes")) as usize;
    proptest!(config(400), |(
        edits in edits(), in_header in edits(), random in vec(any::<u8>(), 0..400), length in any::<u64>(),
    )| {
        let mut spoilt_header = edited(&valid[8..8 + header], &in_header);
        let mut framed = (spoilt_header.len() as u64).to_le_bytes().to_vec();
        framed.append(&mut spoilt_header);
        framed.extend(&valid[8 + header..]);
        let mut claims = valid.clone();
        claims[..8].copy_from_slice(&length.to_le_bytes());
        for bytes in [edited(&valid, &edits), framed, claims, random] {
            if let Ok(read) = Weights::from_bytes(&arch, &bytes) {
                prop_assert_eq!(read.parameters(), arch.parameters());
                prop_assert!(read.values("head.bias").iter().all(|x| x.is_finite()));
            }
        }
    });
    let read = Weights::from_bytes(&arch, &valid).expect("its own bytes");
    assert_eq!(read.parameters(), weights.parameters());
}

fn encoded(format: image::ImageFormat) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(24, 20, |x, y| {
        image::Rgb([(x * 9) as u8, (y * 12) as u8, (x * y) as u8])
    });
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).expect("a picture encodes into memory");
    out.into_inner()
}

#[test]
fn pictures_decode_or_are_refused() {
    let arch = small();
    let files = [image::ImageFormat::Png, image::ImageFormat::Jpeg].map(encoded);
    for file in &files {
        assert!(decode(file, "valid", &arch, Fit::Resize).is_ok());
        assert!(decode(file, "valid", &arch, Fit::Exact).is_err());
    }
    proptest!(config(800), |(which in 0usize..2, edits in edits(), random in vec(any::<u8>(), 0..400))| {
        for bytes in [edited(&files[which], &edits), random] {
            for fit in [Fit::Resize, Fit::Exact] {
                if let Ok(picture) = decode(&bytes, "hostile", &arch, fit) {
                    prop_assert_eq!(picture.pixels.len(), 3 * arch.image * arch.image);
                    prop_assert!(normalise(&arch, &picture).iter().all(|x| x.is_finite()));
                }
            }
        }
    });
}

#[test]
fn claimed_picture_sizes_are_not_believed() {
    // A PNG header of any size, its checksum right, and nothing behind it.
    let valid = encoded(image::ImageFormat::Png);
    for (width, height) in
        [(u32::MAX, u32::MAX), (1 << 31, 1), (8192, 8192), (8193, 1), (0, 5), (1, 0)]
    {
        let mut bytes = valid.clone();
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let sum = crc(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&sum.to_be_bytes());
        for fit in [Fit::Resize, Fit::Exact] {
            assert!(decode(&bytes, "huge", &small(), fit).is_err(), "{width} x {height}");
        }
    }
}

/// CRC-32 as PNG has it.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn cifar_files_and_archives_are_read_or_refused() {
    let arch = small();
    let mut records = vec![0; 3 * 3073];
    records[3073] = 9;
    let mut tar = tar::Builder::new(Vec::new());
    for name in ["cifar/readme.html", "cifar/test_batch.bin"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(records.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &records[..]).expect("an archive in memory");
    }
    let tar = tar.into_inner().expect("an archive in memory");
    let zipped = |bytes: &[u8]| {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(bytes).expect("into memory");
        gz.finish().expect("into memory")
    };
    let valid = zipped(&tar);
    let archive = |bytes: &[u8], limit| {
        read_cifar_archive(bytes, "hostile", Split::Test, &arch, Fit::Resize, limit)
    };
    assert_eq!(archive(&valid, 9).expect("a valid archive").len(), 3);
    proptest!(config(300), |(
        edits in edits(), inside in edits(), random in vec(any::<u8>(), 0..7000), limit in 0usize..5,
    )| {
        for bytes in [edited(&records, &edits), random] {
            if let Ok(all) = read_cifar(&bytes[..], "hostile", &arch, Fit::Resize, limit) {
                prop_assert!(all.len() <= limit);
                prop_assert!(all.iter().all(|p| p.label.is_some_and(|l| l < 10)));
            }
        }
        // The headers are the first 512 bytes of each member: edit those, not the zeros behind.
        let mut spoilt = edited(&tar[..512], &inside);
        spoilt.extend(&tar[512..]);
        for bytes in [edited(&valid, &edits), zipped(&spoilt)] {
            if let Ok(all) = archive(&bytes, limit) {
                prop_assert!(all.len() <= limit);
            }
        }
    });
}

#[test]
fn certificates_are_read_or_refused() {
    let identity = Identity::generate("server").expect("a fresh key");
    let valid = identity.certificate().to_pem();
    assert!(Certificate::from_pem(&valid).expect("its own text") == *identity.certificate());
    proptest!(config(600), |(edits in edits(), random in vec(any::<u8>(), 0..400))| {
        for bytes in [edited(valid.as_bytes(), &edits), random] {
            if let Ok(read) = Certificate::from_pem(&String::from_utf8_lossy(&bytes)) {
                let again = Certificate::from_pem(&read.to_pem()).expect("its own text");
                prop_assert!(again == read);
            }
        }
    });
}
