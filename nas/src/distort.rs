//! RandAugment: two random changes of a picture's colours or geometry.
//!
//! Source: Cubuk et al., 2020, in the variant that MPCViT's recipe takes from timm
//! (`rand-m9-mstd0.5-inc1`): fifteen changes, each of the two made half of the time, with a strength
//! of 9 of 10 and a standard deviation of 0.5, every one growing with its strength. Geometry is
//! interpolated linearly here.

use crate::augment::Rng;
use crate::data::CHANNELS;

/// Changes that are drawn for a picture, and the share of them that is made.
const CHANGES: usize = 2;
const MADE: f64 = 0.5;
/// Mean and standard deviation of the strength.
const STRENGTH: (f64, f64) = (0.9, 0.05);
/// The colour of what comes in from outside.
const OUTSIDE: f64 = 128.0;
/// Shares of red, green and blue in a grey value.
const GREY: [f64; CHANNELS] = [0.299, 0.587, 0.114];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    AutoContrast,
    Equalise,
    Invert,
    Rotate,
    Posterise,
    Solarise,
    SolariseAdd,
    Colour,
    Contrast,
    Brightness,
    Sharpness,
    ShearX,
    ShearY,
    ShiftX,
    ShiftY,
}

const ALL: [Change; 15] = [
    Change::AutoContrast,
    Change::Equalise,
    Change::Invert,
    Change::Rotate,
    Change::Posterise,
    Change::Solarise,
    Change::SolariseAdd,
    Change::Colour,
    Change::Contrast,
    Change::Brightness,
    Change::Sharpness,
    Change::ShearX,
    Change::ShearY,
    Change::ShiftX,
    Change::ShiftY,
];

/// `image` after up to two random changes.
///
/// Shapes: `[3, side, side]`, a byte a value, both.
pub fn distorted(image: &[u8], side: usize, rng: &mut Rng) -> Vec<u8> {
    let mut picture = image.to_vec();
    for _ in 0..CHANGES {
        let change = ALL[rng.below(ALL.len())];
        let strength = (STRENGTH.0 + STRENGTH.1 * rng.normal()).clamp(0.0, 1.0);
        let signed = if rng.below(2) == 0 { strength } else { -strength };
        if rng.unit() < MADE {
            picture = change.make(&picture, side, signed);
        }
    }
    picture
}

impl Change {
    /// The changed picture; `strength` lies in -1 to 1, and its sign tells the direction where there are two.
    fn make(self, image: &[u8], side: usize, strength: f64) -> Vec<u8> {
        let power = strength.abs();
        let threshold = 256.0 - 256.0 * power;
        let factor = 1.0 + 0.9 * strength;
        match self {
            Change::AutoContrast => by_plane(image, stretched),
            Change::Equalise => by_plane(image, equalised),
            Change::Invert => by_value(image, |v| 255.0 - v),
            Change::Posterise => {
                let bits = 4 - (4.0 * power) as u32;
                let kept = !(0xffu32 >> bits) as u8;
                image.iter().map(|v| v & kept).collect()
            }
            Change::Solarise => by_value(image, |v| if v < threshold { v } else { 255.0 - v }),
            Change::SolariseAdd => {
                let more = (110.0 * power).floor();
                by_value(image, |v| if v < 128.0 { v + more } else { v })
            }
            Change::Brightness => by_value(image, |v| factor * v),
            Change::Contrast => {
                let grey = greys(image);
                let mean = (grey.iter().sum::<f64>() / grey.len() as f64).round();
                by_value(image, |v| mean + factor * (v - mean))
            }
            Change::Colour => {
                let grey = greys(image);
                blended(image, factor, |at| grey[at % grey.len()])
            }
            Change::Sharpness => blended(image, factor, |at| smooth(image, side, at)),
            Change::Rotate => {
                let (sin, cos) = (strength * 30f64.to_radians()).sin_cos();
                moved(image, side, [[cos, sin], [-sin, cos]], [0.0, 0.0])
            }
            Change::ShearX => moved(image, side, [[1.0, 0.3 * strength], [0.0, 1.0]], [0.0, 0.0]),
            Change::ShearY => moved(image, side, [[1.0, 0.0], [0.3 * strength, 1.0]], [0.0, 0.0]),
            Change::ShiftX => shifted(image, side, [0.45 * strength, 0.0]),
            Change::ShiftY => shifted(image, side, [0.0, 0.45 * strength]),
        }
    }
}

fn byte(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

fn by_value(image: &[u8], f: impl Fn(f64) -> f64) -> Vec<u8> {
    let table: Vec<u8> = (0..256).map(|v| byte(f(f64::from(v)))).collect();
    image.iter().map(|&v| table[usize::from(v)]).collect()
}

/// Every colour by a table that its own counts of values give.
fn by_plane(image: &[u8], table: impl Fn(&[usize; 256]) -> Vec<u8>) -> Vec<u8> {
    let planes = image.chunks_exact(image.len() / CHANNELS);
    let changed = planes.flat_map(|plane| {
        let mut counts = [0; 256];
        plane.iter().for_each(|&v| counts[usize::from(v)] += 1);
        let table = table(&counts);
        plane.iter().map(|&v| table[usize::from(v)]).collect::<Vec<_>>()
    });
    changed.collect()
}

/// The least value becomes 0, the largest 255.
fn stretched(counts: &[usize; 256]) -> Vec<u8> {
    let low = counts.iter().position(|&n| n > 0).unwrap_or(0) as f64;
    let high = counts.iter().rposition(|&n| n > 0).unwrap_or(0) as f64;
    let scale = if high > low { 255.0 / (high - low) } else { 1.0 };
    let low = if high > low { low } else { 0.0 };
    (0..256).map(|v| byte(scale * (f64::from(v) - low))).collect()
}

/// All values become about equally frequent.
fn equalised(counts: &[usize; 256]) -> Vec<u8> {
    let last = counts.iter().rev().find(|&&n| n > 0).copied().unwrap_or(0);
    let step = (counts.iter().sum::<usize>() - last) / 255;
    if step == 0 {
        return (0..=255).collect();
    }
    let mut below = step / 2;
    let mut table = Vec::with_capacity(256);
    for n in counts {
        table.push((below / step).min(255) as u8);
        below += n;
    }
    table
}

fn greys(image: &[u8]) -> Vec<f64> {
    let size = image.len() / CHANNELS;
    let value = |at| (0..CHANNELS).map(|c| GREY[c] * f64::from(image[c * size + at])).sum();
    (0..size).map(value).collect()
}

/// `factor` of the picture and the rest of `other`.
fn blended(image: &[u8], factor: f64, other: impl Fn(usize) -> f64) -> Vec<u8> {
    let value = |(at, &v): (usize, &u8)| byte(other(at) + factor * (f64::from(v) - other(at)));
    image.iter().enumerate().map(value).collect()
}

/// A pixel of the smoothed picture: five parts of it and one of each neighbour; at the rim the pixel itself.
fn smooth(image: &[u8], side: usize, at: usize) -> f64 {
    let (x, y) = (at % side, at / side % side);
    let value = |at: usize| f64::from(image[at]);
    if x == 0 || y == 0 || x + 1 == side || y + 1 == side {
        return value(at);
    }
    let row = |at: usize| value(at - 1) + value(at) + value(at + 1);
    (row(at - side) + row(at) + row(at + side) + 4.0 * value(at)) / 13.0
}

fn shifted(image: &[u8], side: usize, by: [f64; 2]) -> Vec<u8> {
    moved(image, side, [[1.0, 0.0], [0.0, 1.0]], by.map(|share| share * side as f64))
}

/// Every pixel is what lies at `from` of its place relative to the middle, plus `by`.
fn moved(image: &[u8], side: usize, from: [[f64; 2]; 2], by: [f64; 2]) -> Vec<u8> {
    let middle = (side as f64 - 1.0) / 2.0;
    let value = |plane: &[u8], x: f64, y: f64| -> f64 {
        let (x, y) = (x - middle, y - middle);
        let place = |row: [f64; 2], by: f64| row[0] * x + row[1] * y + by + middle;
        let (x, y) = (place(from[0], by[0]), place(from[1], by[1]));
        let pixel = |x: f64, y: f64| {
            let inside = |v: f64| v >= 0.0 && v < side as f64;
            match inside(x) && inside(y) {
                true => f64::from(plane[y as usize * side + x as usize]),
                false => OUTSIDE,
            }
        };
        let (left, top) = (x.floor(), y.floor());
        let (right, down) = (x - left, y - top);
        let along = |y| (1.0 - right) * pixel(left, y) + right * pixel(left + 1.0, y);
        (1.0 - down) * along(top) + down * along(top + 1.0)
    };
    let mut out = Vec::with_capacity(image.len());
    for plane in image.chunks_exact(side * side) {
        for y in 0..side {
            out.extend((0..side).map(|x| byte(value(plane, x as f64, y as f64))));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 8;

    /// Values from 40 to 231 that follow no line.
    fn image() -> Vec<u8> {
        (0..3 * SIDE * SIDE).map(|i| 40 + ((7 * i * i + 13 * i + i / 64) % 192) as u8).collect()
    }

    #[test]
    fn colours_change_as_their_names_say() {
        let image = image();
        let made = |change: Change, strength| change.make(&image, SIDE, strength);
        assert_eq!(made(Change::Invert, 0.9)[5], 255 - image[5]);
        for plane in made(Change::AutoContrast, 0.9).chunks(SIDE * SIDE) {
            assert_eq!((plane.iter().min(), plane.iter().max()), (Some(&0), Some(&255)));
        }
        assert!(made(Change::Posterise, 0.5).iter().all(|v| v & 0x3f == 0));
        assert_eq!(
            made(Change::Posterise, 0.0),
            image.iter().map(|v| v & 0xf0).collect::<Vec<_>>()
        );
        let expected = |&v: &u8| if v < 128 { v } else { 255 - v };
        assert_eq!(made(Change::Solarise, 0.5), image.iter().map(expected).collect::<Vec<_>>());
        let brighter = |&v: &u8| if v < 128 { v + 55 } else { v };
        assert_eq!(made(Change::SolariseAdd, 0.5), image.iter().map(brighter).collect::<Vec<_>>());
        assert_eq!(made(Change::Brightness, -1.0)[7], byte(0.1 * f64::from(image[7])));
        let spread = |image: &[u8]| image.iter().max().unwrap() - image.iter().min().unwrap();
        assert!(spread(&made(Change::Contrast, -0.9)) < 50);
        // Without colour all planes are nearly one.
        let grey = made(Change::Colour, -1.0);
        let apart = |at: usize| grey[at].abs_diff(grey[at + SIDE * SIDE]);
        let before = |at: usize| image[at].abs_diff(image[at + SIDE * SIDE]);
        assert!((0..SIDE * SIDE).all(|at| apart(at) <= 1 + before(at) / 9));
        assert!((0..SIDE * SIDE).any(|at| before(at) > 50));
        for change in [Change::Colour, Change::Contrast, Change::Brightness, Change::Sharpness] {
            assert_eq!(made(change, 0.0), image, "{change:?}");
        }
    }

    #[test]
    fn equalising_spreads_crowded_values() {
        let image: Vec<u8> = (0..3 * 64 * 64).map(|i| 100 + (i % 8) as u8).collect();
        let spread = Change::Equalise.make(&image, 64, 0.9);
        let mut values: Vec<u8> = spread[..64].to_vec();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), 8);
        assert!(values.windows(2).all(|w| w[1] - w[0] > 30), "{values:?}");
    }

    #[test]
    fn sharpening_and_smoothing_meet_at_the_picture() {
        let mut image = vec![100; 3 * SIDE * SIDE];
        image[3 * SIDE + 3] = 113;
        let at = |strength| Change::Sharpness.make(&image, SIDE, strength)[3 * SIDE + 3];
        // Smoothed it is 100 + 5 of 13.
        assert_eq!((at(-1.0), at(0.0), at(1.0)), (106, 113, 120));
    }

    #[test]
    fn geometry_moves_pixels_and_fills_with_grey() {
        let image = image();
        let made = |change: Change, strength| change.make(&image, SIDE, strength);
        for change in [Change::Rotate, Change::ShearX, Change::ShearY, Change::ShiftX] {
            assert_eq!(made(change, 0.0), image, "{change:?}");
        }
        // Two pixels to the left: of 8, 0.45 of 5/9.
        let left = made(Change::ShiftX, 5.0 / 9.0);
        assert_eq!((left[0], left[SIDE - 1]), (image[2], 128));
        let up = made(Change::ShiftY, 5.0 / 9.0);
        assert_eq!((up[0], up[SIDE * SIDE - 1]), (image[2 * SIDE], 128));
        // The middle stays nearly where it is, the corners come from outside.
        let turned = made(Change::Rotate, 1.0);
        assert_eq!(turned[0], 128);
        let sheared = made(Change::ShearX, 1.0);
        assert_ne!(sheared[..SIDE], image[..SIDE]);
        assert!(made(Change::Rotate, 1.0) != made(Change::Rotate, -1.0));
    }

    #[test]
    fn pictures_differ_and_repeat() {
        let image = image();
        let draw = |seed| distorted(&image, SIDE, &mut Rng::new(&[seed]));
        assert_eq!(draw(3), draw(3));
        // One of four, as neither change is made, and some more: a plane is too small to be equalised.
        let same = (0..4000).filter(|&seed| draw(seed) == image).count();
        assert!((1040..1240).contains(&same), "{same} of 4000");
        let mut seen = [false; 15];
        let mut rng = Rng::new(&[5]);
        (0..500).for_each(|_| seen[rng.below(ALL.len())] = true);
        assert_eq!(seen, [true; 15]);
    }
}
