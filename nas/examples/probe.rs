use sotto_models::arch::{Activation, Attention};
use sotto_models::{Arch, Weights};
use sotto_nas::augment::Rng;
use sotto_nas::search::latency::{Latencies, Oracle, simulator};
use sotto_nas::search::space::Space;
use sotto_netsim::{Machine, Network, Objective};
fn main() {
    let base = Arch { mean: [0.4914, 0.4822, 0.4465], ..Arch::vit(5, 4, 96, 192, 32, 4, 10) };
    let weights = Weights::random(&base, 7);
    let mut rng = Rng::new(&[1]);
    let image: Vec<f32> = (0..3072).map(|_| rng.normal() as f32).collect();
    let t = std::time::Instant::now();
    for objective in [Objective::Online, Objective::Total] {
        for name in ["lan", "wan", "wan-cheetah"] {
            let network = Network::preset(name).unwrap();
            let oracle = simulator(
                &base,
                (&weights, std::slice::from_ref(&image)),
                &network,
                &Machine::reference(),
                objective,
            );
            let space = Space::default();
            let l = Latencies::new(&space, &base, &oracle).unwrap();
            println!(
                "{name} {objective:?} range {:?} built {:.1}s",
                l.range(),
                t.elapsed().as_secs_f64()
            );
            let mut worst = 0f64;
            for i in 0..200 {
                let a = space.draw(&base, &mut Rng::new(&[2, i]));
                let (x, y) = (l.of(&a), Oracle::latency(&oracle, &a).unwrap());
                worst = worst.max((x - y).abs() / y);
            }
            println!("  worst relative difference {worst:e}");
            for k in Attention::ALL {
                for a in [Activation::Gelu, Activation::Relu, Activation::None] {
                    let x = base.clone().with_attention(k).with_activation(a);
                    println!(
                        "  {} {} {:.5}",
                        k.name(),
                        a.name(),
                        Oracle::latency(&oracle, &x).unwrap()
                    );
                }
            }
            let mut two = base.clone().with_attention(Attention::Linear);
            for r in &mut two.attention {
                r[0] = Attention::Relu;
                r[1] = Attention::Relu;
            }
            println!("  2relu+2linear gelu {:.5}", Oracle::latency(&oracle, &two).unwrap());
        }
    }
}
