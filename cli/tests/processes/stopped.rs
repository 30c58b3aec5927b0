//! Parties that are stopped, or killed and started again: what they leave behind, and how soon the others go on.

use std::{fs, path::Path, process::Command, time::Instant};

use sotto::client::{Client, Config};
use sotto_models::images::{Fit, load};

use crate::{
    emulated::{Deployed, NEVER, distant},
    parties::{Parties, program, queries, wait_until},
    spawned::{Outcome, Process},
};

/// Seconds after which a silent peer is given up: nobody may need them.
const DEADLINE: u64 = 24;

const SIGNALS: [&str; 3] = ["TERM", "INT", "HUP"];

/// Setup, offline, online: a path, and the bytes from and to its first party after which the phase has begun.
const PHASES: [(&str, [u64; 2]); 3] = [
    ("client_server", [NEVER, 10_000]),
    ("server_dealer", [NEVER, 20_000]),
    ("client_server", [40_000, NEVER]),
];

/// A client that outlived a restart: no result is missing, and nothing was noticed by silence.
fn went_on(done: &Outcome, since: Instant) {
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.out.lines().count(), 1 + 2, "{}", done.err);
    for silence in ["fell silent", "it hangs", "nobody answers"] {
        assert!(!done.err.contains(silence), "{silence}: {}", done.err);
    }
    assert!(since.elapsed().as_secs() < DEADLINE / 2, "it stood still: {}", done.err);
}

#[test]
fn every_signal_ends_a_party_with_a_reason() {
    let parties = Parties::new();
    for signal in SIGNALS {
        let (dealer_process, dealer) = parties.dealer("", None);
        let (server_process, server) = parties.server("", dealer, None);
        let config = parties.client_config("client", "", [server, dealer]);
        let mut client = parties.connect(&config);
        server_process.log.wait_for("ready", 2);
        dealer_process.signal(signal);
        assert_eq!(dealer_process.finish().code, 0);
        server_process.signal(signal);
        let stopped = server_process.finish();
        assert_eq!(stopped.code, 0, "{}", stopped.err);
        let images = load(&parties.path("images.bin"), &client.private().model, Fit::Exact, 1);
        let told = client.answer(&queries(images.unwrap())).unwrap_err().to_string();
        assert!(told.contains("it is being stopped"), "{told}");
    }
}

/// Ends a process by a signal; who is asked to has begun to stop.
fn end(process: &Process, signal: &str) {
    process.signal(signal);
    if signal == "TERM" {
        process.log.wait_for("asked to stop", 1);
    }
}

#[test]
fn a_server_that_is_back_at_once_is_found_at_once() {
    for phase in PHASES {
        for signal in ["TERM", "KILL"] {
            let deployed = Deployed::new(distant(2.5e6), DEADLINE);
            let client = deployed.client_until(phase, 2);
            end(&deployed.server, signal);
            deployed.mend();
            let Deployed { parties, server, servers_dealer, server_at, .. } = &deployed;
            server.wait_for_end();
            let (_again, _) = parties.server("pool = 0\n", *servers_dealer, Some(*server_at));
            let since = Instant::now();
            went_on(&client.finish(), since);
        }
    }
}

#[test]
fn a_dealer_that_is_back_at_once_is_found_at_once() {
    for phase in PHASES {
        for signal in ["TERM", "KILL"] {
            let deployed = Deployed::new(distant(2.5e6), DEADLINE);
            let client = deployed.client_until(phase, 2);
            end(&deployed.dealer, signal);
            deployed.mend();
            deployed.dealer.wait_for_end();
            let (_again, _) = deployed.parties.dealer("", Some(deployed.dealer_at));
            let since = Instant::now();
            went_on(&client.finish(), since);
        }
    }
}

#[test]
fn an_idle_client_finds_a_server_that_was_killed_meanwhile() {
    let mut parties = Parties::new();
    parties.deadline = DEADLINE;
    let (_dealer, dealer) = parties.dealer("", None);
    let (mut first, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let mut client = Client::connect(Config::load(Path::new(&config)).unwrap(), None).unwrap();
    let model = &client.private().unwrap().model;
    let pictures = queries(load(&parties.path("images.bin"), model, Fit::Exact, 2).unwrap());
    client.expect(1);
    client.answer(&pictures[..1]).unwrap();
    client.expect(0);
    first.kill();
    let (_second, _) = parties.server("", dealer, Some(server));
    let since = Instant::now();
    client.answer(&pictures[1..]).unwrap();
    assert!(since.elapsed().as_secs() < DEADLINE / 2, "it waited for a dead server");
    client.leave();
}

#[test]
fn what_runs_finishes_and_a_second_signal_ends_at_once() {
    let deployed = Deployed::new(distant(2.5e6), DEADLINE);
    let client = deployed.client_until(PHASES[2], 1);
    deployed.server.signal("TERM");
    deployed.server.log.wait_for("asked to stop", 1);
    deployed.mend();
    let done = client.finish();
    assert_eq!(done.code, 0, "its only picture was under way: {}", done.err);
    let Deployed { parties, server, servers_dealer, server_at, .. } = &deployed;
    server.wait_for_end();

    let (second, _) = parties.server("pool = 0\n", *servers_dealer, Some(*server_at));
    let _client = deployed.client_until(PHASES[2], 1);
    second.signal("TERM");
    second.log.wait_for("asked to stop", 1);
    second.signal("TERM");
    assert_eq!(second.finish().code, 130);
}

#[test]
fn an_interrupted_client_prints_what_it_has() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    for signal in SIGNALS {
        let client = parties.start_infer(&config, &["--json", &parties.many(200)]);
        client.log.wait_for(" used", 3);
        client.signal(signal);
        let done = client.finish();
        assert_eq!(done.code, 130, "{}", done.err);
        let all: serde_json::Value = serde_json::from_str(&done.out).unwrap();
        let results = all["results"].as_array().unwrap().len();
        assert!((2..200).contains(&results), "{results}");
        assert_eq!(
            (&all["error"], &all["exit_code"]),
            (&"stopped before it was done".into(), &130.into())
        );
    }
    // While it waits for somebody who is not there.
    let silent = std::net::UdpSocket::bind(crate::parties::LOCAL).unwrap();
    let nobody = silent.local_addr().unwrap();
    let config = parties.client_config("client", "", [nobody, nobody]);
    let client = parties.start_infer(&config, &[&parties.text("images.bin")]);
    silent.recv_from(&mut [0; 2000]).unwrap();
    client.signal("INT");
    client.finish().failed(130, &["stopped before it was done"]);
}

/// Numbers of the processes whose command line has `text`.
fn running_with(text: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let numbers = all.filter_map(|entry| entry.file_name().into_string().ok());
    let has = |pid: &String| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    numbers.filter(has).collect()
}

#[test]
fn a_demo_that_is_ended_leaves_no_process_and_no_key() {
    let parties = Parties::new();
    for signal in ["TERM", "INT", "HUP", "KILL"] {
        let tmp = parties.path(&format!("tmp-{signal}"));
        fs::create_dir(&tmp).unwrap();
        let mut command: Command = program();
        let demo =
            Process::start("demo", command.args(["demo", "--net", "wan"]).env("TMPDIR", &tmp));
        demo.log.wait_for("set up with the dealer", 1);
        demo.log.wait_for("from the dealer", 1);
        let folder = tmp.display().to_string();
        assert_eq!(running_with(&folder).len(), 3, "dealer, server, client");
        demo.signal(signal);
        let done = demo.finish();
        wait_until("the children's end", || running_with(&folder).is_empty());
        if signal != "KILL" {
            done.failed(130, &["stopped before it was done"]);
            assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0, "its keys stay behind");
        }
    }
}
