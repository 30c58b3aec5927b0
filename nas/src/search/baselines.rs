//! What the search has to beat: architectures that nobody searched, and MPCViT's own method.

use sotto_models::Arch;
use sotto_models::arch::Attention;

use crate::Error;
use crate::augment::Rng;
use crate::search::latency::{Latencies, Oracle};
use crate::search::space::{Alphas, Space};

/// Draws for [`random`].
const DRAWS: usize = 20_000;

/// The plain architectures: one kind in every head, for each kind, and half of each layer's heads ReLU, the others
/// linear; GELU in every MLP.
pub fn plain(base: &Arch) -> Vec<(String, Arch)> {
    let one = |kind: Attention| (format!("all {}", kind.name()), base.clone().with_attention(kind));
    let half = uniform(base, base.heads.div_ceil(2));
    Attention::ALL.into_iter().map(one).chain([half]).collect()
}

/// The same share of ReLU heads in every layer, the rest linear, GELU everywhere.
fn uniform(base: &Arch, of_heads: usize) -> (String, Arch) {
    let row = |h: usize| if h < of_heads { Attention::Relu } else { Attention::Linear };
    let attention = vec![(0..base.heads).map(row).collect(); base.layers];
    let name = format!("uniform, {of_heads} of {} heads ReLU", base.heads);
    (name, Arch { attention, ..base.clone() })
}

/// MPCViT's choice: the `count` heads with the largest parameters of the whole model keep ReLU, the
/// others become linear, GELU everywhere.
pub fn mpcvit(base: &Arch, alphas: &Alphas, count: usize) -> (String, Arch) {
    let heads = base.layers * base.heads;
    let mut order: Vec<usize> = (0..heads).collect();
    order.sort_by(|&a, &b| alphas.values[b][0].total_cmp(&alphas.values[a][0]).then(a.cmp(&b)));
    let mut kinds = vec![Attention::Linear; heads];
    order[..count].iter().for_each(|&h| kinds[h] = Attention::Relu);
    let attention = kinds.chunks(base.heads).map(<[_]>::to_vec).collect();
    let name = format!("MPCViT, {count} of {heads} heads ReLU");
    (name, Arch { attention, ..base.clone() })
}

/// The dearest of many random architectures that stay within `budget` seconds; none when all of
/// them are dearer.
///
/// # Errors
/// As the oracle.
pub fn random(
    (space, base): (&Space, &Arch),
    (latencies, oracle): (&Latencies, &dyn Oracle),
    budget: f64,
    seed: u64,
) -> Result<Option<Arch>, Error> {
    let mut rng = Rng::new(&[seed, 7]);
    let drawn = (0..DRAWS).map(|_| space.draw(base, &mut rng));
    let mut within: Vec<(f64, Arch)> =
        drawn.map(|arch| (latencies.of(&arch), arch)).filter(|(l, _)| *l <= budget).collect();
    within.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, arch) in within {
        if oracle.latency(&arch)? <= budget {
            return Ok(Some(arch));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::latency::standin::Standin;
    use crate::search::space::Relaxation;

    #[test]
    fn baselines_are_what_their_names_say() {
        let base = Arch::vit(3, 4, 16, 32, 32, 8, 10);
        let count =
            |arch: &Arch, kind| arch.attention.iter().flatten().filter(|&&k| k == kind).count();
        let plain = plain(&base);
        assert_eq!(plain.len(), 4);
        assert_eq!((plain[1].0.as_str(), count(&plain[1].1, Attention::Relu)), ("all relu", 12));
        let (_, even) = uniform(&base, 1);
        assert!(even.attention.iter().all(|row| row[0] == Attention::Relu));
        assert_eq!(count(&even, Attention::Linear), 9);
        let mut alphas = Alphas::new(&Space::mpcvit().sites(&base), Relaxation::Clamped);
        alphas.values[5][0] = 1.5;
        alphas.values[0][0] = 0.2;
        let (name, arch) = mpcvit(&base, &alphas, 11);
        assert_eq!(name, "MPCViT, 11 of 12 heads ReLU");
        assert_eq!(arch.attention[0][0], Attention::Linear);
        assert_eq!(mpcvit(&base, &alphas, 1).1.attention[1][1], Attention::Relu);
    }

    #[test]
    fn a_random_architecture_uses_its_budget_and_keeps_to_it() {
        let (space, base) = (Space::default(), Arch::vit(3, 4, 16, 32, 32, 8, 10));
        let latencies = Latencies::new(&space, &base, &Standin).unwrap();
        let (low, high) = latencies.range();
        let budget = (low + high) / 2.0;
        let arch = random((&space, &base), (&latencies, &Standin), budget, 1).unwrap().unwrap();
        let latency = Standin.latency(&arch).unwrap();
        assert!(latency <= budget && latency > 0.9 * budget, "{latency} of {budget}");
        let none = random((&space, &base), (&latencies, &Standin), low * 0.9, 1).unwrap();
        assert!(none.is_none());
    }
}
