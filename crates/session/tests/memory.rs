//! What two parties hold while they make a batch, measured, against what their configurations count it as.

use std::{alloc::System, sync::Arc, thread, time::Duration};

use cap::Cap;
use sotto_models::{Arch, Calibration, Private, Weights, private::Options};
use sotto_net::{Link, local_pair};
use sotto_protocols::{
    Role,
    make::{Extension, whole_recipe},
    weights::Matrix,
};
use sotto_session::{config::Memory, workshop::Workshop};

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

const LIFE: Duration = Duration::from_secs(300);

/// What an extension and key switches work with, whatever the plan is: of what is counted for a link.
const LINK: u64 = 4 << 20;

/// The most that a party holds (on average of both), what its recipe says, and as what it counts.
fn measured(arch: &Arch, extension: Extension) -> (u64, u64, Memory) {
    let images = vec![vec![0.5; arch.channels * arch.image * arch.image]; 4];
    let weights = Weights::random(arch, 1);
    let calibration = Calibration::record(arch, &weights, &images, |_| ());
    let plan = Private::new(arch, &calibration, 1, Options::default()).unwrap().plan;
    let recipe = Arc::new(whole_recipe(&plan, extension).unwrap());
    let matrix = |w: &sotto_protocols::plan::WeightSpec| {
        Matrix::new(vec![0; w.outputs * w.inputs], vec![0; w.outputs])
    };
    let matrices: Vec<Matrix> = plan.weights.iter().map(matrix).collect();
    let (mut server, mut client) = local_pair("server", "client");
    let open = |role: Role, link: &mut dyn Link| {
        let matrices = (role == Role::Server).then_some(&matrices[..]);
        let within = (LIFE, &(|_, _| Ok(())) as &sotto_session::messages::Progress<'_>);
        Workshop::open(role, Arc::clone(&recipe), link, [1; 32], matrices, within).unwrap()
    };
    let (mut ours, mut theirs) = thread::scope(|scope| {
        let theirs = scope.spawn(|| open(Role::Client, &mut client));
        (open(Role::Server, &mut server), theirs.join().unwrap())
    });
    let before = MEMORY.allocated();
    let made = thread::scope(|scope| {
        let theirs = scope.spawn(|| theirs.make(&mut client, 0, LIFE, &|| ()).unwrap());
        [ours.make(&mut server, 0, LIFE, &|| ()).unwrap(), theirs.join().unwrap()]
    });
    let bytes = made.map(|(batch, _)| batch.corrections.unwrap().len());
    assert_eq!(bytes, [plan.correction_bytes(); 2]);
    let most = (MEMORY.max_allocated() - before) as u64 / 2;
    (most, recipe.most_held() as u64, Memory::made(&plan, &recipe))
}

/// A plan of many comparisons, powers and divisions takes far more COTs than its corrections have bytes.
#[test]
fn what_making_holds_is_what_it_counts_as() {
    // The larger one last: what is measured is the most since the program began.
    let layers = Arch::vit(1, 1, 32, 64, 16, 2, 10);
    let softmax = Arch::vit(1, 1, 8, 8, 24, 2, 10);
    for (arch, many) in [(layers, false), (softmax, true)] {
        for extension in
            [Extension::SOFTSPOKEN, Extension::Ferret].into_iter().skip(usize::from(!many))
        {
            let (most, held, memory) = measured(&arch, extension);
            let counted = memory.making as u64 * memory.batch;
            println!(
                "{} tokens, {extension:?}: {most} bytes measured, {held} by the recipe, {counted} counted: {} of {}",
                arch.tokens(),
                memory.making,
                memory.batch
            );
            assert!(most <= counted + LINK, "{most} bytes are held, {counted} are counted");
            // The recipe's number is one, not a bound that would refuse what there is memory for.
            if many {
                assert!(held < 2 * most && most < 2 * held, "{most} bytes, {held} by the recipe");
                assert!(most > 6 * memory.batch + LINK, "its COTs outweigh its corrections");
            }
        }
    }
}
