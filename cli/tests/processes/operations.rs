//! What operators do: folders for all parties, checks, probes, metrics, logs, service managers.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    parties::{LOCAL, Parties, program},
    spawned::{LIMIT, Process},
};

/// A port that was free a moment ago.
pub fn udp_port() -> u16 {
    UdpSocket::bind(LOCAL).unwrap().local_addr().unwrap().port()
}

pub fn tcp_port() -> u16 {
    TcpListener::bind(LOCAL).unwrap().local_addr().unwrap().port()
}

/// Status and body of an answer.
/// Status and body of what a service answers.
pub fn get(at: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Asks until the answer is the `wanted` one.
fn wait_for(at: SocketAddr, wanted: u16) -> String {
    let start = Instant::now();
    loop {
        let (status, body) = get(at, "/ready");
        if status == wanted {
            return body;
        }
        assert!(start.elapsed() < LIMIT, "{status}: {body}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn number(metrics: &str, of: &str) -> u64 {
    let line = metrics.lines().find_map(|l| l.strip_prefix(of));
    line.unwrap_or_else(|| panic!("no {of} in\n{metrics}")).trim().parse().unwrap()
}

/// Has a configuration answer for health at `at`, and gives up soon.
pub fn healthy(config: &Path, at: SocketAddr) {
    let text = fs::read_to_string(config).unwrap();
    let text = text.replace("[own]\n", &format!("[own]\nhealth = \"{at}\"\n"));
    fs::write(config, text.replace("deadline = 30 ", "deadline = 4 ")).unwrap();
}

#[test]
fn three_folders_are_all_that_a_first_start_needs() {
    let parties = Parties::new();
    let [server, dealer] = [(); 2].map(|()| format!("127.0.0.1:{}", udp_port()));
    let folder = parties.path("try");
    let made = parties.sotto(&[
        "init",
        &parties.text("try"),
        "--server",
        &server,
        "--dealer",
        &dealer,
        "--client",
        "a",
        "--client",
        "b",
        "--model",
        &parties.text("model"),
        "--json",
    ]);
    assert_eq!(made.code, 0, "{}", made.err);
    let made: Vec<Value> = serde_json::from_str(&made.out).unwrap();
    let named: Vec<&str> = made.iter().map(|m| m["party"].as_str().unwrap()).collect();
    assert_eq!(named, ["dealer", "server", "a", "b"]);
    // Each has its own key and no other.
    for name in named {
        let files = fs::read_dir(folder.join(name).join("keys")).unwrap();
        let keys: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|file| file.ends_with(".key"))
            .collect();
        assert_eq!(keys, [format!("{name}.key")]);
    }
    let again = parties.sotto(&["init", &parties.text("try")]);
    again.failed(2, &["has something in it"]);

    let [at_server, at_dealer] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], tcp_port())));
    let of = |name: &str, kind: &str| folder.join(name).join(format!("{kind}.toml"));
    healthy(&of("server", "server"), at_server);
    healthy(&of("dealer", "dealer"), at_dealer);
    let text = |path: &Path| path.display().to_string();
    let check = |name: &str, kind: &str| {
        parties.sotto(&["check", "--config", &text(&of(name, kind)), "--json"])
    };
    let wrong = |out: &str| -> Vec<String> {
        let all: Value = serde_json::from_str(out).unwrap();
        let wrong = all["checks"].as_array().unwrap().iter().filter(|l| l["ok"] == false);
        wrong.map(|l| l["what"].as_str().unwrap().to_owned()).collect()
    };
    // Nobody is there yet.
    let before = check("server", "server");
    assert_eq!(before.code, 1, "{}", before.out);
    assert_eq!(
        wrong(&before.out),
        [format!("service at http://{at_server}/ready"), "`dealer`".into()]
    );

    let start = |name: &'static str, command: &str| {
        let config = text(&of(name, name));
        let mut process = Process::start(name, program().args([command, "--config", &config]));
        process.address();
        process
    };
    let server_process = start("server", "serve");
    assert_eq!(get(at_server, "/live"), (200, "live\n".into()));
    // Without its dealer it lives and is not ready.
    let why = wait_for(at_server, 503);
    assert!(why.contains("dealer"), "{why}");
    // The port is its own.
    assert_eq!(wrong(&check("server", "server").out), wrong(&before.out));
    let dealer_process = start("dealer", "deal");
    assert_eq!(wait_for(at_server, 200), "ready\n");
    assert_eq!(wait_for(at_dealer, 200), "ready\n");
    for (name, kind) in
        [("server", "server"), ("dealer", "dealer"), ("a", "client"), ("b", "client")]
    {
        let after = check(name, kind);
        assert_eq!(after.code, 0, "{name}: {}{}", after.out, after.err);
    }

    let images = parties.text("images.bin");
    let done = parties.infer(&text(&of("b", "client")), &["--limit", "2", &images]);
    assert_eq!(done.classes().len(), 2);
    server_process.log.batches(2);
    let (status, metrics) = get(at_server, "/metrics");
    assert_eq!(status, 200);
    assert_eq!(number(&metrics, "sotto_evaluations_total{peer=\"b\",model=\"model\"}"), 2);
    assert_eq!(number(&metrics, "sotto_online_seconds_count{model=\"model\"}"), 2);
    let bits = number(&metrics, "sotto_revealed_bits_total{peer=\"b\",model=\"model\"}");
    assert!(bits > 0 && bits.is_multiple_of(2));
    let (_, metrics) = get(at_dealer, "/metrics");
    assert!(number(&metrics, "sotto_batches_total{peer=\"b\"}") >= 2);
    assert!(number(&metrics, "sotto_corrections_bytes_total{peer=\"server\"}") > 1000);
    assert_eq!(get(at_server, "/else").0, 404);
    // A client that finds that the model is not what it wants, and goes, is no failure of the service's.
    let config = text(&of("b", "client"));
    let embed = parties.sotto(&["embed", "--config", &config, &images]);
    embed.failed(2, &["no embedding"]);
    server_process.log.wait_for("has left", 1);
    let (_, metrics) = get(at_server, "/metrics");
    assert!(!metrics.contains("sotto_failures_total{"), "{metrics}");
    // Whoever connects and says nothing keeps nobody out.
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(at_server).unwrap()).collect();
    assert_eq!(get(at_server, "/live").0, 200);
    drop(silent);

    // A peer with another key is named, with the rest.
    let other = sotto_net::Identity::generate("server").unwrap();
    fs::write(folder.join("a/keys/server.cert"), other.certificate().to_pem()).unwrap();
    let refused = check("a", "client");
    assert_eq!((refused.code, wrong(&refused.out)), (1, vec!["`server`".to_owned()]));
    drop((server_process, dealer_process));
}

#[test]
fn two_parties_need_no_dealers_folder() {
    let parties = Parties::new();
    let at = format!("127.0.0.1:{}", udp_port());
    let model = parties.text("model");
    let made = parties.sotto(&[
        "init",
        &parties.text("two"),
        "--server",
        &at,
        "--source",
        "peer",
        "--model",
        &model,
    ]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(!parties.path("two/dealer").exists());
    let (_server, _) = parties.start_server(&parties.text("two/server/server.toml"));
    let client = parties.text("two/client/client.toml");
    let images = parties.text("images.bin");
    assert_eq!(parties.infer(&client, &["--limit", "1", &images]).classes().len(), 1);
}

#[test]
fn addresses_and_names_that_no_configuration_takes_are_refused() {
    let parties = Parties::new();
    let folder = parties.text("none");
    for (args, word) in [
        (["--server", "nowhere"], "HOST:PORT"),
        (["--dealer", "host:port"], "HOST:PORT"),
        (["--dealer", "a\"b:1"], "HOST:PORT"),
        (["--client", "../x"], "name"),
        (["--client", "server"], "two parties"),
        (["--model", "nowhere"], "nowhere"),
    ] {
        parties.sotto(&[&["init", &folder], &args[..]].concat()).failed(2, &[word]);
        assert!(!Path::new(&folder).exists());
    }
}

#[test]
fn a_fingerprint_is_what_keygen_printed() {
    let parties = Parties::new();
    let made = parties.sotto(&["keygen", "somebody", "--out", &parties.text(".")]);
    let shown = parties.sotto(&["fingerprint", &parties.text("somebody.cert")]);
    assert_eq!(made.out.lines().last().unwrap(), format!("fingerprint {}", shown.out.trim()));
    let files = ["somebody.cert", "client.cert"].map(|file| parties.text(file));
    let both = parties.sotto(&["fingerprint", &files[0], &files[1], "--json"]);
    let both: Value = serde_json::from_str(&both.out).unwrap();
    assert_eq!(both[&files[0]], shown.out.trim());
    assert_ne!(both[&files[0]], both[&files[1]]);
    parties
        .sotto(&["fingerprint", &parties.text("client.key")])
        .failed(2, &["not of a certificate"]);
}

#[test]
fn logs_say_when_and_may_be_json() {
    let parties = Parties::new();
    let run = |levels: &str, form: &str| {
        drop(parties.dealer("", None));
        let config = parties.text("dealer.toml");
        let mut command = program();
        command.args(["deal", "--config", &config]);
        command.env("SOTTO_LOG", levels).env("SOTTO_LOG_FORMAT", form);
        let mut process = Process::start("dealer", &mut command);
        process.address();
        process.signal("TERM");
        process.finish()
    };
    let text = run("info", "text").err;
    let line = text.lines().find(|l| l.contains("INFO")).unwrap();
    assert!(line.starts_with("20") && line.contains('T') && line.contains('Z'), "{line}");
    let json = run("info", "json").err;
    assert!(json.lines().count() > 0);
    for line in json.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{line}");
        }
    }
    for (levels, form, word) in
        [("inof", "text", "SOTTO_LOG=inof"), ("info", "xml", "SOTTO_LOG_FORMAT=xml")]
    {
        let mut command = program();
        command.args(["plan", "demo"]).env("SOTTO_LOG", levels).env("SOTTO_LOG_FORMAT", form);
        Process::start("sotto", &mut command).finish().failed(2, &[word]);
    }
}

/// What systemd is told, by a socket of its own.
#[test]
fn a_service_manager_hears_of_start_and_stop() {
    let parties = Parties::new();
    let path = parties.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let hear = || {
        let mut bytes = [0; 64];
        let n = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..n].to_vec()).unwrap()
    };
    drop(parties.dealer("", None));
    let mut command = program();
    let config = parties.text("dealer.toml");
    command.args(["deal", "--config", &config]).env("NOTIFY_SOCKET", &path);
    let process = Process::start("dealer", &mut command);
    assert_eq!(hear().trim(), "READY=1");
    process.signal("TERM");
    assert_eq!(hear().trim(), "STOPPING=1");
    assert_eq!(process.finish().code, 0);
}

/// The files of `deploy/` are well formed, and the commands in them are the program's.
mod deploy {
    use super::*;

    fn read(file: &str) -> String {
        fs::read_to_string(format!("{}/../deploy/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn yaml(text: &str) -> Vec<yaml_rust2::Yaml> {
        yaml_rust2::YamlLoader::load_from_str(text).unwrap()
    }

    fn words(list: &yaml_rust2::Yaml) -> Vec<String> {
        list.as_vec().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    }

    /// Runs a service's command on folders of `sotto init`, where its file has `/etc/sotto`.
    fn runs(parties: &Parties, name: &'static str, command: &[String], folder: &str) {
        let words: Vec<String> = command
            .iter()
            .map(|word| word.replace("/etc/sotto", folder))
            .map(
                |word| {
                    if word == format!("{name}.toml") { format!("{folder}/{word}") } else { word }
                },
            )
            .collect();
        let mut process =
            Process::start(name, Command::new(env!("CARGO_BIN_EXE_sotto")).args(&words));
        process.address();
        process.signal("TERM");
        assert_eq!(process.finish().code, 0, "{name}: {words:?} in {}", parties.text(""));
    }

    fn folders() -> Parties {
        let parties = Parties::new();
        let [server, dealer] = [(); 2].map(|()| format!("127.0.0.1:{}", udp_port()));
        let model = parties.text("model");
        let folder = parties.text("parties");
        let made = parties
            .sotto(&["init", &folder, "--server", &server, "--dealer", &dealer, "--model", &model]);
        assert_eq!(made.code, 0, "{}", made.err);
        parties
    }

    #[test]
    fn units_of_systemd() {
        let parties = folders();
        for (name, sections) in [("dealer", 3), ("server", 3)] {
            let unit = read(&format!("systemd/sotto-{name}.service"));
            let lines = || unit.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
            assert_eq!(lines().filter(|l| l.starts_with('[')).count(), sections);
            assert!(lines().all(|l| l.starts_with('[') || l.contains('=')), "{unit}");
            assert!(lines().any(|l| l == "Type=notify"));
            let start =
                lines().find_map(|l| l.strip_prefix("ExecStart=/usr/local/bin/sotto ")).unwrap();
            let command: Vec<String> = start.split(' ').map(str::to_owned).collect();
            runs(&parties, name, &command, &parties.text("parties"));
        }
    }

    #[test]
    fn compose() {
        let parties = folders();
        let file = yaml(&read("compose.yaml")).remove(0);
        for name in ["dealer", "server"] {
            let service = &file["services"][name];
            runs(
                &parties,
                name,
                &words(&service["command"]),
                &parties.text(&format!("parties/{name}")),
            );
            let test = words(&service["healthcheck"]["test"]);
            assert_eq!(test[..4], ["CMD", "sotto", "check", "--config"]);
        }
        let client = words(&file["services"]["client"]["command"]);
        assert_eq!(client, ["check", "--config", "client.toml"]);
    }

    #[test]
    fn kubernetes() {
        let parties = folders();
        for name in ["dealer", "server"] {
            let all = yaml(&read(&format!("kubernetes/{name}.yaml")));
            assert!(
                all.iter()
                    .all(|one| one["apiVersion"].as_str().is_some()
                        && one["kind"].as_str().is_some())
            );
            let container = &all[0]["spec"]["template"]["spec"]["containers"][0];
            let folder = parties.text(&format!("parties/{name}"));
            runs(&parties, name, &words(&container["args"]), &folder);
            let mounts = container["volumeMounts"].as_vec().unwrap();
            let volumes = all[0]["spec"]["template"]["spec"]["volumes"].as_vec().unwrap();
            assert_eq!(mounts.len(), volumes.len());
            for probe in ["livenessProbe", "readinessProbe"] {
                let path = container[probe]["httpGet"]["path"].as_str().unwrap();
                assert!(["/live", "/ready"].contains(&path));
            }
        }
    }

    /// Where the configuration says that the model is there is a volume that the server's user can read and not write, and that can be
    /// filled.
    #[test]
    fn kubernetes_has_a_place_for_the_model() {
        let parties = folders();
        let config = fs::read_to_string(parties.path("parties/server/server.toml")).unwrap();
        let config: toml::Table = config.parse().unwrap();
        let at = format!("/etc/sotto/{}", config["model"].as_str().unwrap());
        let all = yaml(&read("kubernetes/server.yaml"));
        let pod = &all[0]["spec"]["template"]["spec"];
        let mounts = pod["containers"][0]["volumeMounts"].as_vec().unwrap();
        let mount = mounts.iter().find(|mount| mount["mountPath"].as_str() == Some(&at)).unwrap();
        assert_eq!(mount["readOnly"].as_bool(), Some(true));
        let claim = |pod: &yaml_rust2::Yaml, name: &yaml_rust2::Yaml| {
            let volumes = pod["volumes"].as_vec().unwrap();
            let volume = volumes.iter().find(|volume| volume["name"] == *name).unwrap();
            volume["persistentVolumeClaim"]["claimName"].as_str().unwrap().to_owned()
        };
        let named = claim(pod, &mount["name"]);
        let filling = yaml(&read("kubernetes/model.yaml"));
        assert_eq!(filling[0]["metadata"]["name"].as_str(), Some(&named[..]));
        let filler = &filling[1]["spec"];
        assert_eq!(claim(filler, &filler["containers"][0]["volumeMounts"][0]["name"]), named);
        // Who writes it is who reads it, and nobody in particular, as in the image.
        let user = |pod: &yaml_rust2::Yaml| {
            ["runAsUser", "fsGroup"].map(|key| pod["securityContext"][key].as_i64().unwrap())
        };
        assert_eq!(user(pod), user(filler));
        let [uid, gid] = user(pod);
        assert!(read("Containerfile").contains(&format!("USER {uid}:{gid}")));
    }

    #[test]
    fn container_file() {
        let file = read("Containerfile");
        assert!(file.contains("ENTRYPOINT [\"/usr/local/bin/sotto\"]"));
        let toolchain = env!("CARGO_PKG_RUST_VERSION");
        assert!(file.contains(&format!("rust:{toolchain}-slim")), "the toolchain is {toolchain}");
    }
}
