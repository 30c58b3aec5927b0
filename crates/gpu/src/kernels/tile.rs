//! A product's loop over tiles, which [`product`](super::product) and [`embed`](super::embed) share.

use crate::kernel::{Code, Language};

/// Rows and columns of the result that a workgroup makes on plain cores.
const SIDE: usize = 64;

/// Invocations of a workgroup on plain cores.
const THREADS: usize = 256;

/// Stages of X and W in shared memory, of which one is read and the others are on their way.
const STAGES: usize = 3;

/// A tile of the result on tensor cores, and how warps share it: down and across.
struct Tile {
    tall: usize,
    wide: usize,
    down: usize,
    across: usize,
    /// Blocks that a processor has at once: what its registers are shared among.
    blocks: usize,
}

/// The largest first: a larger one reads X and W less often.
const TILES: [Tile; 4] = [
    Tile { tall: 128, wide: 128, down: 2, across: 4, blocks: 2 },
    Tile { tall: 128, wide: 64, down: 4, across: 2, blocks: 2 },
    Tile { tall: 64, wide: 64, down: 2, across: 2, blocks: 4 },
    Tile { tall: 32, wide: 32, down: 2, across: 2, blocks: 8 },
];

/// Blocks that keep a large card busy. Few in tests, whose small products must come to every tile.
const ENOUGH: usize = if cfg!(test) { 2 } else { 128 };

/// Whether a product goes over tensor cores: halves, which are read 16 bytes at a time and written in twos.
pub(super) fn on_tensor_cores(language: Language, inputs: usize, outputs: usize) -> bool {
    language.multiplies_halves() && inputs.is_multiple_of(8) && outputs.is_multiple_of(2)
}

/// A product's code around what it reads and writes, for so many rows: `constants` and `functions` are the kernel's own, and
/// `bodies` what comes before the loop.
pub(super) fn code(
    language: Language,
    (rows, inputs, outputs): (usize, usize, usize),
    mut constants: Vec<(&'static str, usize)>,
    functions: String,
    mut bodies: Vec<&'static str>,
) -> Code {
    constants.extend([("ROWS", rows), ("INPUTS", inputs), ("OUTPUTS", outputs)]);
    let groups = |wide, tall| [outputs.div_ceil(wide), rows.div_ceil(tall), 1];
    if !on_tensor_cores(language, inputs, outputs) {
        bodies.push(match language {
            Language::Wgsl => include_str!("tile.wgsl"),
            Language::Cuda(_) => include_str!("tile.cu"),
        });
        let groups = groups(SIDE, SIDE);
        return Code { constants, functions, bodies, groups, threads: THREADS, shared: 0 };
    }
    // A tile that is wider than the result computes for nobody.
    let fits = |tile: &&Tile| {
        let blocks: usize = groups(tile.wide, tile.tall).iter().product();
        blocks >= ENOUGH && outputs.next_multiple_of(tile.wide) * 100 <= outputs * 115
    };
    let tile = TILES.iter().find(fits).unwrap_or(&TILES[TILES.len() - 1]);
    constants.extend([
        ("TALL", tile.tall),
        ("WIDE", tile.wide),
        ("DOWN", tile.down),
        ("ACROSS", tile.across),
        ("BLOCKS", tile.blocks),
        ("STAGES", STAGES),
    ]);
    bodies.push(include_str!("tensor_tile.cu"));
    let staged = STAGES * (tile.tall + tile.wide) * 64 * 2;
    let result = tile.tall * (tile.wide + 8) * 2;
    Code {
        constants,
        functions,
        bodies,
        groups: groups(tile.wide, tile.tall),
        threads: 32 * tile.down * tile.across,
        shared: staged.max(result),
    }
}
