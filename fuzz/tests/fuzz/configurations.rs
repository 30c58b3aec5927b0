//! Configurations of the parties and of the emulator, networks, and machine profiles.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use sotto::{
    config::{ClientConfig, DealerConfig, ServerConfig},
    emulate::EmulateConfig,
};
use sotto_netsim::{Machine, Network};

use super::{
    input::{Input, fuzz},
    models::SMALL,
};

const OWN: &str = "[own]\nname = \"server\"\nkeys = \".\"\nlisten = \"127.0.0.1:7100\"\nnetwork = \"wan\"\ndeadline = 30\n";
const DEALER: &str = "[dealer]\nname = \"dealer\"\ncertificate = \"dealer.cert\"\naddress = \"dealer.example:7100\"\n";
const CLIENT: &str = "[[clients]]\nname = \"client\"\ncertificate = \"client.cert\"\n";

/// A valid text, and what reads it.
fn valid<T: DeserializeOwned>(text: &str) -> [Vec<u8>; 1] {
    let read = toml::from_str::<T>(text);
    assert!(read.is_ok(), "{:?}", read.err());
    [text.as_bytes().to_vec()]
}

fn read<T: DeserializeOwned>(input: &Input, valid: &[Vec<u8>]) -> Option<T> {
    toml::from_str(&input.text(valid)).ok()
}

#[test]
fn server() {
    let one = valid::<ServerConfig>(&format!(
        "model = \"demo\"\nbatch = 2\nreveal = \"class\"\npool = 2\naudit = 0.1\npool_folder = \"pool\"\nmemory = 512\n\
         usage_file = \"usage.json\"\n{OWN}{DEALER}{CLIENT}quota = 100\nrate = 6\n"
    ));
    let several = valid::<ServerConfig>(&format!(
        "pool_folder = \"pool\"\n[[models]]\nname = \"a\"\nmodel = \"demo\"\nbatch = 2\n[[models]]\nmodel = \"b/c\"\n\
         reveal = \"class\"\npool = 3\n{OWN}{DEALER}{CLIENT}models = [\"a\"]\n"
    ));
    let valid = [one, several].concat();
    fuzz!(|input: &Input| {
        if let Some(read) = read::<ServerConfig>(input, &valid) {
            let offers = read.offers().unwrap_or_default();
            for offer in &offers {
                // A folder for each, inside of the one that is named.
                let folder = offer.pool_folder.as_ref().map(|place| place.folder());
                let inside = |folder: PathBuf| {
                    read.pool_folder.as_ref().is_some_and(|all| folder.starts_with(all))
                };
                assert!(folder.is_none_or(inside), "{offer:?}");
                drop(read.places(&SMALL.private.plan, offers.len(), offer.pool));
            }
            drop((read.usage_file(), read.audit(), read.clone().take(read.clone())));
        }
    });
}

#[test]
fn dealer() {
    let servers = CLIENT.replace("client", "server");
    let valid = valid::<DealerConfig>(&format!("corrections = \"client\"\n{OWN}{servers}{CLIENT}"));
    fuzz!(|input: &Input| drop(read::<DealerConfig>(input, &valid)));
}

#[test]
fn client() {
    let server = DEALER.replace("dealer", "server");
    let valid = valid::<ClientConfig>(&format!("model = \"00\"\npool = 2\n{OWN}{DEALER}{server}"));
    fuzz!(|input: &Input| drop(read::<ClientConfig>(input, &valid)));
}

#[test]
fn emulator() {
    let valid = valid::<EmulateConfig>(
        "network = \"wan\"\n[client_server]\nlisten = \"127.0.0.1:7000\"\ntarget = \"127.0.0.1:7100\"\n\
         [[partition]]\npath = \"client_server\"\nafter = 1.0\nlasts = 2.0\n",
    );
    fuzz!(|input: &Input| drop(read::<EmulateConfig>(input, &valid)));
}

#[test]
fn network() {
    let valid = [b"name = \"office\"\n[client_server]\nrtt = \"30ms\"\nup = \"20Mbps\"\ndown = \"100Mbps\"\njitter = \"2ms\"\n\
        loss = \"0.1%\"\nreorder = \"0.1%\"\nqueue = \"1MB\"\nmtu = 1500\n[server_dealer]\nrate = \"1Gbps\"\n"
        .to_vec()];
    fuzz!(|input: &Input| {
        let Ok(read) = Network::from_toml(&input.text(&valid)) else { return };
        for direction in [&read.client_server.up, &read.client_server.down] {
            assert!(direction.delay >= 0.0 && direction.rate > 0.0);
            assert!((0.0..=1.0).contains(&direction.loss) && direction.mtu >= 1280);
        }
    });
}

#[test]
fn machine() {
    let valid = [Machine::reference().to_json().into_bytes()];
    fuzz!(|input: &Input| {
        if let Ok(read) = Machine::from_json(&input.text(&valid)) {
            assert!(read.cores > 0);
        }
    });
}
