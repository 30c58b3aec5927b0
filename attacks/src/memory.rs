//! Somebody who breaks into the dealer or the server and reads its memory: seeds of used batches must not be there.

use std::{
    collections::HashMap,
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use sotto::messages::{self, Ask, DealerHello, DealerWelcome, Dealt, Epoch, Secret, VERSION, step};
use sotto_models::private::Options;
use sotto_net::{Endpoint, Link, QuicLink};
use sotto_protocols::Role;

use crate::{
    dealer::{Dealer, Ways},
    error::Error,
    peer,
    process::Process,
    report::Found,
    scene::Scene,
};

/// Linux has larger ones, too, and says of them what it says of these.
const PAGE: u64 = 4096;

/// Of the pages that may be written to, those that are there: where each run of them begins, and where it ends.
fn present(proc: &Path) -> Result<Vec<(u64, u64)>, Error> {
    let maps = proc.join("maps");
    let text = fs::read_to_string(&maps).map_err(Error::io(&maps))?;
    let map = proc.join("pagemap");
    let table = File::open(&map).map_err(Error::io(&map))?;
    let number = |text| u64::from_str_radix(text, 16).map_err(Error::scene);
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for line in text.lines().filter(|line| line.contains(" rw")) {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let Some((start, end)) = range else { continue };
        let (start, end) = (number(start)?, number(end)?);
        let mut words = vec![0; ((end - start) / PAGE * 8) as usize];
        table.read_exact_at(&mut words, start / PAGE * 8).map_err(Error::io(&map))?;
        for (word, at) in words.chunks(8).zip((start..end).step_by(PAGE as usize)) {
            // Here or swapped out.
            match runs.last_mut().filter(|run| run.1 == at) {
                _ if word[7] & 0xc0 == 0 => {}
                Some(run) => run.1 += PAGE,
                None => runs.push((at, at + PAGE)),
            }
        }
    }
    Ok(runs)
}

/// How often 32 bytes lie in a process's memory, for each of `needles`; `None` where we may not read it.
fn scan(process: &Process, needles: &[[u8; 32]]) -> Result<Option<Vec<usize>>, Error> {
    let proc = PathBuf::from(format!("/proc/{}", process.pid()));
    let Ok(memory) = File::open(proc.join("mem")) else { return Ok(None) };
    let index: HashMap<&[u8], usize> =
        needles.iter().enumerate().map(|(i, needle)| (&needle[..8], i)).collect();
    // Most of it is passed over by its first two bytes.
    let pair = |bytes: &[u8]| usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    let mut begins = vec![false; 1 << 16];
    needles.iter().for_each(|needle| begins[pair(needle)] = true);
    let mut found = vec![0; needles.len()];
    for (start, end) in present(&proc)? {
        let mut bytes = vec![0; (end - start) as usize];
        // What it has freed meanwhile is not read.
        if memory.read_exact_at(&mut bytes, start).is_err() {
            continue;
        }
        for window in bytes.windows(32).filter(|window| begins[pair(window)]) {
            let Some(&k) = index.get(&window[..8]) else { continue };
            found[k] += usize::from(window == needles[k]);
        }
    }
    Ok(Some(found))
}

/// A link on which the stock dealer gives batches.
fn batches(
    endpoint: &Endpoint,
    dealer: &Process,
    server: Option<&str>,
    (plan, epoch): ([u8; 32], Epoch),
) -> Result<QuicLink, Error> {
    let mut link = peer::connect(endpoint, "dealer", dealer)?;
    let server = server.map(str::to_owned);
    let hello = DealerHello::Batches { version: VERSION, server, plan, epoch };
    messages::send(&mut link, step::HELLO, &hello)?;
    match messages::recv(&mut link, step::WELCOME)? {
        DealerWelcome::Ready => Ok(link),
        _ => Err(Error::scene("the dealer gives no batches")),
    }
}

/// Both parts of a batch, from the stock dealer.
fn taken(server: &mut QuicLink, client: &mut QuicLink) -> Result<[[u8; 32]; 2], Error> {
    let pad = Secret::random().map_err(sotto::error::Error::from)?;
    messages::send(server, step::REQUEST, &Ask::New { pad: Some(pad.clone()) })?;
    let (id, ticket, ours) = match messages::recv(server, step::REPLY)? {
        Dealt::Batch { id, ticket, seed: Some(seed), corrections, .. } => {
            messages::recv_bytes(server, step::CORRECTIONS, corrections as usize, &|_, _| Ok(()))?;
            (id, ticket, seed.under(&pad))
        }
        _ => return Err(Error::scene("the dealer gives no batch")),
    };
    messages::send(client, step::REQUEST, &Ask::Claim { id, ticket, pad: pad.clone() })?;
    match messages::recv(client, step::REPLY)? {
        Dealt::Batch { seed: Some(theirs), .. } => {
            Ok([*ours.0.expose(), *theirs.under(&pad).0.expose()])
        }
        _ => Err(Error::scene("the dealer gives the client no part")),
    }
}

/// Seeds that the dealer has given to both sides.
pub fn dealer(scene: &Scene, count: usize) -> Result<Found, Error> {
    let tried = format!("the dealer's memory after {count} batches that both sides have");
    let dealer = scene.dealer()?;
    let card = scene.model.card(1, Options::default());
    let plan = card.trace(None)?.plan.hash();
    let server = scene.endpoint("server", &["dealer"], &[])?;
    let client = scene.endpoint("client", &["dealer"], &[])?;
    let mut link = peer::connect(&server, "dealer", &dealer)?;
    let hello =
        DealerHello::Server { version: VERSION, card, length: None, plan, commitment: [1; 32] };
    messages::send(&mut link, step::HELLO, &hello)?;
    let epoch = match messages::recv(&mut link, step::WELCOME)? {
        DealerWelcome::Setup { epoch, .. } => epoch,
        _ => return Err(Error::scene("the dealer takes no announcement")),
    };
    drop(link.finish());
    let mut at_server = batches(&server, &dealer, None, (plan, epoch))?;
    let mut at_client = batches(&client, &dealer, Some("server"), (plan, epoch))?;
    let mut seeds = Vec::new();
    for _ in 0..count {
        seeds.extend(taken(&mut at_server, &mut at_client)?);
    }
    // One that is open: its seeds are there, and show that the search finds what there is.
    messages::send(&mut at_server, step::REQUEST, &Ask::New { pad: None })?;
    let open = match messages::recv(&mut at_server, step::REPLY)? {
        Dealt::Batch { id, corrections, .. } => {
            let count = corrections as usize;
            messages::recv_bytes(&mut at_server, step::CORRECTIONS, count, &|_, _| Ok(()))?;
            id
        }
        _ => return Err(Error::scene("the dealer gives no batch")),
    };
    // The last packets are acknowledged.
    thread::sleep(Duration::from_millis(300));
    let found = scan(&dealer, &seeds)?;
    let pad = Secret::random().map_err(sotto::error::Error::from)?;
    messages::send(&mut at_server, step::REQUEST, &Ask::Seed { id: open, pad: pad.clone() })?;
    let there = match messages::recv(&mut at_server, step::REPLY)? {
        Dealt::Seed(seed) => scan(&dealer, &[*seed.under(&pad).0.expose()])?,
        _ => return Err(Error::scene("the dealer gives no seed")),
    };
    verdict(tried, found, there)
}

/// Seeds of batches that the server has used: its own.
pub fn server(scene: &Scene, count: usize) -> Result<Found, Error> {
    let tried = format!("the server's memory after {count} batches were used");
    let ways = Ways { epoch: [1; 16], next: 1, corrected: Role::Server, lies: false };
    let dealer = Dealer::start(scene, ways)?;
    // One waits with its seed, beside one that is staged: it shows that the search finds what there is.
    let server = scene.server(["pool = 2\n", ""], dealer.address, None)?;
    let config = scene.client_config("client", [server.address, dealer.address])?;
    if scene.classes(&config, count)?.len() != count {
        return Err(Error::scene("an honest client fails"));
    }
    server.says("has finished", 1)?;
    let used = server.batches();
    server.says("from the dealer", used.len() + 2)?;
    thread::sleep(Duration::from_millis(300));
    let found = scan(&server, &dealer.seeds(&used))?;
    let waits: Vec<u64> = dealer.dealt().filter(|id| !used.contains(id)).collect();
    let there = scan(&server, &dealer.seeds(&waits))?;
    verdict(tried, found, there)
}

fn verdict(
    tried: String,
    found: Option<Vec<usize>>,
    there: Option<Vec<usize>>,
) -> Result<Found, Error> {
    let (Some(found), Some(there)) = (found, there) else {
        return Ok(Found::new(true, tried, "the system lets nobody of this user read it"));
    };
    if there.iter().all(|n| *n == 0) {
        return Err(Error::scene("a seed that must be there was not found"));
    }
    let lost = found.iter().filter(|n| **n > 0).count();
    let got =
        format!("{lost} of {} seeds found, in {} places", found.len(), found.iter().sum::<usize>());
    Ok(Found::new(lost == 0, tried, got))
}
