//! A stopped party is started again, and the others go on.

use std::fs;

use crate::parties::{Parties, tiny};

/// Enough pictures that a party dies among them.
const PICTURES: usize = 60;

#[test]
fn a_client_outlives_a_crash_of_the_server() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (mut first, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let mut client = parties.start_infer(&config, &["--json-lines", &parties.many(PICTURES)]);
    for _ in 0..5 {
        client.line();
    }
    // The client may have an image's result before the server has said so.
    first.log.wait_for(" flights", 4);
    first.kill();
    let (second, _) = parties.server("", dealer, Some(server));
    let done = client.finish();
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.lines().count() + 5 > PICTURES, "{}", done.err);
    let mut used = first.log.batches(4);
    second.log.wait_for("has finished", 1);
    used.extend(second.log.batches(0));
    // The first may have been killed before it said that it had used its last one.
    assert!(used.len() + 1 >= PICTURES && used.is_sorted_by(|a, b| a < b), "used twice: {used:?}");
    parties.works(&config);
}

#[test]
fn parties_outlive_a_crash_of_the_dealer() {
    let parties = Parties::new();
    let (mut first, dealer) = parties.dealer("", None);
    let (server_process, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let mut client = parties.start_infer(&config, &["--json-lines", &parties.many(PICTURES)]);
    for _ in 0..5 {
        client.line();
    }
    first.kill();
    // A new process is a new epoch: nothing of the old one is of use any more.
    let (_second, _) = parties.dealer("", Some(dealer));
    let done = client.finish();
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.lines().count() + 5 > PICTURES, "{}", done.err);
    parties.works(&config);
    server_process.log.wait_for("plan", 2);
    let set_up = server_process.log.text().matches("set up with the dealer").count();
    assert_eq!(set_up, 2, "the weights are masked anew, once");
}

#[test]
fn the_server_outlives_a_crash_of_a_client() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let second = parties.client_config("second", "", [server, dealer]);
    let mut client = parties.start_infer(&config, &["--json-lines", &parties.many(PICTURES)]);
    for _ in 0..3 {
        client.line();
    }
    client.kill();
    parties.works(&second);
    parties.works(&config);
}

#[test]
fn a_server_with_other_weights_never_meets_old_correlations() {
    let parties = Parties::new();
    // The same architecture and the same ranges: the same plan, from other weights.
    parties.model("other", 2);
    let ranges = |name: &str| {
        let text =
            std::fs::read_to_string(parties.path(&format!("{name}/calibration.toml"))).unwrap();
        let weights = text.lines().find(|l| l.starts_with("weights")).unwrap().to_owned();
        (text, weights)
    };
    let ((old, old_weights), (_, new_weights)) = (ranges("model"), ranges("other"));
    parties.write("other/calibration.toml", old.replace(&old_weights, &new_weights).as_bytes());

    let (_dealer, dealer) = parties.dealer("", None);
    let lines = "pool = 2\npool_folder = \"pool\"\n";
    let client = "pool = 2\n";
    let (mut first, server) = parties.server(lines, dealer, None);
    let config = parties.client_config("client", client, [server, dealer]);
    let images = parties.text("images.bin");
    parties.infer(&config, &["--limit", "4", &images]).results();
    first.kill();
    let other = format!("model = \"other\"\n{lines}");
    let (_second, _) = parties.server(&other, dealer, Some(server));
    let private = parties.infer(&config, &["--limit", "4", &images]).results();

    let arch = tiny();
    let weights = sotto_models::Weights::random(&arch, 2);
    let fit = sotto_models::images::Fit::Exact;
    let pictures = sotto_models::images::load(&parties.path("images.bin"), &arch, fit, 4).unwrap();
    for (picture, result) in pictures.iter().zip(private) {
        let image = sotto_models::images::normalise(&arch, picture);
        let plain = sotto_models::float::forward(
            &arch,
            &weights,
            &image,
            &mut sotto_models::float::NoProbe,
        );
        for (a, b) in plain.iter().zip(result["logits"].as_array().unwrap()) {
            let error = (f64::from(*a) - b.as_f64().unwrap()).abs();
            assert!(error < 0.2, "old masks under new weights give garbage: off by {error}");
        }
    }
}

/// As docs/operations.md has it.
#[test]
fn a_run_goes_on_over_a_change_of_the_servers_key() {
    let parties = Parties::new();
    let keys = parties.text(".");
    let new = parties.text("new");
    parties.must(&["keygen", "server", "--out", &new, "--after", &keys]);
    let both = |file: &str| {
        let text = fs::read_to_string(parties.path(file)).unwrap();
        let list = "certificate = [\"server.cert\", \"new/server.cert\"]";
        parties.write(file, text.replace("certificate = \"server.cert\"", list).as_bytes());
    };
    let (dealer_process, dealer) = parties.dealer("", None);
    both("dealer.toml");
    dealer_process.signal("USR1");
    dealer_process.log.wait_for("nobody is new, nobody is gone", 1);
    let (server_process, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    both("client.toml");
    let mut client = parties.start_infer(&config, &["--json-lines", &parties.many(40)]);
    for _ in 0..4 {
        client.line();
    }
    server_process.signal("TERM");
    assert_eq!(server_process.finish().code, 0);
    let text = parties.server_config("", dealer, Some(server));
    let changed = fs::read_to_string(&text).unwrap().replace("keys = \".\"", "keys = \"new\"");
    parties.write("server.toml", changed.as_bytes());
    let (_server, _) = parties.start_server(&text);
    let done = client.finish();
    assert_eq!(done.code, 0, "{}", done.err);
    let results = done.out.lines().filter(|line| line.contains("\"class\"")).count();
    assert_eq!(results, 40 - 3, "the first lines are read: the set-up and three results");
}
