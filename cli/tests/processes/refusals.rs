//! Wrong input, keys and configurations: one clear message each, the right exit code, nobody else is disturbed.

use std::{fs, os::unix::fs::PermissionsExt};

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use sotto_net::{Certificate, Identity};

use crate::{
    parties::{DEADLINE, LOCAL, Parties, RECORD},
    spawned::Process,
};

#[test]
fn wrong_pictures_are_named() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(&[90; 48 * 40 * 3], 48, 40, ExtendedColorType::Rgb8)
        .unwrap();
    parties.write("large.png", &png);
    let large = parties.text("large.png");
    parties.infer(&config, &[&large]).failed(3, &["large.png", "48", "40", "32", "--resize"]);
    assert_eq!(parties.infer(&config, &["--resize", &large]).classes().len(), 1);
    parties.write("text.png", b"not a picture at all");
    parties.infer(&config, &[&parties.text("text.png")]).failed(3, &["text.png"]);
    parties.write("cut.png", &png[..png.len() / 2]);
    parties.infer(&config, &["--resize", &parties.text("cut.png")]).failed(3, &["cut.png"]);
    let records = fs::read(parties.path("images.bin")).unwrap();
    parties.write("cut.bin", &records[..RECORD + 100]);
    parties.infer(&config, &[&parties.text("cut.bin")]).failed(3, &["cut.bin", "3073", "100 of"]);
    parties.infer(&config, &[&parties.text("none.png")]).failed(3, &["none.png", "No such file"]);
    parties.works(&config);
}

#[test]
fn another_model_than_the_client_insists_on_is_refused() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let wrong = "0".repeat(64);
    let config =
        parties.client_config("client", &format!("model = \"{wrong}\"\n"), [server, dealer]);
    let refused = parties.infer(&config, &[&parties.text("images.bin")]);
    refused.failed(4, &["server", "refused", &wrong, "`model`"]);
    // The message names the model that is served: with it, all is well.
    let text = refused.err.split("it serves model ").nth(1).unwrap();
    let right = text.split(' ').next().unwrap();
    parties.works(&parties.client_config(
        "client",
        &format!("model = \"{right}\"\n"),
        [server, dealer],
    ));
}

#[test]
fn wrong_certificates_are_refused_by_fingerprint() {
    let parties = Parties::new();
    let (mut dealer_process, dealer) = parties.dealer("", None);
    let (mut server_process, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let images = parties.text("images.bin");

    // A client that the server has not pinned.
    Identity::generate("stranger").unwrap().save(&parties.path("")).unwrap();
    let stranger = parties.client_config("stranger", "", [server, dealer]);
    let refused = parties.infer(&stranger, &[&images]);
    refused.failed(4, &["server", "refused our certificate", "give it our .cert"]);
    assert!(refused.took.as_secs() <= DEADLINE, "a refusal is not a silence");
    parties.works(&config);

    // A dealer whose key is not the one that its peers have.
    let replace = |name: &str| {
        fs::remove_file(parties.path(&format!("{name}.key"))).unwrap();
        let fresh = Identity::generate(name).unwrap();
        let pinned = Certificate::load(&parties.path(&format!("{name}.cert"))).unwrap();
        fresh.save(&parties.path("")).unwrap();
        (fresh.certificate().fingerprint(), pinned)
    };
    dealer_process.kill();
    let (shown, pinned) = replace("dealer");
    let (mut impostor, _) = parties.dealer("", Some(dealer));
    pinned.save(&parties.path("dealer.cert")).unwrap();
    let refused = parties.infer(&config, &[&images]);
    let said =
        ["while connecting", &shown, &pinned.fingerprint(), "is pinned", "sotto fingerprint"];
    refused.failed(4, &["dealer"]);
    refused.failed(4, &said);
    impostor.kill();

    // A server with another key.
    server_process.kill();
    let (shown, pinned) = replace("server");
    let (_impostor, _) = parties.server("", dealer, Some(server));
    pinned.save(&parties.path("server.cert")).unwrap();
    let refused = parties.infer(&config, &[&images]);
    refused.failed(4, &["server", "while connecting", &shown, &pinned.fingerprint(), "is pinned"]);
    // The cause, and one remedy, on a line of its own.
    let lines: Vec<&str> = refused.err.lines().collect();
    let [.., cause, remedy] = &lines[..] else { panic!("{}", refused.err) };
    assert!(cause.starts_with("error: server (") && !cause.contains(';'), "{cause}");
    assert!(remedy.starts_with("hint: ") && remedy.contains("sotto fingerprint"), "{remedy}");
}

#[test]
fn wrong_configurations_are_explained() {
    let parties = Parties::new();
    let images = parties.text("images.bin");
    let config = parties.client_config("client", "", [LOCAL, LOCAL]);
    let text = fs::read_to_string(&config).unwrap();
    let infer = |text: &str| {
        parties.write("client.toml", text.as_bytes());
        parties.infer(&config, &[&images])
    };
    infer("own = [[[").failed(2, &["client.toml", "TOML parse error"]);
    infer(&format!("pol = 3\n{text}")).failed(2, &["client.toml", "unknown field `pol`", "pool"]);
    infer(&text.replace("loopback", "moon")).failed(2, &["network `moon`", "loopback, lan or wan"]);
    infer(&text.replace("name = \"dealer\"", "name = \"server\""))
        .failed(2, &["`server`", "two parties"]);
    let unaddressed: String = text
        .lines()
        .filter(|l| !l.starts_with("address"))
        .fold(String::new(), |all, line| all + line + "\n");
    infer(&unaddressed).failed(2, &["peer `server`", "address"]);
    infer(&text.replace("server.cert", "nowhere.cert"))
        .failed(2, &["nowhere.cert", "No such file"]);
    infer(&text.replace("server.cert", "client.key"))
        .failed(2, &["client.key", "not of a certificate"]);
    infer(&text.replace("name = \"client\"", "name = \"nobody\""))
        .failed(2, &["nobody.key", "No such file"]);
    let key = parties.path("client.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    infer(&text).failed(2, &["client.key", "may be read by others", "chmod 600"]);
    parties.sotto(&["infer", "--config", "nowhere.toml", "x.png"]).failed(2, &["nowhere.toml"]);

    let serve = |lines: &str| {
        let config = parties.server_config(lines, LOCAL, None);
        parties.sotto(&["serve", "--config", &config])
    };
    serve("model = \"nowhere\"\n").failed(2, &["no model", "nowhere", "arch.toml"]);
    serve("batch = 65\n").failed(2, &["batch of 65", "1 to 64"]);
    serve("reveal = \"all\"\n").failed(2, &["unknown variant `all`", "logits", "class"]);
    fs::remove_file(parties.path("model/calibration.toml")).unwrap();
    serve("").failed(2, &["calibration.toml", "sotto calibrate"]);
}

#[test]
fn a_dealer_that_does_not_know_a_party_is_named_with_the_remedy_that_helps() {
    let parties = Parties::new();
    let (mut dealer_process, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    parties.works(&config);
    let images = parties.text("images.bin");
    for (name, words) in [("client", "it refused our"), ("server", "it has no dealer: dealer")] {
        dealer_process.kill();
        let text = fs::read_to_string(parties.path("dealer.toml")).unwrap();
        let certificate = format!("{name}.cert");
        Identity::generate("other")
            .unwrap()
            .certificate()
            .save(&parties.path("other.cert"))
            .unwrap();
        let stranger =
            text.replace(&certificate, "other.cert").replace("127.0.0.1:0", &dealer.to_string());
        parties.write("other.toml", stranger.as_bytes());
        let other = parties.text("other.toml");
        let mut command = crate::parties::program();
        let mut again = Process::start("dealer", command.args(["deal", "--config", &other]));
        again.address();
        let failed = parties.infer(&config, &["--limit", "1", &images]);
        failed.failed(4, &["dealer", words, "refused our certificate", "give it our .cert"]);
        for wrong in ["start the dealer", "raise", "connecting again"] {
            // What was dealt before is lost with the dealer that dealt it.
            let last = failed.err.lines().last().unwrap();
            assert!(!last.contains(wrong), "{wrong}: {}", failed.err);
        }
        dealer_process = again;
    }
}

#[test]
fn nobody_at_the_address_is_an_error_within_the_deadline() {
    let parties = Parties::new();
    // A socket that never answers.
    let silent = std::net::UdpSocket::bind(LOCAL).unwrap();
    let nobody = silent.local_addr().unwrap();
    let config = parties.client_config("client", "", [nobody, nobody]);
    let client = parties.start_infer(&config, &[&parties.text("images.bin")]);
    client.log.wait_for(&format!("waiting for server at {nobody}"), 1);
    let failed = client.finish();
    failed.failed(4, &["server", "while connecting", "nobody answers", "start it"]);
    assert!(failed.took.as_secs() <= DEADLINE + 1);
    let (_server, server) = parties.server("", nobody, None);
    let config = parties.client_config("client", "", [server, nobody]);
    // The server is there: it is its dealer that is waited for.
    let client = parties.start_infer(&config, &[&parties.text("images.bin")]);
    client.log.wait_for(
        &format!("waiting for dealer at {nobody}, which has not answered server ({server})"),
        1,
    );
    let failed = client.finish();
    assert!(!failed.err.contains("waiting for server"), "{}", failed.err);
    failed.failed(4, &["server", "no dealer", "nobody answers", "start it"]);
    assert!(
        failed.took.as_secs() <= DEADLINE + 1,
        "the server answers before the client gives it up"
    );
}
