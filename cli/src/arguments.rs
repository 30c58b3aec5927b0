//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use sotto::{
    calibrate::{Calibrate, examples},
    check::Check,
    choices::source,
    config::Source,
    import::Import,
    infer::Infer,
    init::Init,
    keys::{Fingerprint, Keygen},
    machine::CalibrateMachine,
    plan::Plan,
    reference::Reference,
    simulate::Simulate,
    texts::TextArgs,
    words::Lexicon,
};
use sotto_netsim::PRESETS;

/// Private transformer inference: a client classifies its image or text with a server's model; neither learns the other's
/// data. A dealer supplies correlated randomness beforehand and sees neither.
///
/// Start with `sotto demo`. On three hosts: `sotto keygen NAME` on each, exchange the .cert files, then `sotto
/// deal`, `sotto serve` and `sotto infer` with one small TOML file each (docs/hosts.md).
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command {
    /// Runs server, client and dealer as three processes on this machine and checks every result.
    Demo {
        /// `demo`, `vit_cifar` or `vit_tiny` (random weights), or a model folder.
        #[arg(long, default_value = "demo")]
        model: PathBuf,
        /// PNG or JPEG, folders of these, CIFAR .bin or .tar.gz, or the folder of CIFAR or Tiny-ImageNet, instead of the
        /// embedded images.
        #[arg(long, num_args = 1.., conflicts_with_all = ["text", "file"])]
        images: Vec<PathBuf>,
        /// Centre-crop and resize pictures of another size, where the model does not say what becomes of them.
        #[arg(long)]
        resize: bool,
        #[command(flatten)]
        texts: TextArgs,
        /// Evaluate at most so many images or texts.
        #[arg(long, default_value_t = 16)]
        limit: usize,
        /// Images, or texts of one length, in one evaluation: no more flights than one.
        #[arg(long, default_value_t = 1)]
        batch: usize,
        /// What lies between the parties, emulated: loopback, lan, lan-cheetah, wan-cheetah, wan, mobile,
        /// intercontinental, or a TOML file; `sotto simulate --help` says what they are.
        #[arg(long, default_value = "loopback")]
        net: String,
        /// Where correlated randomness comes from: a third process deals it, or server and client make it by themselves,
        /// which needs no third party and costs more.
        #[arg(long, value_parser = source(), default_value = "dealer")]
        source: Source,
        /// Hide the lengths of texts: each is padded to a bucket of 16, 32, 64, .. words, and the server learns that alone.
        #[arg(long)]
        hidden_length: bool,
        /// One JSON object instead of tables.
        #[arg(long)]
        json: bool,
    },
    /// Emulates the network between parties that you start yourself: delay, bandwidth, loss, cuts.
    #[command(after_help = EMULATE)]
    Emulate {
        /// emulate.toml
        #[arg(long)]
        config: PathBuf,
        /// What went over each path as JSON at the end.
        #[arg(long)]
        json: bool,
    },
    /// Makes a key and a self-signed certificate: NAME.key (private) and NAME.cert (to give to the peers).
    Keygen(Keygen),
    /// Prints the fingerprint of a certificate, to be compared with what its owner reads out.
    Fingerprint(Fingerprint),
    /// Writes a folder for each party, with keys, certificates and a commented configuration.
    ///
    /// For a first start, and for parties that one person sets up. Each folder goes to its host, whole, and nowhere else: it has
    /// that party's private key. Parties that do not trust each other make their keys themselves (`sotto keygen`).
    #[command(after_help = INIT)]
    Init(Init),
    /// Runs the server: owns the weights, serves clients until a signal stops it (exit code 0).
    Serve {
        /// server.toml
        #[arg(long)]
        config: PathBuf,
    },
    /// Runs the dealer: supplies correlated randomness, sees neither inputs nor weights. A signal stops it (exit code 0).
    Deal {
        /// dealer.toml
        #[arg(long)]
        config: PathBuf,
    },
    /// Classifies images or texts with the server's model.
    ///
    /// Results are printed as they come, of texts the shortest first; what cannot be read is named, and the others are
    /// evaluated. The server learns the number of words of each text, nothing else of it. Exit codes: 0 all done, 1 a failed
    /// check, 2 configuration, 3 pictures or texts that were not evaluated, 4 network or peer, 5 no correlations, 130 stopped by a signal, 141 nobody reads the output.
    Infer(Infer),
    /// Embeds texts or pictures with the server's model, an embedding a line.
    #[command(after_help = EMBED)]
    Embed(Infer),
    /// Prints a model's plan: gates, widths, flights, bytes and multiply-adds.
    Plan(Plan),
    /// Makes a model folder of a folder of Hugging Face.
    ///
    /// Families: BERT (MiniLM, BGE, E5), RoBERTa, DistilBERT, ALBERT, ViT, DeiT, DINOv2, timm's ViTs, and the encoders of
    /// sentence-transformers. Every tensor is used, known to be of no use, or named in an error. Pickled weights
    /// (pytorch_model.bin) are refused: reading them runs code.
    #[command(after_help = IMPORT)]
    Import(Import),
    /// Writes what a client of a model of texts needs: arch.toml, tokenizer.json and the public tables.
    ///
    /// The client's configuration names the folder (`lexicon = "FOLDER"`). The server's card has a hash of it: with another
    /// one a client is refused before it sends anything.
    Lexicon(Lexicon),
    /// Records the range of every tensor on images or texts and writes calibration.toml beside the weights.
    ///
    /// Before anything is written, private results of four of them are compared with plain ones; more than 5 % of difference
    /// are refused. The weights are written again, as f32, where centred keys, hidden channels or heads in another order make the
    /// model cheaper: that changes no plain result.
    #[command(after_help = examples())]
    Calibrate(Calibrate),
    /// Runs a model's private arithmetic here, in the clear, and holds it against the plain model; or looks at a configuration.
    ///
    /// For the owner, on images or texts that it was not calibrated on: how far private results are from plain ones, and
    /// which tensors leave the room that the calibration gives them. Exit code 1 where one does.
    Check(Check),
    /// Runs a model in the clear, on this processor or a GPU: how fast, how far from what the device allows, how exact.
    ///
    /// What a private inference is compared with. A GPU needs a program built with `--features gpu`, and a driver for
    /// Vulkan.
    #[command(after_help = REFERENCE)]
    Reference(Reference),
    /// Predicts setup, offline, online and total time of a model on a network, and where the time goes.
    #[command(after_help = simulate_help())]
    Simulate(Box<Simulate>),
    /// Measures this machine: seconds of every gate and message, for `sotto simulate --machine`. Half a minute.
    CalibrateMachine(CalibrateMachine),
    /// Trains a model on CIFAR-10, CIFAR-100 or Tiny-ImageNet that all other commands run (starts `sotto-nas`).
    ///
    /// Needs the program `sotto-nas`, which is built apart: cargo build --release --manifest-path nas/Cargo.toml. All
    /// arguments go to it as they are; `sotto train --help` asks it for its options.
    #[command(disable_help_flag = true, after_help = TRAIN)]
    Train {
        /// Options of `sotto-nas train`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Searches the model that is most accurate within a private latency on your network (starts `sotto-nas`).
    ///
    /// Needs the program `sotto-nas`, which is built apart: cargo build --release --manifest-path nas/Cargo.toml. All
    /// arguments go to it as they are; `sotto search --help` asks it for its options. In the end it measures every
    /// model privately with this `sotto`.
    #[command(disable_help_flag = true, after_help = SEARCH)]
    Search {
        /// Options of `sotto-nas search`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
    /// Prints a completion script for a shell.
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
}

/// Examples of `sotto import`.
const IMPORT: &str = "\
Examples:
  sotto import all-MiniLM-L6-v2 --out minilm
  sotto import vit-base-patch16-224 --out vit --json
  sotto import bert-base-uncased --out bert --embedding first";

/// An example of `sotto embed`.
const EMBED: &str = "\
Example:
  sotto embed --config client.toml --text \"a first text\" --text \"a second\"
  sotto embed --config client.toml --file texts.txt --json";

/// Examples of `sotto reference`.
const REFERENCE: &str = "\
Examples:
  sotto reference --device list
  sotto reference vit_cifar --batch 64 --profile
  sotto reference minilm --text sentences.txt --device gpu --precision f16 --json";

/// An example of `sotto train`.
const TRAIN: &str = "\
Example:
  sotto train --data cifar-10-binary.tar.gz --arch vit_7_4_128 --out model
  sotto demo --model model --images cifar-10-binary.tar.gz";

/// An example of `sotto search`.
const SEARCH: &str = "\
Example:
  sotto search --data cifar-10-binary.tar.gz --arch vit_5_4_96 --net lan --net wan --equal --out search";

/// The networks that have names, and examples of `sotto simulate`.
fn simulate_help() -> String {
    let networks = PRESETS.iter().map(|(name, what)| format!("  {name:<16} {what}\n"));
    format!("Networks:\n{}\n{SIMULATE}", networks.collect::<String>())
}

/// Examples of `sotto simulate`.
const SIMULATE: &str = "\
Examples:
  sotto simulate vit_cifar --net wan --svg timeline.svg
  sotto simulate demo --net wan --loss 1% --up 20Mbps --json
  sotto simulate vit_cifar --source peer --net wan     # no dealer: the two make their correlations
  sotto simulate MODEL --net office.toml --machine server.json --client-machine laptop.json

A network file; what is left out is unlimited, lossless and instant:
  name = \"office\"
  [client_server]            # up: from the first named to the other
  rtt = \"30ms\"             # or delay = \"15ms\", one way
  up = \"20Mbps\"
  down = \"100Mbps\"
  jitter = \"2ms\"
  loss = \"0.1%\"
  [client_dealer]            # as client_server where it is left out
  rtt = \"10ms\"
  [server_dealer]
  rate = \"1Gbps\"           # both ways
";

/// An example of `emulate.toml`.
const INIT: &str = "\
Example:
  sotto init try                         # three parties on this machine
  sotto deal --config try/dealer/dealer.toml &
  sotto serve --config try/server/server.toml &
  sotto infer --config try/client/client.toml cat.png --resize

  sotto init hosts --dealer dealer.example.org:7100 --server server.example.org:7101 --client a --client b --model model";

const EMULATE: &str = "\
Each party keeps its configuration; who connects uses the address on which the emulator listens. Example:

    network = \"wan\"                  # a preset (see `sotto demo --help`) or a network file beside this one
    seed = 1                         # losses and jitter follow from it
    [client_server]
    listen = \"127.0.0.1:7101\"        # the server's address in client.toml
    target = \"127.0.0.1:7001\"        # where the server listens
    [client_dealer]
    listen = \"127.0.0.1:7102\"        # the dealer's address in client.toml
    target = \"127.0.0.1:7002\"
    [server_dealer]
    listen = \"127.0.0.1:7103\"        # the dealer's address in server.toml
    target = \"127.0.0.1:7002\"
    [[partition]]                    # as many as you like, or none
    path = \"client_server\"
    after = 10.0                     # seconds
    lasts = 2.0

Ctrl-C ends it.";
