//! The latency of an architecture by the network simulator, from parts that are priced once.
//!
//! Given the ranges of its tensors, a layer's attention follows from its kinds and its MLP from its activation,
//! and each begins where the one before has ended. So each is traced and priced once for each
//! composition, in a model of one layer, and an architecture is the joined parts: the simulator walks over them as over
//! the whole plan, with the same result.

use std::collections::HashMap;
use std::sync::{Arc as Shared, Mutex, PoisonError};

use sotto_models::arch::{Activation, Attention};
use sotto_models::float::Tensor;
use sotto_models::layer::{Kind, Section};
use sotto_models::private::Options;
use sotto_models::probe::{NormName, NormPart};
use sotto_models::{Arch, Calibration, Private, Weights};
use sotto_netsim::{Machines, Network, Priced, Step, offline, online};
use sotto_protocols::Role;

use crate::Error;
use crate::search::latency::Oracle;

/// What the search minimises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// Seconds from the client's first byte to its result: with a filled pool.
    Online,
    /// Offline and online: nothing was made ahead of time.
    #[default]
    Total,
}

/// Half a layer's part of a plan: each level is one step, the first and the last one shared with its neighbours.
type Piece = Priced;

/// What half a layer is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Half {
    Attention(Vec<Attention>),
    Mlp(Activation),
}

impl Half {
    /// The attention of a layer. Which head has which kind costs nothing, but that they are put back in order
    /// where they are not grouped.
    fn attention(kinds: &[Attention]) -> Self {
        let place = |kind: &Attention| Attention::ALL.iter().position(|k| k == kind);
        let mut grouped = kinds.to_vec();
        grouped.sort_by_key(place);
        if grouped != kinds {
            grouped.reverse();
        }
        Half::Attention(grouped)
    }
}

/// Latency of the architectures that differ from one in kinds and activations alone.
pub struct Simulator {
    base: Arch,
    calibration: Calibration,
    options: Options,
    network: Network,
    machines: Machines,
    objective: Objective,
    pieces: Mutex<HashMap<(usize, Half), Shared<Piece>>>,
}

impl Simulator {
    /// For architectures like `base`, with ranges from `calibration`, which must know every kind
    /// that will be asked for ([`calibration_of_all_kinds`] makes one).
    pub fn new(
        base: &Arch,
        calibration: &Calibration,
        network: &Network,
        machines: &Machines,
        objective: Objective,
    ) -> Self {
        Self {
            base: base.clone(),
            calibration: calibration.clone(),
            options: Options::default(),
            network: network.clone(),
            machines: machines.clone(),
            objective,
            pieces: Mutex::default(),
        }
    }

    /// Half of `layer`, with the input before the first one and the head behind the last one.
    fn piece(&self, layer: usize, half: Half) -> Result<Shared<Piece>, Error> {
        let key = (layer, half);
        let mut known = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(piece) = known.get(&key) {
            return Ok(Shared::clone(piece));
        }
        let mut one = Arch { layers: 1, ..self.base.clone() };
        one.attention = vec![self.base.attention[layer].clone()];
        one.activation = vec![self.base.activation[layer]];
        match &key.1 {
            Half::Attention(kinds) => {
                one.attention[0].clone_from(kinds);
                // Cut off below: the one that is traced at once.
                one.activation[0] = Activation::None;
            }
            Half::Mlp(activation) => one.activation[0] = *activation,
        }
        let calibration = self.calibration_of(layer, &one.attention[0]);
        let private = Private::new(&one, &calibration, 1, self.options)
            .map_err(|e| Error::Arch(e.to_string()))?;
        let priced = Priced::new(&private.plan, &self.machines);
        let priced = priced.map_err(|e| Error::Arch(e.to_string()))?;
        let (first, last) = (layer == 0, layer + 1 == self.base.layers);
        let own = match key.1 {
            Half::Attention(_) => Kind::Attention,
            Half::Mlp(_) => Kind::Mlp,
        };
        let piece = cut(&priced, |section| match section {
            Section::Norm(_, kind) | Section::Step(_, kind) => kind == own,
            Section::Head => own == Kind::Mlp && last,
            Section::Input | Section::Embedding => own == Kind::Attention && first,
        });
        let piece = Shared::new(piece);
        known.insert(key, Shared::clone(&piece));
        Ok(piece)
    }

    /// The ranges of `layer` as those of a model of one layer with these kinds. Groups of softmax heads are those of the whole
    /// plan where there are as many softmax heads; of others, which no calibration has put into groups, all have one range.
    fn calibration_of(&self, layer: usize, kinds: &[Attention]) -> Calibration {
        let all = &self.calibration.layers;
        let (mut own, mut end) = (all[layer].clone(), all[self.base.layers].clone());
        let patches = Tensor::Patches.to_string();
        own.extend(all[0].get(&patches).map(|range| (patches, *range)));
        if layer + 1 < self.base.layers {
            // What the layer writes is opened by both norms of the next one.
            let centred = |name| Tensor::Norm(name, NormPart::Centred).to_string();
            let names = [NormName::First, NormName::Second].map(centred);
            let next = names.iter().filter_map(|name| all[layer + 1].get(name));
            let widest = next.copied().max_by(|a, b| a.size().total_cmp(&b.size()));
            end.extend(widest.map(|range| (centred(NormName::Last), range)));
        }
        let groups = self.calibration.groups.get(layer).cloned();
        let groups = groups.into_iter().collect();
        let softmax = kinds.iter().filter(|kind| **kind == Attention::Softmax).count();
        let heads = self
            .calibration
            .heads
            .get(layer)
            .filter(|groups| groups.iter().map(|group| group.heads).sum::<usize>() == softmax);
        let heads = heads.cloned().into_iter().collect();
        Calibration { layers: vec![own, end], groups, heads, ..self.calibration.clone() }
    }
}

impl Oracle for Simulator {
    fn latency(&self, arch: &Arch) -> Result<f64, Error> {
        let mut like = arch.clone();
        like.attention.clone_from(&self.base.attention);
        like.activation.clone_from(&self.base.activation);
        like.name.clone_from(&self.base.name);
        if like != self.base {
            return Err(Error::Arch(format!(
                "{} differs from {} in more than attention kinds and activations",
                arch.name, self.base.name
            )));
        }
        let mut joined = Priced::default();
        for layer in 0..arch.layers {
            let halves =
                [Half::attention(&arch.attention[layer]), Half::Mlp(arch.activation[layer])];
            for half in halves {
                let piece = self.piece(layer, half)?;
                let mut levels = piece.levels.iter();
                // The level in which one part ends is the level in which the next one begins.
                if let Some(last) = joined.levels.last_mut() {
                    last.extend(levels.next().into_iter().flatten().cloned());
                }
                joined.levels.extend(levels.cloned());
                joined.offline.extend_from_slice(&piece.offline);
            }
        }
        let seconds = online(&joined, &self.machines, &self.network);
        Ok(match self.objective {
            Objective::Online => seconds,
            Objective::Total => {
                let ready = offline(&joined, &self.machines, &self.network, Role::Server);
                ready.total + seconds
            }
        })
    }
}

/// The sections of a priced plan that `is_own` says.
fn cut(priced: &Priced, is_own: impl Fn(Section) -> bool) -> Piece {
    let section = |name: &String| name.parse().expect("a model's plan has a model's sections");
    let mine: Vec<bool> = priced.sections.iter().map(|name| is_own(section(name))).collect();
    let levels: Vec<Vec<&Step>> = (priced.levels.iter())
        .map(|steps| steps.iter().filter(|s| mine[s.section]).collect())
        .collect();
    let used = |steps: &Vec<_>| !steps.is_empty();
    let first = levels.iter().position(used).unwrap_or(0);
    let last = levels.iter().rposition(used).map_or(0, |last| last + 1);
    Piece {
        levels: levels[first..last.max(first)].iter().map(|steps| vec![sum(steps)]).collect(),
        offline: priced.offline.iter().filter(|p| mine[p.section]).cloned().collect(),
        ..Piece::default()
    }
}

/// A level as one step.
fn sum(steps: &[&Step]) -> Step {
    let mut sum = Step { gate: "level", section: 0, seconds: [0.0; 2], bytes: [0; 2] };
    for step in steps {
        for i in [0, 1] {
            sum.seconds[i] += step.seconds[i];
            sum.bytes[i] += step.bytes[i];
        }
    }
    sum
}

/// Ranges of `base`'s tensors with every kind of attention, for a [`Simulator`]: recorded on normalised images with all
/// heads of each kind in turn, the widest of each. A trained architecture's own ranges differ a little, and so may a
/// width here and there by a bit.
pub fn calibration_of_all_kinds(
    base: &Arch,
    weights: &Weights,
    images: &[Vec<f32>],
) -> Calibration {
    let one =
        |kind| Calibration::record(&base.clone().with_attention(kind), weights, images, |_| ());
    let mut all = one(Attention::ALL[0]);
    for other in Attention::ALL[1..].iter().map(|&kind| one(kind)) {
        for (layer, ranges) in all.layers.iter_mut().zip(other.layers) {
            for (name, range) in ranges {
                let known = layer.entry(name).or_insert(range);
                known.min = known.min.min(range.min);
                known.max = known.max.max(range.max);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use sotto_models::calibration::{HeadGroup, Range};
    use sotto_models::probe::HeadPart;
    use sotto_netsim::{Machine, Source, predict};

    /// A small architecture with the ranges of all kinds.
    fn all_kinds() -> (Arch, Calibration) {
        let arch = Arch::vit(3, 4, 32, 64, 16, 4, 10);
        let weights = Weights::random(&arch, 7);
        let image = (0..3 * 16 * 16).map(|i| ((i * i * 31 + i * 7) % 257) as f32 / 75.0 - 1.7);
        let calibration = calibration_of_all_kinds(&arch, &weights, &[image.collect()]);
        (arch, calibration)
    }

    /// Architectures like `base` with kinds and activations that follow from `seed`.
    fn random(base: &Arch, mut seed: u64) -> Arch {
        let mut next = |n: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % n
        };
        let mut arch = base.clone();
        let activations = [Activation::Gelu, Activation::Relu, Activation::None];
        for layer in 0..arch.layers {
            arch.activation[layer] = activations[next(3)];
            for head in 0..arch.heads {
                arch.attention[layer][head] = Attention::ALL[next(3)];
            }
        }
        arch
    }

    #[test]
    fn an_architecture_costs_what_the_simulation_of_its_plan_says() {
        let (base, calibration) = all_kinds();
        let machines = Machines::one(&Machine::reference());
        for name in ["loopback", "wan-cheetah", "mobile"] {
            let network = Network::preset(name).unwrap();
            let oracle =
                |objective| Simulator::new(&base, &calibration, &network, &machines, objective);
            let (online, total) = (oracle(Objective::Online), oracle(Objective::Total));
            for seed in 0..30 {
                let arch = random(&base, seed);
                let private = Private::new(&arch, &calibration, 1, Options::default()).unwrap();
                let priced = Priced::new(&private.plan, &machines).unwrap();
                let source = Source::Dealer(Role::Server);
                let truth = predict(&priced, &machines, &network, source, 0);
                let close =
                    |a: f64, b: f64| assert!((a - b).abs() < 1e-9 * b, "{name}: {a} for {b}");
                close(online.latency(&arch).unwrap(), truth.online_s);
                close(total.latency(&arch).unwrap(), truth.total_s);
            }
        }
    }

    /// Softmax heads in groups, whose formats differ, cost what they cost in the whole plan; as many as no group holds, what
    /// heads of one range do.
    #[test]
    fn groups_of_heads_are_priced_as_in_the_plan() {
        let (base, calibration) = all_kinds();
        let machines = Machines::one(&Machine::reference());
        let network = Network::preset("wan").unwrap();
        let group = |layer: usize, heads: usize, size: f32| {
            let of =
                |part| calibration.range(layer, Tensor::Head(Attention::Softmax, part)).unwrap();
            let scaled = |part| {
                let Range { min, max } = of(part);
                Range { min: size * min, max: size * max }
            };
            HeadGroup {
                heads,
                scores: scaled(HeadPart::Scores),
                row_max: scaled(HeadPart::RowMax),
                row_sum: of(HeadPart::RowSum),
                unnormalised: of(HeadPart::Unnormalised),
            }
        };
        let groups = |layer| vec![group(layer, 3, 0.25), group(layer, 1, 1.0)];
        let heads = (0..base.layers).map(groups).collect();
        let grouped = Calibration { heads, ..calibration.clone() };
        let seconds = |arch: &Arch, calibration: &Calibration| {
            let private = Private::new(arch, calibration, 1, Options::default()).unwrap();
            let priced = Priced::new(&private.plan, &machines).unwrap();
            predict(&priced, &machines, &network, Source::Dealer(Role::Server), 0).online_s
        };
        let objective = Objective::Online;
        let oracle = Simulator::new(&base, &grouped, &network, &machines, objective);
        let softmax = base.clone().with_attention(Attention::Softmax);
        let (truth, alike) = (seconds(&softmax, &grouped), seconds(&softmax, &calibration));
        // Narrower scores on `wan` against a further gate or two.
        assert!((truth - alike).abs() > 1e-6 * alike, "groups make no difference: {truth}");
        let latency = oracle.latency(&softmax).unwrap();
        assert!((latency - truth).abs() < 1e-9 * truth, "{latency} for {truth}");
        let mut mixed = softmax;
        mixed.attention.iter_mut().for_each(|kinds| kinds[1] = Attention::Relu);
        let (latency, truth) = (oracle.latency(&mixed).unwrap(), seconds(&mixed, &calibration));
        assert!((latency - truth).abs() < 1e-9 * truth, "{latency} for {truth}");
    }

    #[test]
    fn another_model_is_refused() {
        let (base, calibration) = all_kinds();
        let machines = Machines::one(&Machine::reference());
        let network = Network::preset("lan").unwrap();
        let oracle = Simulator::new(&base, &calibration, &network, &machines, Objective::Total);
        let other = Arch { mlp: base.mlp + 8, ..base };
        assert!(oracle.latency(&other).unwrap_err().to_string().contains("more than"));
    }
}
