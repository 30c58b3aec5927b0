//! Peers that hang, and noise at the ports.

use std::net::UdpSocket;

use crate::parties::{DEADLINE, LOCAL, Parties};

#[test]
fn a_server_that_hangs_is_given_up_and_goes_on_when_it_wakes() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (server_process, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let mut client = parties.start_infer(&config, &["--json-lines", &parties.many(60)]);
    for _ in 0..3 {
        client.line();
    }
    server_process.signal("STOP");
    let failed = client.finish();
    failed.failed(4, &["server"]);
    assert!(
        failed.err.contains("it hangs") || failed.err.contains("nobody answers"),
        "{}",
        failed.err
    );
    assert!(
        failed.took.as_secs() <= 2 * DEADLINE + 1,
        "one deadline to notice, one to connect again"
    );
    server_process.signal("CONT");
    parties.works(&config);
}

#[test]
fn a_dealer_that_hangs_is_named_and_goes_on_when_it_wakes() {
    let parties = Parties::new();
    let (dealer_process, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("pool = 0\n", dealer, None);
    let config = parties.client_config("client", "pool = 0\n", [server, dealer]);
    parties.works(&config);
    dealer_process.signal("STOP");
    let failed = parties.infer(&config, &["--limit", "1", &parties.text("images.bin")]);
    failed.failed(5, &["no correlated randomness", "dealer", "start the dealer"]);
    assert!(failed.took.as_secs() <= 2 * DEADLINE);
    dealer_process.signal("CONT");
    parties.works(&config);
}

#[test]
fn noise_at_the_ports_disturbs_nobody() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let client = parties.start_infer(&config, &["--json", &parties.many(10)]);
    let noise = UdpSocket::bind(LOCAL).unwrap();
    let mut state = 1u64;
    for packet in 0..4000 {
        let bytes: Vec<u8> = (0..packet % 1400)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect();
        for to in [server, dealer] {
            // A full socket buffer may drop it: there is more.
            drop(noise.send_to(&bytes, to));
        }
    }
    assert_eq!(client.finish().classes().len(), 10);
    parties.works(&config);
}
