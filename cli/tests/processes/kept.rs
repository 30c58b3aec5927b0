//! Masked weights on a client's disk: sent once over restarts of both, and never used where they are not this client's of this
//! server's present model.

use std::fs;

use crate::parties::Parties;

const LINES: &str = "weights_file = \"server.weights\"\n";

#[test]
fn masked_weights_cross_once_over_restarts_of_either_side() {
    let parties = Parties::new();
    let (mut dealer, at_dealer) = parties.dealer("", None);
    let (mut server, at) = parties.server("", at_dealer, None);
    let config = parties.client_config("client", LINES, [at, at_dealer]);
    let images = parties.text("images.bin");
    let plain = parties.client_config("second", "", [at, at_dealer]);
    let run = |config: &str| {
        let done = parties.infer(config, &["--limit", "3", &images]);
        let bytes = done.results()[0]["costs"]["setup_bytes"].as_u64().unwrap();
        (bytes, done.classes())
    };
    let (whole, expected) = run(&plain);
    assert_eq!(run(&plain), (whole, expected.clone()), "nothing is kept unless it is asked for");
    let (sent, held) = ((whole, expected.clone()), (0, expected));

    assert_eq!(run(&config), sent);
    assert_eq!(run(&config), held, "a client that starts again has them");
    server.kill();
    (server, _) = parties.server("", at_dealer, Some(at));
    assert_eq!(run(&config), held, "a server that starts again has the same masks");

    let file = parties.path("server.weights");
    let sound = fs::read(&file).unwrap();
    let second = parties.client_config("second", LINES, [at, at_dealer]);
    assert_eq!(run(&second), sent, "another client's file is as none");
    fs::write(&file, &sound).unwrap();
    assert_eq!(run(&config), held);
    let mut damaged = sound.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for bad in [&damaged[..], &sound[..sound.len() - 1], b""] {
        fs::write(&file, bad).unwrap();
        assert_eq!(run(&config), sent, "what is damaged is not used");
        assert_eq!(run(&config), held, "and was replaced");
    }

    // Another dealer process, other masks.
    dealer.kill();
    let (_dealer, _) = parties.dealer("", Some(at_dealer));
    server.kill();
    let (_server, _) = parties.server("", at_dealer, Some(at));
    assert_eq!(run(&config), sent, "they are masked anew");
    assert_eq!(run(&config), held);
    fs::write(&file, &sound).unwrap();
    assert_eq!(run(&config), sent, "restored ones are of masks that nobody uses any more");
    assert_eq!(run(&config), held);
}

#[test]
fn without_a_dealer_no_weights_are_masked() {
    let parties = Parties::new();
    let lines = format!("source = \"peer\"\n{LINES}");
    let nobody = "127.0.0.1:9".parse().unwrap();
    let config = parties.client_config("client", &lines, [nobody; 2]);
    let done = parties.infer(&config, &["--limit", "1", &parties.text("images.bin")]);
    assert_eq!(done.code, 2, "{}", done.err);
    assert!(done.err.contains("`weights_file` needs a dealer"), "{}", done.err);
}
