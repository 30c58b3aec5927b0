//! Keys used outside of their role: the dealer as a client (C1), a server that dials its client (M6), one key under two
//! names (M9).

use std::{fs, net::SocketAddr, time::Duration};

use sotto::messages::{self, DealerHello, DealerWelcome, Secret, step};
use sotto_crypto::Seed;
use sotto_net::{Endpoint, Link};
use sotto_protocols::weights::{SetupMasks, Weights};

use crate::{
    error::Error,
    peer::{self, WAIT},
    report::Found,
    scene::Scene,
};

/// C1: the dealer gives the server the seed of `B`, then dials it as a client for `W - B`.
pub fn rogue_dealer(scene: &Scene) -> Result<Found, Error> {
    let tried = "be its dealer, dial it with the dealer's key, add B to W - B; the stock client with that key";
    let rogue = scene.endpoint("dealer", &["server"], &["server"])?;
    let server = scene.server(["", ""], rogue.local_addr(), None)?;
    let mut link = rogue.accept(WAIT)?;
    let DealerHello::Server { card, .. } = messages::recv(&mut link, step::HELLO)? else {
        return Err(Error::scene("the server asks for batches before it announces its model"));
    };
    let plan = card.trace(None)?.plan;
    let seed = [7; 32];
    let setup = DealerWelcome::Setup {
        epoch: [1; 16],
        masks: [1; 16],
        seed: Secret(sotto_crypto::Seed::from_bytes(seed)),
    };
    messages::send(&mut link, step::WELCOME, &setup)?;
    server.says("set up with the dealer", 1)?;
    let refused = match rogue.connect(server.address, "server", Duration::from_secs(5)) {
        Err(sotto_net::Error::Identity { why, .. }) => why,
        Err(e) => return Ok(Found::broken(tried, format!("it is not refused for its role: {e}"))),
        Ok(mut link) => {
            let masks = SetupMasks::expand(&plan, &Seed::from_bytes(seed));
            let got = match peer::greet(&mut link) {
                Ok(greeted) => recovered(scene, &greeted, &masks),
                Err(e) => format!("a link; then {e}"),
            };
            return Ok(Found::broken(tried, got));
        }
    };
    let config = scene.client_config("client", [server.address, rogue.local_addr()])?;
    let text = fs::read_to_string(&config).map_err(Error::io(&config))?;
    let swapped = text.replacen("name = \"client\"", "name = \"dealer\"", 1).replace(
        "[dealer]\nname = \"dealer\"\ncertificate = \"dealer.cert\"",
        "[dealer]\nname = \"client\"\ncertificate = \"client.cert\"",
    );
    let done = scene.infer(&scene.write("client.toml", swapped)?, 1)?;
    let held = done.code == 4 && done.err.contains("refused our certificate");
    Ok(Found::new(held, tried, format!("TLS: {refused}; stock client: exit code {}", done.code)))
}

/// How many of the model's weights `W^ + B` gives.
fn recovered(scene: &Scene, greeted: &peer::Greeted, masks: &SetupMasks) -> String {
    let Weights::Masked(masked) = &*greeted.weights else { return "no masked weights".into() };
    let matrices = greeted.private.matrices(&scene.model.weights);
    let specs = &greeted.private.plan.weights;
    let (mut all, mut right) = (0, 0);
    for (i, (spec, matrix)) in specs.iter().zip(&matrices).enumerate() {
        let words = masked.matrix(i).to_words();
        let (masks, entries) = (masks.mask(i).to_words(), matrix.entries().to_words());
        let m = sotto_ring::mask(spec.width);
        let sums = words.iter().zip(&masks).map(|(w, b)| w.wrapping_add(*b) & m);
        right += sums.zip(&entries).filter(|(sum, w)| *sum == **w & m).count();
        all += words.len();
    }
    format!("{right} of {all} fixed-point weights")
}

/// M6: a server knows its clients' addresses and dials them back.
pub fn dial_back(scene: &Scene) -> Result<Found, Error> {
    let tried =
        "a server and a dealer dial the client back, 3 times each, at the address of its link";
    let rogue = scene.endpoint("server", &[], &["client"])?;
    let dealer = scene.dealer()?;
    let config = scene.client_config("client", [rogue.local_addr(), dealer.address])?;
    let (reached, done) = std::thread::scope(|scope| -> Result<_, Error> {
        let client = scope.spawn(|| scene.infer(&config, 1));
        let link = rogue.accept(WAIT)?;
        let shown = link.peer().trim_end_matches(')').rsplit('(').next();
        let at: SocketAddr = shown
            .and_then(|at| at.parse().ok())
            .ok_or_else(|| Error::Scene(format!("`{}` has no address", link.peer())))?;
        let mut reached = Vec::new();
        for who in ["server", "dealer"] {
            let endpoint = scene.endpoint(who, &["client"], &[])?;
            reached.extend((0..3).filter_map(|_| knock(&endpoint, at)));
        }
        drop(link);
        let done = client.join().map_err(|_| Error::scene("a thread of ours panicked"))??;
        Ok((reached, done))
    })?;
    let held = reached.is_empty() && done.code == 4;
    let got = match reached.first() {
        None => "nobody answers there, it does not listen".to_owned(),
        Some(what) => what.clone(),
    };
    Ok(Found::new(held, tried, got))
}

/// What answers at an address, if anything does.
fn knock(endpoint: &Endpoint, at: SocketAddr) -> Option<String> {
    match endpoint.connect(at, "client", Duration::from_millis(300)) {
        Err(sotto_net::Error::Link { .. }) => None,
        Err(e) => Some(format!("it answers: {e}")),
        Ok(_) => Some("a link".into()),
    }
}

/// M9: who has one key under two names plays two parties.
pub fn two_names(scene: &Scene) -> Result<Found, Error> {
    let tried = "one certificate for server and dealer, for two clients, for a client and the dealer; the name `../x`";
    let nobody = sotto::processes::LOCAL;
    let config = scene.client_config("client", [nobody, nobody])?;
    let client = fs::read_to_string(&config).map_err(Error::io(&config))?;
    let config = scene.server_config(["", ""], nobody, None)?;
    let server = fs::read_to_string(&config).map_err(Error::io(&config))?;
    let mut codes = Vec::new();
    for (from, to) in [("dealer.cert", "server.cert"), ("\"server\"", "\"../server\"")] {
        let config = scene.write("client.toml", client.replace(from, to))?;
        codes.push(scene.infer(&config, 1)?.code);
    }
    for to in ["client.cert", "dealer.cert"] {
        let config = scene.write("server.toml", server.replace("second.cert", to))?;
        codes.push(scene.serve(&config)?.code);
    }
    let held = codes.iter().all(|code| *code == 2);
    Ok(Found::new(held, tried, format!("refused as configuration: exit codes {codes:?}")))
}
