//! What one pinned client may take: memory by idle links (H4), disk by requests (H5), memory by fins (M1).

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use sotto::{
    config::Source,
    messages::{self, AHEAD, ClientHello, Request, step},
    refusal::Refusal,
};
use sotto_models::private::Options;
use sotto_net::{Link, Profile};
use sotto_protocols::Role;

use crate::{error::Error, peer, process::wait_for, raw, report::Found, scene::Scene};

/// More than any client needs.
const LINKS: usize = 40;
/// Memory that one link may cost the server, whatever it does, in MiB.
const PER_LINK: u64 = 10;

/// H4: idle links, links that do not read, links that take all the batches that they are given.
pub fn links(scene: &Scene) -> Result<Found, Error> {
    let memory = 256;
    let tried =
        format!("{LINKS} links of one client, idle and not reading; then each asks for 50 batches");
    let dealer = scene.dealer()?;
    let mut server =
        scene.server([&format!("memory = {memory}\npool = 1\n"), ""], dealer.address, None)?;
    server.says("from the dealer", 1)?;
    let before = server.taken()?;
    let attacker = scene.endpoint("client", &["server"], &[])?;
    let mut open = Vec::new();
    for i in 0..LINKS {
        let Ok(mut link) = peer::connect(&attacker, "server", &server) else { break };
        // Every second one takes nothing of what it asked for.
        match i % 2 {
            0 => drop(peer::greet(&mut link)?),
            _ => {
                let hello = ClientHello::new(Source::Dealer);
                messages::send(&mut link, step::HELLO, &hello)?;
            }
        }
        open.push(link);
    }
    let idle = server.taken()?;
    let (mut batches, mut refused) = (0, 0);
    for link in open.iter_mut().step_by(2) {
        match peer::prepare(link, 50)? {
            Ok(prepared) => batches += prepared.assigned.len(),
            Err(_) => refused += 1,
        }
        // One refusal costs the patience of a deadline.
        if refused == 2 {
            break;
        }
    }
    let full = server.taken()?;
    let admitted = open.len() as u64;
    drop(open);
    let held = admitted < LINKS as u64
        && idle.mib.saturating_sub(before.mib) <= admitted * PER_LINK
        && full.mib.saturating_sub(before.mib) <= memory + admitted * PER_LINK
        && full.threads <= before.threads + 2 * admitted;
    let got = format!(
        "{admitted} links; server {} MiB and {} threads, {} and {} with them, {} and {} with {batches} batches taken \
         (`memory = {memory}`)",
        before.mib, before.threads, idle.mib, idle.threads, full.mib, full.threads
    );
    Ok(Found::new(held, tried, got))
}

/// H5: requests that nothing comes of, on one link and on many.
pub fn requests(scene: &Scene) -> Result<Found, Error> {
    let tried = "20 Prepare with 50 more ahead on one link, then 60 links that Prepare and leave";
    let dealer = scene.dealer()?;
    let server = scene.server(["pool = 3\npool_folder = \"pool\"\n", ""], dealer.address, None)?;
    let disk = || -> (usize, u64) {
        let all = fs::read_dir(scene.path("pool")).into_iter().flatten().flatten();
        let sizes = all.filter_map(|entry| entry.metadata().ok()).map(|file| file.len());
        sizes.filter(|len| *len > 100).fold((0, 0), |(n, sum), len| (n + 1, sum + len))
    };
    let dealt = || server.text().matches("from the dealer").count();
    wait_for("a full pool", || (dealt() >= 3).then_some(()))?;
    let before = disk();
    let attacker = scene.endpoint("client", &["server"], &[])?;
    let mut most = before;
    let mut link = peer::connect(&attacker, "server", &server)?;
    peer::greet(&mut link)?;
    let mut taken = 0;
    for _ in 0..20 {
        match peer::prepare(&mut link, 50)? {
            Ok(prepared) => taken += prepared.assigned.len(),
            // It holds as many as it may.
            Err(Refusal::Busy(_)) => break,
            Err(why) => return Err(Error::scene(why)),
        }
        most = most.max(disk());
    }
    drop(link);
    let mut turned_away = None;
    for i in 0..60 {
        let mut link = peer::connect(&attacker, "server", &server)?;
        peer::greet(&mut link)?;
        match peer::prepare(&mut link, 0)? {
            Ok(prepared) => taken += prepared.assigned.len(),
            Err(why @ Refusal::Rate(_)) => {
                turned_away = Some((i, why.to_string()));
                break;
            }
            Err(_) => {}
        }
        most = most.max(disk());
    }
    let honest = scene.client_config("second", [server.address, dealer.address])?;
    let served = scene.classes(&honest, 1)?.len() == 1;
    let after = disk();
    let held = most.0 <= before.0 + 2 && after.0 <= before.0 + 2 && turned_away.is_some() && served;
    let mib = |(files, bytes): (usize, u64)| format!("{files} files, {} MiB", bytes >> 20);
    let away = match &turned_away {
        Some((i, why)) => format!("link {i} is told `{why}`"),
        None => "never turned away".into(),
    };
    let got = format!(
        "{taken} batches; disk {}, at most {}, after it {}; {away}; others are served: {served}",
        mib(before),
        mib(most),
        mib(after)
    );
    Ok(Found::new(held, tried, got))
}

/// A5: a client that sends its part of an evaluation and reads nothing of the server's.
pub fn unread(scene: &Scene) -> Result<Found, Error> {
    // Whatever the others attack: the tiny model's messages are too small.
    let scene = &scene.demo()?;
    // More than may wait and be in flight.
    let sized = |batch: &usize| {
        let traced = scene.model.card(*batch, Options::default()).trace(None);
        traced.is_ok_and(|private| private.plan.online().from_server > 3 * AHEAD)
    };
    let batch = [1, 4, 16, 64].into_iter().find(sized);
    let batch = batch.ok_or_else(|| Error::scene("no evaluation is large enough"))?;
    let tried = format!("an evaluation of {batch} pictures of which the client reads nothing");
    let dealer = scene.dealer()?;
    let lines = format!("batch = {batch}\npool = 1\nmemory = 8192\n");
    let mut server = scene.server([&lines, ""], dealer.address, None)?;
    let mut profile = Profile::loopback();
    (profile.receive_window, profile.prefetch) = (64 << 10, 0);
    let attacker = scene.endpoint_with("client", &["server"], &[], profile)?;
    let mut link = peer::connect(&attacker, "server", &server)?;
    let plan = peer::greet(&mut link)?.private.plan;
    let prepared = peer::prepare(&mut link, 0)?.map_err(Error::scene)?;
    let before = server.taken()?.mib;
    let infer = Request::Infer { id: prepared.id, tag: prepared.tag };
    messages::send(&mut link, step::REQUEST, &infer)?;
    link.set_deadline(Duration::from_millis(1500));
    for level in 0..plan.levels.len() {
        let payload = vec![0; plan.level_bytes(level, Role::Client)];
        // The server stops taking it, too.
        if !payload.is_empty()
            && (link.room(AHEAD).is_err() || link.send(level as u32, payload).is_err())
        {
            break;
        }
    }
    // It has nothing to wait for but the client.
    thread::sleep(Duration::from_secs(1));
    let (went_on, after) = (server.text().contains(" flights"), server.taken()?.mib);
    let got = format!(
        "of {} MiB, the server {}; it has {before} MiB before, {after} after",
        plan.online().from_server >> 20,
        if went_on { "queued all" } else { "waits to send the rest" }
    );
    Ok(Found::new(!went_on, tried, got))
}

/// M1: fins, of which each was answered.
pub fn fins(scene: &Scene, most: usize) -> Result<Found, Error> {
    let tried = format!("{most} fin frames to the dealer, nothing read");
    let mut dealer = scene.dealer()?;
    let before = dealer.taken()?;
    let (sent, why) = raw::flood_of_fins(scene, "client", dealer.address, most)?;
    let after = dealer.taken()?;
    let grown = after.mib.saturating_sub(before.mib);
    let held = why.is_some() && grown <= 2 * PER_LINK;
    let ended = why.unwrap_or_else(|| "it is still there".into());
    let got = format!(
        "link ended after at most {sent}: {ended}; dealer {} to {} MiB",
        before.mib, after.mib
    );
    Ok(Found::new(held, tried, got))
}

/// P2: a client that comes again at once, a thousand times, and asks for what a link costs: a greeting with all masked weights, or half
/// of them; another is served meanwhile.
pub fn again(scene: &Scene, times: usize) -> Result<Found, Error> {
    let tried = format!(
        "{times} links one after the other, each greeted and dropped; one honest client meanwhile"
    );
    let dealer = scene.dealer()?;
    let mut server = scene.server(["", ""], dealer.address, None)?;
    let honest = scene.client_config("second", [server.address, dealer.address])?;
    scene.classes(&honest, 1)?;
    let before = server.taken()?;
    let attacker = scene.endpoint("client", &["server"], &[])?;
    let (start, mut longest) = (Instant::now(), Duration::ZERO);
    let mut served = 0;
    for i in 0..times {
        let mut link = peer::connect(&attacker, "server", &server)?;
        match i % 3 {
            0 => drop(peer::greet(&mut link)?),
            1 => messages::send(&mut link, step::HELLO, &ClientHello::new(Source::Dealer))?,
            _ => {}
        }
        drop(link);
        if i % (times / 4).max(1) == 0 {
            let asked = Instant::now();
            served += scene.classes(&honest, 1)?.len();
            longest = longest.max(asked.elapsed());
        }
    }
    let took = start.elapsed();
    let settled = || server.taken().ok().filter(|now| now.threads <= before.threads + 2);
    let after = wait_for("the end of its threads", settled)?;
    let held = served >= 4 && after.mib <= before.mib + 64;
    let got = format!(
        "in {took:.1?}; the server takes {} MiB before, {} after; the honest client is served {served} times, within {longest:.1?}",
        before.mib, after.mib
    );
    Ok(Found::new(held, tried, got))
}
