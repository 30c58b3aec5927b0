//! Who may be what: a key is good for its own role alone, and what a process holds is for nobody.

use std::fs;

use sotto_net::{Certificate, Endpoint, Error, Identity, Profile};

use crate::parties::{LOCAL, Parties};

/// Dials `name` with the key of `who`.
pub fn dial(
    parties: &Parties,
    who: &str,
    name: &str,
    at: std::net::SocketAddr,
) -> Result<(), Error> {
    let identity = Identity::load(&parties.path(""), who).unwrap();
    let certificate = Certificate::load(&parties.path(&format!("{name}.cert"))).unwrap();
    let pinned = [(name.to_owned(), certificate)];
    let endpoint = Endpoint::bind(LOCAL, &identity, &pinned, &[], Profile::loopback()).unwrap();
    endpoint.connect(at, name, std::time::Duration::from_secs(5)).map(drop)
}

#[test]
fn the_dealer_is_nobodys_client() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let refused = dial(&parties, "dealer", "server", server).unwrap_err();
    assert!(matches!(refused, Error::Identity { .. }), "{refused}");
    // The stock client with the dealer's key.
    let config = parties.client_config("client", "", [server, dealer]);
    let text = fs::read_to_string(&config).unwrap();
    let swapped = text.replacen("name = \"client\"", "name = \"dealer\"", 1).replace(
        "[dealer]\nname = \"dealer\"\ncertificate = \"dealer.cert\"",
        "[dealer]\nname = \"client\"\ncertificate = \"client.cert\"",
    );
    parties.write("client.toml", swapped.as_bytes());
    let refused = parties.infer(&config, &["--limit", "1", &parties.text("images.bin")]);
    refused.failed(4, &["server", "refused our certificate"]);
    // Nor the server the dealer's: it dials it, and is not dialled by it.
    dial(&parties, "server", "dealer", dealer).unwrap();
    parties.works(&parties.client_config("client", "", [server, dealer]));
}

/// UDP ports of a process, where we may see its files.
fn ports_of(pid: &str) -> Option<Vec<u16>> {
    let sockets = fs::read_to_string(format!("/proc/{pid}/net/udp")).ok()?;
    let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let inodes: Vec<String> = open
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|to| Some(to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let ours = |line: &&str| inodes.iter().any(|i| line.split_whitespace().any(|word| word == i));
    let port = |line: &str| {
        let local = line.split_whitespace().nth(1)?;
        u16::from_str_radix(local.split(':').nth(1)?, 16).ok()
    };
    Some(sockets.lines().filter(ours).filter_map(port).collect())
}

#[test]
fn a_client_accepts_nobody() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (_server, server) = parties.server("", dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let mut client = parties.start_infer(&config, &["--json-lines", &parties.many(60)]);
    client.line();
    // It says where its socket is, and only root sees otherwise: it may not be dumped.
    let port = |line: &str| -> u16 {
        let address = line.split("socket ").nth(1).unwrap().split(',').next().unwrap();
        address.parse::<std::net::SocketAddr>().unwrap().port()
    };
    client.log.wait_for("0 may connect", 1);
    let text = client.log.text();
    let ports: Vec<u16> = text.lines().filter(|l| l.contains("may connect")).map(port).collect();
    assert_eq!(ports.len(), 1, "one socket: {text}");
    if let Some(seen) = ports_of(&client.pid()) {
        assert_eq!(seen, ports, "no other socket");
    }
    let at = (std::net::Ipv4Addr::LOCALHOST, ports[0]).into();
    for who in ["server", "dealer"] {
        let nobody = dial(&parties, who, "client", at).unwrap_err();
        assert!(matches!(nobody, Error::Link { .. }), "it is not even refused: {nobody}");
    }
    assert_eq!(client.finish().code, 0);
}

#[test]
fn one_key_under_two_names_is_a_wrong_configuration() {
    let parties = Parties::new();
    let config = parties.client_config("client", "", [LOCAL, LOCAL]);
    let text = fs::read_to_string(&config).unwrap();
    let infer = |text: String| {
        parties.write("client.toml", text.as_bytes());
        parties.infer(&config, &[&parties.text("images.bin")])
    };
    infer(text.replace("dealer.cert", "server.cert")).failed(2, &["`server`", "`dealer`"]);
    infer(text.replace("server.cert", "client.cert")).failed(2, &["`server`", "`client`"]);
    infer(text.replace("name = \"server\"", "name = \"../server\""))
        .failed(2, &["letters, digits"]);
    let serve = parties.server_config("", LOCAL, None);
    let text = fs::read_to_string(&serve).unwrap();
    for (from, to) in [("second.cert", "client.cert"), ("second.cert", "dealer.cert")] {
        parties.write("server.toml", text.replace(from, to).as_bytes());
        parties.sotto(&["serve", "--config", &serve]).failed(2, &["`second`"]);
    }
    for name in ["../second", "se cond", "/etc"] {
        let named = text.replace("name = \"second\"", &format!("name = \"{name}\""));
        parties.write("server.toml", named.as_bytes());
        parties.sotto(&["serve", "--config", &serve]).failed(2, &["letters, digits"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_dumps_a_party() {
    let parties = Parties::new();
    let (dealer, _) = parties.dealer("", None);
    let limits = fs::read_to_string(format!("/proc/{}/limits", dealer.pid())).unwrap();
    let core = limits.lines().find(|l| l.starts_with("Max core file size")).unwrap();
    let numbers: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(numbers, ["0", "0"], "{core}");
}
