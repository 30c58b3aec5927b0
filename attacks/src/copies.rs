//! Batches that should be used twice or wrongly: a restored folder and a replica (H1), another identity and damaged
//! files (M2).

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use sotto::messages::{self, Request, step};
use sotto_net::Link;

use crate::{error::Error, peer, process::wait_for, report::Found, scene::Scene};

/// Batches that wait on disk, beside one that is staged.
const LINES: [&str; 2] = ["pool = 3\npool_folder = \"pool\"\n", ""];
const ON_DISK: usize = 2;

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(all) = fs::read_dir(folder) else { return Vec::new() };
    let paths = all.flatten().map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|e| e == "batch")).collect()
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    drop(fs::remove_dir_all(to));
    fs::create_dir_all(to).map_err(Error::io(to))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).map_err(Error::io(to))?;
    for entry in fs::read_dir(from).map_err(Error::io(from))?.flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).map_err(Error::io(to))?;
    }
    Ok(())
}

fn full(folder: &Path) -> Result<(), Error> {
    wait_for("a full pool", || (files(folder).len() == ON_DISK).then_some(()))
}

/// H1: the server's pool folder is restored from a backup after its batches were used.
pub fn restored(scene: &Scene) -> Result<Found, Error> {
    let tried = "crash, back the pool up, use it, restore it, infer again";
    let dealer = scene.dealer()?;
    let mut first = scene.server(LINES, dealer.address, None)?;
    let (pool, backup, at) = (scene.path("pool"), scene.path("backup"), first.address);
    full(&pool)?;
    first.kill();
    copy(&pool, &backup)?;
    let config = scene.client_config("client", [at, dealer.address])?;
    let mut used = Vec::new();
    let mut classes = Vec::new();
    for round in 0..2 {
        if round == 1 {
            copy(&backup, &pool)?;
        }
        let mut server = scene.server(LINES, dealer.address, Some(at))?;
        classes.push(scene.classes(&config, 4)?);
        server.says("has finished", 1)?;
        used.extend(server.batches());
        if round == 1 {
            server.says("used elsewhere", ON_DISK)?;
        }
        server.kill();
    }
    Ok(once(tried, used, classes[0] == classes[1]))
}

/// H1: a second server process runs on a copy of the folder.
pub fn replica(scene: &Scene) -> Result<Found, Error> {
    let tried = "a second server process with a copy of the pool, both serve at once";
    let dealer = scene.dealer()?;
    let first = scene.server(LINES, dealer.address, None)?;
    full(&scene.path("pool"))?;
    copy(&scene.path("pool"), &scene.path("replica"))?;
    let lines = LINES.map(|line| line.replace("\"pool\"", "\"replica\""));
    let second = scene.server([&lines[0], ""], dealer.address, None)?;
    let mut classes = Vec::new();
    for (name, server) in [("client", &first), ("second", &second)] {
        let config = scene.client_config(name, [server.address, dealer.address])?;
        classes.push(scene.classes(&config, 4)?);
        server.says("has finished", 1)?;
    }
    let used = [first.batches(), second.batches()].concat();
    Ok(once(tried, used, classes[0] == classes[1]))
}

/// Whether batches were used once each, and as many as were asked for.
fn once(tried: &str, mut used: Vec<u64>, same: bool) -> Found {
    let all = used.len();
    used.sort_unstable();
    used.dedup();
    let classes = if same { "the classes agree" } else { "the classes DIFFER" };
    let got = format!("{all} evaluations under {} batches, {classes}", used.len());
    Found::new(all == 8 && used.len() == all && same, tried, got)
}

/// M2: another server's folder, damaged files, another deal than the peer's.
pub fn mixed(scene: &Scene) -> Result<Found, Error> {
    let tried = "one bit of each file on disk; the folder under another name; another tag than the server's";
    let dealer = scene.dealer()?;
    let mut first = scene.server(LINES, dealer.address, None)?;
    let at = first.address;
    let config = scene.client_config("client", [at, dealer.address])?;
    let expected = scene.classes(&config, 3)?;
    first.says("has finished", 1)?;
    full(&scene.path("pool"))?;
    first.kill();
    for (i, path) in files(&scene.path("pool")).iter().enumerate() {
        let mut bytes = fs::read(path).map_err(Error::io(path))?;
        let at = if i == 0 { 60 } else { bytes.len() - 1 };
        bytes[at] ^= 0x10;
        fs::write(path, bytes).map_err(Error::io(path))?;
    }
    let mut second = scene.server(LINES, dealer.address, Some(at))?;
    let right = scene.classes(&config, 3)? == expected;
    second.says("is damaged", ON_DISK)?;

    let attacker = scene.endpoint("client", &["server"], &[])?;
    let mut link = peer::connect(&attacker, "server", &second)?;
    peer::greet(&mut link)?;
    let prepared = peer::prepare(&mut link, 0)?.map_err(Error::scene)?;
    let mut tag = prepared.tag;
    tag[3] ^= 1;
    messages::send(&mut link, step::REQUEST, &Request::Infer { id: prepared.id, tag })?;
    let dropped = matches!(link.recv_upto(0, 1 << 28), Err(sotto_net::Error::Link { .. }));
    second.kill();

    let written = scene.server_config(LINES, dealer.address, None)?;
    let text = fs::read_to_string(&written).map_err(Error::io(&written))?;
    let swapped = text
        .replace("\"server\"", "\"x\"")
        .replace("\"second\"", "\"server\"")
        .replace("\"x\"", "\"second\"")
        .replace("second.cert", "server.cert");
    let other = scene.serve(&scene.write("server.toml", swapped)?)?;
    let refused = other.code == 2 && other.err.contains("not of `second`");
    let say = |held: bool| if held { "yes" } else { "NO" };
    let got = format!(
        "damaged files burnt and classes right: {}; other name refused: {}; other tag dropped before an opening: {}",
        say(right),
        say(refused),
        say(dropped)
    );
    Ok(Found::new(right && dropped && refused, tried, got))
}
