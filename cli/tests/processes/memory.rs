//! The most memory that processes hold of a model whose weights outweigh everything else, against what they have to hold.

use std::fs;

use sotto_models::{
    Calibration, Model, Private, Weights,
    length::Length,
    model::{Input, Stack},
    private::Options,
    weights::Precision,
};

use sotto_protocols::weights::Matrix;

use crate::{parties::Parties, spawned::Process};

const MIB: u64 = 1 << 20;

/// What else a process holds: its program, threads and buffers, a short text's batch, what its allocator has not given back.
const REST: u64 = 96 * MIB;

/// The most that a process held so far.
fn peak(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// A server holds its matrices at three bytes an entry, and while it starts the file and its numbers; a dealer the masks, packed.
/// Neither holds words of 64 bits, or any of it twice, or the masked weights that each client gets.
#[test]
fn weights_are_held_once_and_packed() {
    let parties = Parties::new();
    parties.texts();
    let arch = fs::read_to_string(parties.path("texts/arch.toml")).unwrap();
    let tiny = Model::from_toml(&arch).unwrap();
    let (width, layers) = (512, 6);
    let stack = Stack {
        width,
        hidden: 4 * width,
        layers,
        attention: vec![tiny.stack.attention[0].clone(); layers],
        activation: vec![tiny.stack.activation[0]; layers],
        ..tiny.stack.clone()
    };
    let mut model = Model { stack, name: "wide".into(), ..tiny };
    let Input::Words(words) = &mut model.input else { panic!("it reads texts") };
    words.width = width;
    fs::create_dir(parties.path("wide")).unwrap();
    parties.write("wide/arch.toml", model.to_toml().as_bytes());
    let tokenizer = fs::read(parties.path("texts/tokenizer.json")).unwrap();
    parties.write("wide/tokenizer.json", &tokenizer);
    let weights = Weights::random(&model, 5);
    let file = parties.path("wide/weights.safetensors");
    weights.save(&file, Precision::F32).unwrap();
    let samples = fs::read_to_string(parties.path("samples.txt")).unwrap();
    let few: Vec<&str> = samples.lines().take(16).collect();
    parties.write("samples.txt", (few.join("\n") + "\n").as_bytes());
    parties.calibrated("wide");

    let calibration = fs::read_to_string(parties.path("wide/calibration.toml")).unwrap();
    let calibration = Calibration::from_toml(&calibration).unwrap();
    let length = (Length::Public(5), 1);
    let private = Private::of_texts(&model, &calibration, length, Options::default()).unwrap();
    let packed: usize = private.matrices(&weights).iter().map(Matrix::memory).sum();
    let plan = private.plan;
    let entries: usize = plan.weights.iter().map(|w| w.outputs * w.inputs).sum();
    let (entries, setup) = (entries as u64, plan.setup_bytes() as u64);
    let packed = packed as u64;
    assert!(4 * (8 * entries - packed) > 3 * REST, "{entries} entries are too few to be seen");
    assert!(setup > REST, "masks that were there twice would not be seen");

    let (dealer, at) = parties.dealer("", None);
    let lines = "model = \"wide\"\n";
    let (server, to) = parties.start_server(&parties.server_config(lines, at, None));
    let started = peak(&server);
    let client = parties.client_config("client", "lexicon = \"wide-lexicon\"\n", [to, at]);
    let asked = ["embed", "--text", "the client sees", "--json", "--config", &client];
    parties.must(&asked);
    let [server, dealer] = [peak(&server), peak(&dealer)];
    // The file and what is read of it, the matrices, and one in floating point while it is folded, some of them at once.
    let folded = 4 * 8 * (4 * width * width) as u64;
    let reading = 2 * fs::metadata(&file).unwrap().len() + packed + folded;
    assert!(started <= reading + REST, "started with {} MiB", started / MIB);
    let most = reading.max(packed + plan.correction_bytes() as u64 * 2) + REST;
    assert!(server <= most, "the server held {} MiB of {}", server / MIB, most / MIB);
    // Its pieces are matrices, of which it holds one.
    assert!(dealer <= setup + REST, "the dealer held {} MiB", dealer / MIB);
}
