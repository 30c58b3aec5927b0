//! CUDA kernels without a card: compiled by NVRTC for three architectures, and run on this processor by a twin (`twin.hpp`) that
//! knows threads, blocks, shared memory and barriers. `libnvrtc` must be found, and a C++ compiler.

use std::{collections::BTreeMap, fmt::Write as _, fs, process::Command};

use sotto_models::{Arch, Model, Weights, arch::Attention as Kind};

use super::{compile, source};
use crate::{
    Precision, Program,
    kernel::{Launch, Source},
    kernels::Mean,
    numbers::{decode, encode},
    program,
    testing::{all, close, kinds, normal, stored, tolerance},
};

const FORMATS: [Precision; 3] = [Precision::F32, Precision::F16, Precision::Bf16];

/// Inputs of a batch.
const BATCH: usize = 2;

/// A C++ program that runs all of these, one after the other, from its input to its output.
fn twin(programs: &[&Program], batch: usize, precision: Precision) -> String {
    let (mut kernels, mut main) = (String::new(), String::new());
    let mut count = 0;
    for program in programs {
        let [constants, buffers] = [
            program.constants.iter().map(Vec::len).collect::<Vec<_>>(),
            program.buffers.iter().map(|n| n * batch).collect(),
        ]
        .map(|sizes| format!("{sizes:?}").replace(['[', ']'], ""));
        let (input, size) = program.input;
        writeln!(main, "{{ Tensors c = filled({{{constants}}}), b = poisoned({{{buffers}}});")
            .unwrap();
        writeln!(main, "fill(b[{input}], {});", size * batch).unwrap();
        for launch in &program.launches {
            let source::Text { text, groups: [x, y, z], threads, .. } =
                source::text(&*launch.kernel, batch, precision);
            writeln!(kernels, "namespace k{count} {{\n{text}\n}}").unwrap();
            let read = launch.inputs.iter().map(|source| match source {
                Source::Constant(at) => format!("c[{at}].data(), "),
                Source::Buffer(at) => format!("b[{at}].data(), "),
            });
            let read: String = read.collect();
            let write = launch.output;
            let call = format!("k{count}::run({read}b[{write}].data())");
            writeln!(main, "twin::run({x}, {y}, {z}, {threads}, [&] {{ {call}; }});").unwrap();
            count += 1;
        }
        let (output, numbers) = program.output;
        writeln!(main, "fwrite(b[{output}].data(), sizeof(T), {}, stdout); }}", numbers * batch)
            .unwrap();
    }
    format!(
        "{}\n{kernels}\ntypedef std::vector<std::vector<T>> Tensors;
        static void fill(std::vector<T> &x, size_t n) {{ if (fread(x.data(), sizeof(T), n, stdin) != n) exit(2); }}
        static Tensors poisoned(std::vector<size_t> sizes) {{
            Tensors all; for (size_t n : sizes) all.emplace_back(n, store(NAN)); return all;
        }}
        static Tensors filled(std::vector<size_t> sizes) {{
            Tensors all = poisoned(sizes); for (auto &x : all) fill(x, x.size()); return all;
        }}
        int main() {{\n{main}}}\n",
        source::DEVICE
    )
}

/// Runs the programs in the twin: the results of each for a batch.
fn run(
    programs: &[&Program],
    batch: usize,
    inputs: &[Vec<f32>],
    precision: Precision,
) -> Vec<Vec<f32>> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("all.cpp"), twin(programs, batch, precision)).expect("written");
    fs::write(path("twin.hpp"), include_str!("twin.hpp")).expect("written");
    let mut compiler = Command::new("c++");
    let format = format!("-D{}=1", source::format(precision));
    compiler.args(["-std=c++17", "-O1", "-w", "-DHOST_TWIN", &format]);
    // One format sees products of four warps.
    compiler.args((precision == Precision::Bf16).then_some("-DGROUPS")).arg("-o");
    let built = compiler.arg(path("all")).arg(path("all.cpp")).output();
    let built = built.expect("a C++ compiler is there: apt-get install g++");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let bytes = |values: &[f32]| {
        let mut bytes = encode(values, precision);
        bytes.truncate(values.len() * precision.width());
        bytes
    };
    let given = programs.iter().zip(inputs).flat_map(|(program, input)| {
        program.constants.iter().chain([input]).flat_map(|values| bytes(values))
    });
    fs::write(path("in"), given.collect::<Vec<u8>>()).expect("written");
    let input = fs::File::open(path("in")).expect("just written");
    let done = Command::new(path("all")).stdin(input).output().expect("it runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut rest = &done.stdout[..];
    let results = programs.iter().map(|program| {
        let (mine, others) = rest.split_at(batch * program.output.1 * precision.width());
        rest = others;
        decode(mine, precision)
    });
    let results = results.collect();
    assert!(rest.is_empty(), "more than the results");
    results
}

#[test]
fn the_twin_computes_what_the_definitions_say() {
    for precision in FORMATS {
        let mut programs = all();
        for (_, program) in &mut programs {
            program.constants.iter_mut().for_each(|values| *values = stored(values, precision));
        }
        let inputs: Vec<Vec<f32>> = (1..)
            .zip(&programs)
            .map(|(seed, (_, program))| stored(&normal(BATCH * program.input.1, seed), precision))
            .collect();
        let all: Vec<&Program> = programs.iter().map(|(_, program)| program).collect();
        let results = run(&all, BATCH, &inputs, precision);
        for (((what, program), inputs), got) in programs.iter().zip(&inputs).zip(&results) {
            let most = (precision, tolerance(precision));
            close(&format!("{what} in the twin"), program, most, inputs, got);
        }
    }
}

#[test]
fn further_kinds_of_attention_in_the_twin() {
    for precision in FORMATS {
        let cases = kinds::all();
        let inputs: Vec<Vec<f32>> =
            (1..).zip(&cases).map(|(seed, case)| stored(&case.inputs(seed), precision)).collect();
        let programs: Vec<&Program> = cases.iter().map(|case| &case.program).collect();
        let results = run(&programs, kinds::INPUTS.len(), &inputs, precision);
        for ((case, inputs), got) in cases.iter().zip(&inputs).zip(&results) {
            case.check(&format!("{} in the twin", case.what), precision, inputs, got);
        }
    }
}

#[test]
fn a_whole_model_in_the_twin() {
    let mut arch = Arch::vit(2, 2, 16, 24, 8, 4, 5);
    arch.attention = vec![vec![Kind::Softmax, Kind::Relu], vec![Kind::Linear, Kind::Softmax]];
    let program = program(&Model::from(&arch), &Weights::random(&arch, 1), arch.tokens());
    let inputs = vec![normal(BATCH * program.input.1, 3)];
    let got = run(&[&program], BATCH, &inputs, Precision::F32);
    let most = (Precision::F32, tolerance(Precision::F32));
    close("a model in the twin", &program, most, &inputs[0], &got[0]);
}

/// The kernels of the benchmark's models in a format, each once.
fn kernels(precision: Precision) -> BTreeMap<String, &'static str> {
    let mut all = BTreeMap::new();
    let models = [(Arch::vit_cifar(), 64), (Arch::vit_tiny(), 1)];
    for (arch, batch) in models {
        for kind in Kind::ALL {
            let arch = arch.clone().with_attention(kind);
            let program = program(&Model::from(&arch), &Weights::random(&arch, 1), arch.tokens());
            let mean = Program::alone(Mean { rows: 65, width: 256, over: 1..65, first: true });
            for launch in program.launches.iter().chain(&mean.launches) {
                let text = source::text(&*launch.kernel, batch, precision).text;
                all.insert(text, launch.kernel.name());
            }
        }
    }
    if precision != Precision::F32 {
        all.insert(super::ceilings::text(), "tensor chains");
    }
    all
}

/// Kernels of further kinds of attention at the size of a model.
fn further(precision: Precision) -> BTreeMap<String, &'static str> {
    let sized = kinds::sized(65, 4, 64);
    let launches = sized.iter().flat_map(|program| &program.launches);
    let text = |launch: &Launch| source::text(&*launch.kernel, 64, precision).text;
    launches.map(|launch| (text(launch), launch.kernel.name())).collect()
}

/// Registers of a thread, and bytes that it spills.
fn used(log: &str) -> (u32, u32) {
    // Remarks come first.
    let told =
        log.split_once("Function properties").unwrap_or_else(|| panic!("no properties: {log}")).1;
    let number = |before: &str| {
        let word = told.split_once(before).and_then(|(words, _)| words.rsplit(' ').next());
        word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no{before}: {log}"))
    };
    (number(" registers"), number(" bytes spill stores"))
}

/// Compiles a kernel, and holds its registers.
fn compiles(text: &str, name: &str, precision: Precision, architecture: &str, groups: bool) {
    let compiled = compile::cubin(text, precision, architecture, groups);
    let what = format!("{name} in {} for {architecture}, {groups}", precision.name());
    let (cubin, log) = compiled.unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(&cubin[..4], b"\x7fELF", "{what}");
    let (registers, spilled) = used(&log);
    println!("{what}: {registers} registers, {spilled} bytes spilled");
    // Products of four warps are not on before a card has shown what a spilled word or two costs them.
    assert!(spilled <= if groups { 32 } else { 0 }, "{what}: {log}");
    // The compiler says so where it cannot let products run on.
    assert!(!log.contains("serialized"), "{what}: {log}");
}

#[test]
fn further_kinds_of_attention_compile_for_three_architectures_and_spill_nothing() {
    compile::present().unwrap_or_else(|e| panic!("{e}"));
    for (precision, architecture) in
        [(Precision::F32, "sm_80"), (Precision::F16, "sm_90a"), (Precision::Bf16, "sm_120")]
    {
        let kernels = further(precision);
        assert_eq!(kernels.len(), 9, "seven kinds, of which decoding has two launches, and gates");
        for (text, name) in &kernels {
            compiles(text, name, precision, architecture, false);
        }
    }
}

#[test]
fn every_kernel_compiles_for_three_architectures_and_spills_nothing() {
    compile::present().unwrap_or_else(|e| panic!("{e}"));
    // The formats differ little: one of them sees all architectures, and both ways to multiply.
    for (precision, architecture, groups) in [
        (Precision::F32, "sm_90a", false),
        (Precision::F16, "sm_90a", false),
        (Precision::F16, "sm_90a", true),
        (Precision::Bf16, "sm_80", false),
        (Precision::Bf16, "sm_90a", false),
        (Precision::Bf16, "sm_90a", true),
        (Precision::Bf16, "sm_120", false),
    ] {
        let kernels = kernels(precision);
        // Of two models: embeddings, norms, products, attentions of three kinds, a mean; and the chains of halves.
        let expected = if precision == Precision::F32 { 23 } else { 24 };
        assert_eq!(kernels.len(), expected, "{}", precision.name());
        for (text, name) in &kernels {
            compiles(text, name, precision, architecture, groups);
        }
    }
    let wrong = compile::cubin("KERNEL run() { nothing; }", Precision::F32, "sm_90a", false);
    assert!(wrong.is_err_and(|e| e.contains("nothing")));
}

#[test]
fn a_machine_without_a_driver_says_so() {
    // This machine has no card, or the first one answers.
    match super::Cuda::open() {
        Err(e) => assert!(e.to_string().contains("NVIDIA's driver"), "{e}"),
        Ok(cuda) => println!("not run: {:?} is here", crate::Device::info(&cuda)),
    }
}
