use super::*;
use crate::testing::normal;

/// Softmax of one query, undivided.
fn undivided(of: &Decode, x: &[f32]) -> Vec<f64> {
    let x: Vec<f64> = x.iter().map(|&x| x.into()).collect();
    let one = |head| {
        let row = |row| of.row(&x, row, head);
        let score = |j| (dot(row(0), row(1 + 2 * j)) / (of.dh as f64).sqrt()).exp();
        let sum: f64 = (0..of.rows).map(score).sum();
        let value = move |c| (0..of.rows).map(|j| score(j) * row(2 + 2 * j)[c]).sum::<f64>() / sum;
        (0..of.dh).map(value).collect::<Vec<_>>()
    };
    (0..of.heads).flat_map(one).collect()
}

#[test]
fn cuts_do_not_show() {
    for (rows, heads, dh) in [(1, 1, 3), (17, 3, 6), (300, 5, 64), (129, 2, 80)] {
        for workgroups in [1, 2, 3, 5, 7, 11, 1000] {
            let of = Decode::new(rows, heads, dh, workgroups);
            let x = normal(of.operands()[0].numbers, 7);
            let want = undivided(&of, &x);
            let got = of.clone().program().definition(&x);
            let off = got.iter().zip(&want).map(|(g, w)| (g - w).abs()).fold(0.0, f64::max);
            assert!(off < 1e-13, "{of:?} is off by {off:e}");
        }
    }
}

#[test]
fn parts_are_equal_and_have_a_place_each() {
    for (rows, heads, workgroups) in [(1000, 12, 132), (65, 4, 3), (64, 3, 3), (1, 7, 132)] {
        let of = Decode::new(rows, heads, 64, workgroups);
        let (runs, tiles) = (of.runs(), heads * of.tiles());
        let mut places: Vec<usize> = runs.iter().map(|run| run.part + run.head).collect();
        places.dedup();
        assert_eq!(places.len(), runs.len());
        assert!(places.iter().all(|&place| place < of.slots()) && places.is_sorted());
        // Every key of every head is in one run.
        assert_eq!(runs.iter().map(|run| run.keys.len()).sum::<usize>(), rows * heads);
        assert!(runs.iter().all(|run| !run.keys.is_empty()));
        assert_eq!(of.parts, workgroups.min(tiles));
        for part in 0..of.parts {
            let mine = runs.iter().filter(|run| run.part == part);
            let mine: usize = mine.map(|run| run.keys.len().div_ceil(of.tile())).sum();
            assert!(
                (tiles / of.parts..=tiles.div_ceil(of.parts)).contains(&mine),
                "{part}: {mine}"
            );
        }
        // What the kernels compute of a tile.
        for (head, tile) in (0..heads).flat_map(|h| (0..of.tiles()).map(move |t| (h, t))) {
            let part = ((head * of.tiles() + tile + 1) * of.parts - 1) / tiles;
            let key = tile * of.tile();
            let mine = |run: &Run| run.part == part && run.head == head && run.keys.contains(&key);
            assert!(runs.iter().any(mine), "{head} {tile}");
        }
    }
}
