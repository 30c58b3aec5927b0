//! What the known attacks on an iteration's noise cost: each as a formula, with its source, for whoever wants to redo it.
//!
//! The attacker knows `N = trees x leaves` bits `A s + e`: each row of `A` has ten ones of `k` columns, `e` has one 1 in each block of
//! `leaves`. All costs are binary logarithms of steps, counted low: memory is free, a step adds two rows of an index and reads as many
//! words as it likes, polynomial factors that a paper has are left out where they are not a matrix product's own. What is drawn once is
//! drawn best: positions are taken from all blocks alike, since `prod (1 - x_i / leaves)` is largest then.
//!
//! `cargo test -p sotto-ot attacks -- --nocapture` prints the table that stands at [`super::TREES`].

use super::{LEAVES, SECRET, TREES, code};
use crate::hash::Hash;

/// An instance.
#[derive(Clone, Copy)]
struct Noise {
    trees: f64,
    leaves: f64,
    secret: f64,
    summands: f64,
}

/// Of an iteration.
const OWN: Noise = Noise {
    trees: TREES as f64,
    leaves: LEAVES as f64,
    secret: SECRET as f64,
    summands: code::SUMMANDS as f64,
};

/// emp-ot's for speed (`ferret_b11` in tuning.h of 1.0.0-alpha.1): what is said of one holds of the other.
const EMP: Noise =
    Noise { trees: 1170.0, leaves: 2048.0, secret: 131_072.0, summands: OWN.summands };

/// `log2` of the sum of two numbers that are given by theirs.
fn sum(a: f64, b: f64) -> f64 {
    let (low, high) = (a.min(b), a.max(b));
    high + (1.0 + (low - high).exp2()).log2()
}

/// `log2` of `n` over `r`.
fn choose(n: f64, r: usize) -> f64 {
    (0..r).map(|i| ((n - i as f64) / (i as f64 + 1.0)).log2()).sum()
}

impl Noise {
    fn all(&self) -> f64 {
        self.trees * self.leaves
    }

    /// That so many places have no noise: `(1 - x / N)^trees`.
    fn free(&self, places: f64) -> f64 {
        -self.trees * (1.0 - places / self.all()).log2()
    }

    /// That so many places have noise at `errors` of them.
    fn has(&self, places: f64, errors: usize) -> f64 {
        let share = places / self.all();
        let others = self.trees - errors as f64;
        -(choose(self.trees, errors) + errors as f64 * share.log2() + others * (1.0 - share).log2())
    }

    /// Wiedemann's solver of a sparse system: as many products with its matrix as it has unknowns. (Strassen's takes `x^2.8`.)
    fn solve(&self, unknowns: f64) -> f64 {
        2.0 * unknowns.log2() + self.summands.log2()
    }

    /// As many places as unknowns are drawn until none has noise, and the system is solved each time: pooled Gauss.
    /// Source: Esser, Kübler, May: LPN decoded, CRYPTO 2017.
    fn gauss(&self, unknowns: f64) -> f64 {
        self.free(unknowns) + self.solve(unknowns)
    }

    /// Unknowns that are left when each block's sum, which has noise for certain, gives an equation.
    /// Source: Carozza, Couteau, Joux: Short signatures from regular syndrome decoding in the head, EUROCRYPT 2023; Esser, Santini: Not
    /// just regular decoding, CRYPTO 2024, whose permutation-based decoder is [`Noise::gauss`] of these.
    fn after_sums(&self) -> f64 {
        self.secret - self.trees
    }

    /// Some noise among the places drawn is found as a collision of two lists, on `window` places more.
    /// Cost `(T + 2 L + L^2 / 2^window) / P`, `L = C(n/2, p/2)`, `n = x + window`, `P` that `p` of `n` places have noise, in halves alike.
    /// Source: Stern 1988, Dumer 1991; with regular noise Esser and Santini's enumeration, whose patterns are fewer by less than a bit.
    fn collisions(&self, unknowns: f64) -> f64 {
        let mut least = self.gauss(unknowns);
        for errors in (2..=12).step_by(2) {
            for window in 0..120 {
                let n = unknowns + f64::from(window);
                let list = choose(n / 2.0, errors / 2);
                let halves = choose(n, errors) - 2.0 * list;
                let work = sum(list + 1.0, 2.0 * list - f64::from(window));
                let cost = sum(self.solve(unknowns), work) + self.has(n, errors) + halves;
                least = least.min(cost);
            }
        }
        least
    }

    /// The same with sums of four and representations: base lists of weight `p2 / 2` in halves, merged on `r2` and `r1` places; at each
    /// merge `e` pairs of ones cancel. Source: Becker, Joux, May, Meurer, EUROCRYPT 2012; counted as by Hamdaoui, Sendrier, ePrint 2013/162.
    fn representations(&self, unknowns: f64) -> f64 {
        let mut least = f64::INFINITY;
        for (p2, e2, e1) in (2..=6)
            .step_by(2)
            .flat_map(|p2| (0..2).map(move |e| (p2, e)))
            .flat_map(|(p2, e2)| (0..3).map(move |e1| (p2, e2, e1)))
        {
            let (p1, n) = (2 * (p2 - e2), unknowns);
            let p = 2 * (p1 - e1);
            // Of two words of weight w, that e ones meet: a share of all pairs.
            let meets = |w: usize, e: usize| {
                choose(w as f64, e) + choose(n - w as f64, w - e) - choose(n, w)
            };
            let base = choose(n / 2.0, p2 / 2);
            for r2 in 0..60 {
                let second = 2.0 * base - f64::from(r2);
                for r1 in 0..60 {
                    let pairs = 2.0 * second - f64::from(r1);
                    let first = (pairs + meets(p2, e2)).min(choose(n, p1) - f64::from(r1 + r2));
                    for window in (r1 + r2..120).step_by(4) {
                        let last = 2.0 * first - f64::from(window - r1 - r2);
                        let found = (last + meets(p1, e1) + f64::from(window)).min(choose(n, p));
                        let work = [base + 3.0, second + 2.0, pairs + 1.0, last + 1.0]
                            .into_iter()
                            .fold(self.solve(unknowns), sum);
                        let missed = (choose(n, p) - found).max(0.0);
                        least = least.min(work + self.has(n + f64::from(window), p) + missed);
                    }
                }
            }
        }
        least
    }

    /// Half of the noise of as many whole blocks as hold an information set, against the other half: `leaves^(k / leaves / 2)`.
    /// Source: Carozza, Couteau, Joux, the birthday attack.
    fn whole_blocks(&self) -> f64 {
        self.after_sums() / self.leaves / 2.0 * self.leaves.log2()
    }

    /// Sums of places that are 0 whatever the secret is, of `x + 1` places as elimination gives them: so many show a bias.
    /// Cost `(x + 1) ((N - t + 1) / (N - x - t))^(2 t)`. Source: Liu, Wang, Yang, Yu: The hardness of LPN over any integer ring and
    /// field for PCG applications, EUROCRYPT 2024, section 4.
    fn statistical(&self, unknowns: f64) -> f64 {
        let places = self.all() - self.trees;
        (unknowns + 1.0).log2() + 2.0 * self.trees * ((places + 1.0) / (places - unknowns)).log2()
    }

    /// The same where as many unknowns as the time allows are tried at once by a transform.
    /// Source: Carrier, Debris-Alazard, Meyer-Hilfiger, Tillich: Statistical decoding 2.0, ASIACRYPT 2022; counted as by Liu and others.
    fn statistical2(&self) -> f64 {
        self.statistical(self.secret - self.gauss(self.secret))
    }

    /// Sums of words of elimination that happen to be light: `w` of `x` places at a cost of `2^(x (1 - H(w / x)))` each.
    fn light_words(&self, unknowns: f64) -> f64 {
        let entropy = |p: f64| -p * p.log2() - (1.0 - p) * (1.0 - p).log2();
        let bias = -2.0 * (1.0 - 2.0 / self.leaves).log2();
        let cost = |share: f64| unknowns * (bias * share + 1.0 - entropy(share));
        (300..500).map(|i| cost(f64::from(i) / 1000.0)).fold(f64::INFINITY, f64::min)
            + unknowns.log2()
    }

    /// `[equations miss, monomials]` of degree `degree` when `guessed` places of each block are taken to be free of noise: coefficients of
    /// `(1 + (b - g - 1) z)^t / (1 + z)^(N - k)`, the last and the sum of all; and monomials in the unknowns that are left.
    fn hilbert(&self, degree: usize, guessed: f64) -> ([f64; 2], f64) {
        let Noise { trees, leaves, secret, .. } = *self;
        let powers = |per: f64, n: f64, grows: f64| -> Vec<f64> {
            let next = |c: &mut f64, i: usize| {
                let now = *c;
                *c *= per * (n + grows * i as f64) / (i as f64 + 1.0);
                Some(now)
            };
            (0..=degree).scan(1.0, next).collect()
        };
        let blocks = powers(leaves - guessed - 1.0, trees, -1.0);
        let linear = powers(-1.0, self.all() - secret, 1.0);
        let coefficient = |d: usize| (0..=d).map(|i| blocks[i] * linear[d - i]).sum::<f64>();
        let left = secret - trees * (1.0 + guessed);
        let monomials = (1..=degree).map(|d| choose(left, d).exp2()).sum::<f64>().log2();
        let all = (0..=degree).map(coefficient).sum();
        ([coefficient(degree), all], monomials)
    }

    /// Places guessed, then equations of a degree: those of each block, `e_i e_j = 0`, times monomials. Two costs: of one elimination for
    /// each guess, and of one for many guesses, after which fewer monomials are left for the last guess.
    /// Cost `w M^2 / P(g)`; `w M^2 / P(g') + R(g')^2 / P(g)`. `w`: a product of two sums of ten has a hundred terms.
    /// Source: Briaud, Øygarden: A new algebraic approach to the regular syndrome decoding problem, EUROCRYPT 2023 (ePrint 2023/176), which
    /// counts `3 (k + 1) M^2` and `M` in places, not in unknowns; ePrint 2025/1476 (AGB 2.0), which counts `R^2.8`.
    fn algebraic(&self) -> [f64; 2] {
        let mut least = [f64::INFINITY; 2];
        let entries = 2.0 * self.summands.log2();
        for degree in 2..=6 {
            let most = self.after_sums() / self.trees;
            let guesses: Vec<f64> = (0..800).map(|i| most * f64::from(i) / 800.0).collect();
            let at =
                |guessed: f64| (self.hilbert(degree, guessed), self.free(self.trees * guessed));
            let solved = |guessed: &f64| at(*guessed).0.0[0] < 0.0;
            let Some(last) = guesses.iter().position(solved) else { continue };
            let end = self.free(self.trees * guesses[last]);
            for (i, guessed) in guesses[..=last].iter().enumerate() {
                let (([_, rest], monomials), begin) = at(*guessed);
                let rest = if i == last { 0.0 } else { rest.max(1.0).log2() };
                let eliminated = entries + 2.0 * monomials + begin;
                least[1] = least[1].min(sum(eliminated, 2.0 * rest + end));
                if i == last {
                    least[0] = least[0].min(eliminated);
                }
            }
        }
        least
    }

    /// Unknowns of a random part of them in which as many equations lie whole: `N (x / k)^summands = x`.
    fn random_part(&self) -> f64 {
        self.secret * (self.secret / self.all()).powf(1.0 / (self.summands - 1.0))
    }

    /// The fewest unknowns of which a part with as many equations may exist: all choices against the chance of one (first moment).
    fn densest_part(&self) -> f64 {
        let Noise { secret, summands, .. } = *self;
        let exists = |x: &f64| {
            let due = self.all() / secret * x.powf(summands);
            let chance = x * (x / due).ln() - x + due;
            -x * x.ln() - (1.0 - x) * (1.0 - x).ln() >= chance
        };
        (1..1000).map(|i| f64::from(i) / 1000.0).find(exists).expect("a part") * secret
    }
}

/// The share of the unknowns in a part that has as many equations, where an iteration has so many trees: found by taking away who has the
/// fewest equations left, again and again, in the code itself. Source: Charikar, APPROX 2000.
fn peeled(trees: usize) -> f64 {
    let keyed = Hash::new(&[9; 32]).keyed(5, 0);
    let rows = code::places(&keyed, trees * LEAVES);
    let mut of = vec![Vec::new(); SECRET];
    for (row, places) in rows.iter().enumerate() {
        places.iter().for_each(|place| of[usize::from(*place)].push(row as u32));
    }
    let mut count: Vec<usize> = of.iter().map(Vec::len).collect();
    let mut buckets = vec![Vec::new(); count.iter().max().map_or(0, |most| most + 1)];
    count.iter().enumerate().for_each(|(place, count)| buckets[*count].push(place));
    let (mut whole, mut here) = (vec![true; rows.len()], vec![true; SECRET]);
    let (mut equations, mut unknowns, mut fewest, mut at) = (rows.len(), SECRET, SECRET, 0);
    while at < buckets.len() {
        let Some(place) = buckets[at].pop() else {
            at += 1;
            continue;
        };
        // It may lie in buckets of before.
        if !here[place] || count[place] != at {
            continue;
        }
        here[place] = false;
        unknowns -= 1;
        for row in &of[place] {
            if std::mem::take(&mut whole[*row as usize]) {
                equations -= 1;
                for other in &rows[*row as usize] {
                    let other = usize::from(*other);
                    count[other] -= 1;
                    if here[other] {
                        buckets[count[other]].push(other);
                        at = at.min(count[other]);
                    }
                }
            }
        }
        if unknowns > 0 && equations >= unknowns {
            fewest = fewest.min(unknowns);
        }
    }
    fewest as f64 / SECRET as f64
}

#[test]
fn attacks_take_as_many_steps_as_the_table_says() {
    // Theirs has more equations for each unknown; of a larger secret the share is the same.
    let per_unknown = EMP.all() / EMP.secret * OWN.secret / OWN.leaves;
    let peeled = [TREES, per_unknown as usize].map(peeled);
    for (noise, peeled) in [OWN, EMP].iter().zip(peeled) {
        let [random, densest] =
            [noise.random_part(), noise.densest_part()].map(|x| x / noise.secret);
        println!("parts: {random:.3} random, {peeled:.3} peeled, {densest:.3} may exist");
    }
    let steps = |noise: Noise, peeled: f64| {
        let sums = noise.after_sums();
        let [random, found, densest] =
            [noise.random_part(), peeled * noise.secret, noise.densest_part()];
        let [algebraic, again] = noise.algebraic();
        let decoded = |x: f64| noise.collisions(x).min(noise.representations(x));
        [
            ("pooled Gauss", noise.gauss(noise.secret)),
            ("pooled Gauss with the blocks' sums", noise.gauss(sums)),
            ("Stern, Dumer with the blocks' sums", noise.collisions(sums)),
            ("BJMM with the blocks' sums", noise.representations(sums)),
            ("birthday of whole blocks", noise.whole_blocks()),
            ("statistical decoding", noise.statistical(noise.secret)),
            ("statistical decoding 2.0", noise.statistical2()),
            ("light words of a peeled part", noise.light_words(found)),
            ("algebraic", algebraic),
            ("algebraic, AGB 2.0", again),
            ("Gauss of a random part", noise.gauss(random)),
            ("decoders of a random part", decoded(random)),
            ("Gauss of a peeled part", noise.gauss(found)),
            ("decoders of a peeled part", decoded(found)),
            ("bound: the densest part, for nothing", noise.free(densest) + densest.log2()),
        ]
        .map(|(name, steps)| (name, steps.round() as i32))
    };
    let [own, emp] = [steps(OWN, peeled[0]), steps(EMP, peeled[1])];
    for ((name, own), (_, emp)) in own.iter().zip(&emp) {
        println!("{name:36} {own:4} {emp:4}");
    }
    let due = [231, 227, 203, 199, 565, 407, 406, 263, 192, 182, 185, 159, 163, 138, 136];
    assert_eq!(own.map(|(_, steps)| steps), due);
    let due = [132, 131, 113, 111, 349, 207, 207, 130, 110, 103, 105, 86, 94, 77, 70];
    assert_eq!(emp.map(|(_, steps)| steps), due);
}
