//! What is copied, restored, shared, swapped or damaged is burnt, never used twice and never used wrongly.

use std::{fs, path::Path};

use crate::parties::{Parties, wait_until};

const LINES: &str = "pool = 4\npool_folder = \"pool\"\n";

fn files(folder: &Path) -> Vec<String> {
    let Ok(all) = fs::read_dir(folder) else { return Vec::new() };
    let names = all.map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|n| n.ends_with(".batch")).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_restored_pool_is_burnt() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (mut first, server) = parties.server(LINES, dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let images = parties.text("images.bin");
    let (pool, backup) = (parties.path("pool"), parties.path("backup"));
    let full = || files(&pool).len() == 3;
    wait_until("a full pool", full);
    first.kill();
    copy(&pool, &backup);
    let saved = files(&backup);
    let (mut second, _) = parties.server(LINES, dealer, Some(server));
    let expected = parties.infer(&config, &["--limit", "6", &images]).classes();
    let mut used = second.log.batches(6);
    second.kill();

    fs::remove_dir_all(&pool).unwrap();
    copy(&backup, &pool);
    let (third, _) = parties.server(LINES, dealer, Some(server));
    assert_eq!(parties.infer(&config, &["--limit", "6", &images]).classes(), expected);
    third.log.wait_for("used elsewhere", saved.len());
    used.extend(third.log.batches(6));
    assert_eq!(used.len(), 12);
    assert!(used.is_sorted_by(|a, b| a < b), "a batch was used twice: {used:?}");
    assert!(saved.iter().all(|name| !pool.join(name).exists()), "what is burnt is gone");
}

#[test]
fn two_replicas_of_one_folder_never_share_a_batch() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (first, server) = parties.server(LINES, dealer, None);
    wait_until("a full pool", || files(&parties.path("pool")).len() == 3);
    copy(&parties.path("pool"), &parties.path("replica"));
    let lines = LINES.replace("\"pool\"", "\"replica\"");
    let (second, other) = parties.server(&lines, dealer, None);
    let images = parties.text("images.bin");
    let configs = [("client", server), ("second", other)]
        .map(|(name, at)| parties.client_config(name, "", [at, dealer]));
    let both =
        configs.each_ref().map(|c| parties.start_infer(c, &["--json", "--limit", "8", &images]));
    let [a, b] = both.map(|client| client.finish().classes());
    assert_eq!(a, b);
    let mut used = Vec::new();
    for log in [&first.log, &second.log] {
        used.extend(log.batches(8));
    }
    used.sort_unstable();
    assert_eq!(used.len(), 16);
    assert!(used.is_sorted_by(|a, b| a < b), "a batch was used twice: {used:?}");
}

#[test]
fn a_folder_that_is_in_use_or_another_servers_is_refused() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (mut first, _) = parties.server(LINES, dealer, None);
    let config = parties.server_config(LINES, dealer, None);
    parties.sotto(&["serve", "--config", &config]).failed(2, &["another process", "pool"]);
    first.kill();
    let text = fs::read_to_string(&config).unwrap();
    let swapped = text
        .replace("\"server\"", "\"x\"")
        .replace("\"second\"", "\"server\"")
        .replace("\"x\"", "\"second\"")
        .replace("second.cert", "server.cert");
    parties.write("server.toml", swapped.as_bytes());
    parties
        .sotto(&["serve", "--config", &config])
        .failed(2, &["that of `server`, not of `second`", "its own"]);
}

#[test]
fn damaged_files_are_burnt_and_the_classes_are_right() {
    let parties = Parties::new();
    let (_dealer, dealer) = parties.dealer("", None);
    let (mut first, server) = parties.server(LINES, dealer, None);
    let config = parties.client_config("client", "", [server, dealer]);
    let images = parties.text("images.bin");
    let expected = parties.infer(&config, &["--limit", "6", &images]).classes();
    let pool = parties.path("pool");
    wait_until("a full pool", || files(&pool).len() == 3);
    first.kill();
    for (i, name) in files(&pool).iter().enumerate() {
        let mut bytes = fs::read(pool.join(name)).unwrap();
        let at = [30, bytes.len() / 2, bytes.len() - 1][i];
        bytes[at] ^= 0x10;
        fs::write(pool.join(name), bytes).unwrap();
    }
    let (second, _) = parties.server(LINES, dealer, Some(server));
    assert_eq!(parties.infer(&config, &["--limit", "6", &images]).classes(), expected);
    second.log.wait_for("is damaged", 3);
}
