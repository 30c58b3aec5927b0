//! What peers are told of a calibration: the same plan, and of the owner's ranges nothing that the plan does not say.

use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::{Activation, Attention},
    calibration::Range,
    private::{MaxKind, Options},
};
use sotto_protocols::testing::Bench;

/// Models of every kind, with their calibrations.
fn models() -> Vec<(Arch, Options, Calibration)> {
    let small = Arch::vit(2, 4, 32, 48, 16, 4, 5);
    let public = Options { max: MaxKind::Public, ..Options::default() };
    let kinds = Attention::ALL.into_iter().map(|kind| small.clone().with_attention(kind));
    let kinds = kinds.flat_map(|arch| {
        [Activation::Gelu, Activation::Relu].map(|a| (arch.clone().with_activation(a), public))
    });
    let all = kinds.chain([(small.clone(), Options::default())]);
    let calibrated = |(arch, options): (Arch, Options)| {
        let mut bench = Bench::new(3);
        let size = arch.channels * arch.image * arch.image;
        let mut image = || (0..size).map(|_| (bench.unit() * 2.0 - 1.0) as f32).collect();
        let images: Vec<Vec<f32>> = (0..4).map(|_| image()).collect();
        let weights = Weights::random(&arch, 5);
        let calibration = Calibration::record(&arch, &weights, &images, |_| ());
        (arch, options, calibration)
    };
    all.map(calibrated).collect()
}

fn plan(arch: &Arch, calibration: &Calibration, options: Options) -> Option<[u8; 32]> {
    Some(Private::new(arch, calibration, 1, options).ok()?.plan.hash())
}

#[test]
fn peers_trace_the_same_plan_from_few_wide_ranges() {
    for (arch, options, calibration) in models() {
        let told = calibration.told(&(&arch).into(), options);
        assert_eq!(plan(&arch, &told, options), plan(&arch, &calibration, options));
        assert!(plan(&arch, &told, options).is_some());
        assert_eq!(told.told(&(&arch).into(), options), told);
        assert_eq!((told.weights.as_str(), told.images), ("", calibration.images));
        let input = |c: &Calibration| {
            Private::new(&arch, c, 1, options).map(|p| {
                let bright = |x: f32| p.check_input(&[x]).is_ok();
                (1..400).map(|i| bright(i as f32 / 20.0)).collect::<Vec<bool>>()
            })
        };
        assert_eq!(input(&told).unwrap(), input(&calibration).unwrap(), "the input is held alike");
        let count = |c: &Calibration| c.layers.iter().map(|layer| layer.len()).sum::<usize>();
        assert!(count(&told) * 2 < count(&calibration), "{} left", count(&told));
        for (exact, told) in calibration.layers.iter().zip(&told.layers) {
            for (name, range) in told {
                let inside = range.min <= exact[name].min && exact[name].max <= range.max;
                assert!(inside, "{name}: {range:?}");
            }
        }
    }
}

/// Whatever ranges an owner has: if the plan is the same, so is what is told.
#[test]
fn calibrations_of_one_plan_are_told_alike() {
    let (mut alike, mut others) = (0, 0);
    for (seed, (arch, options, calibration)) in (1..).zip(models()) {
        let model = (&arch).into();
        let (told, hash) = (calibration.told(&model, options), plan(&arch, &calibration, options));
        let mut bench = Bench::new(seed);
        for round in 0..60 {
            let mut other = calibration.clone();
            let most = 1 + round / 20;
            for _ in 0..most {
                let layer = (bench.unit() * other.layers.len() as f64) as usize;
                let at = (bench.unit() * other.layers[layer].len() as f64) as usize;
                let by = [(); 2].map(|()| (bench.unit() * 2.0 - 1.0).exp2() as f32);
                let entry = other.layers[layer].iter_mut().nth(at).expect("one of them");
                if entry.0 == "patches" || entry.0 == "embed" {
                    continue;
                }
                let changed = Range { min: entry.1.min * by[0], max: entry.1.max * by[1] };
                if changed.min <= changed.max {
                    *entry.1 = changed;
                }
            }
            if plan(&arch, &other, options) != hash {
                others += 1;
                continue;
            }
            alike += usize::from(other.rounded() != calibration.rounded());
            assert_eq!(
                other.told(&model, options),
                told,
                "{} seed {seed} round {round}",
                arch.name
            );
        }
    }
    println!("{alike} of one plan, {others} of others");
    assert!(alike > 50 && others > 50, "{alike} {others}");
}
