//! Quotas, rates and the file that outlives the process.

use std::fs;

use super::*;

fn client(quota: Option<u64>, rate: Option<u32>) -> Vec<ServedClient> {
    let (name, certificate) =
        ("client".into(), crate::config::Certificates::One("client.cert".into()));
    vec![ServedClient { name, certificate, models: None, quota, rate }]
}

fn open(clients: &[ServedClient], file: Option<PathBuf>) -> Result<Usage, Error> {
    Usage::open(clients, "server", file)
}

/// An image of a model.
const ONE: Tariff<'static> = Tariff { model: "model", images: 1 };
const TWO: Tariff<'static> = Tariff { model: "other", images: 2 };

/// A crash: nothing is written down in the end, but the lock is gone.
fn crash(mut usage: Usage) {
    usage.file = None;
}

#[test]
fn a_quota_outlives_crashes_and_is_never_exceeded() {
    let dir = tempfile::tempdir().unwrap();
    let file = Some(dir.path().join("usage.json"));
    let clients = client(Some(200), None);
    let mut used = 0;
    for _ in 0..40 {
        let usage = open(&clients, file.clone()).unwrap();
        for _ in 0..10 {
            if usage.admit("client", ONE).is_ok() {
                let all = usage.charge("client", ONE, 180).unwrap();
                used += 1;
                assert!(all.images >= used && all.bits >= 180 * used);
            }
        }
        crash(usage);
    }
    assert!((100..=200).contains(&used), "{used} images");
    let usage = open(&clients, file.clone()).unwrap();
    assert_eq!(usage.admit("client", ONE), Err(Refusal::Quota { used: 200, quota: 200 }));
    assert!(usage.charge("client", ONE, 180).is_err());
    drop(usage);
    // A larger one goes on from there.
    let usage = open(&client(Some(201), None), file).unwrap();
    assert_eq!(usage.charge("client", ONE, 180).unwrap().images, 201);
    assert!(usage.charge("client", ONE, 180).is_err());
}

#[test]
fn a_clean_end_charges_what_was_used_and_bits_are_those_of_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let file = Some(dir.path().join("usage.json"));
    let clients = client(None, None);
    for images in 1..5 {
        let usage = open(&clients, file.clone()).unwrap();
        assert_eq!(usage.charge("client", ONE, 180).unwrap(), Used { images, bits: 180 * images });
    }
    let usage = open(&clients, file).unwrap();
    assert_eq!(usage.charge("client", ONE, 10).unwrap(), Used { images: 5, bits: 4 * 180 + 10 });
}

#[test]
fn an_end_gives_back_what_was_charged_ahead_whoever_still_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("usage.json");
    let written = || file::read(&path).unwrap().clients["client"].images;
    let usage = open(&client(Some(1000), None), Some(path.clone())).unwrap();
    usage.charge("client", ONE, 180).unwrap();
    assert_eq!(written(), 62);
    usage.close();
    assert_eq!(written(), 1);
    // An evaluation that outlasts the end is in the file before it begins.
    usage.charge("client", ONE, 180).unwrap();
    assert!(written() >= 2);
    crash(usage);
    assert!(written() >= 2);
}

#[test]
fn what_cannot_be_written_down_is_refused_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("usage.json");
    let usage = open(&client(Some(100), None), Some(path.clone())).unwrap();
    fs::create_dir(path.with_extension("part")).unwrap();
    for _ in 0..3 {
        assert!(usage.charge("client", ONE, 180).is_err());
    }
    fs::remove_dir(path.with_extension("part")).unwrap();
    assert_eq!(usage.charge("client", ONE, 180).unwrap().images, 1);
}

#[test]
fn a_file_is_one_processs_and_one_servers() {
    let dir = tempfile::tempdir().unwrap();
    let file = Some(dir.path().join("usage.json"));
    let clients = client(Some(100), None);
    let first = open(&clients, file.clone()).unwrap();
    let second = open(&clients, file.clone()).err().unwrap().to_string();
    assert!(second.contains("another process"), "{second}");
    drop(first);
    let other = Usage::open(&clients, "other", file).err().unwrap().to_string();
    assert!(other.contains("`server`") && other.contains("`other`"), "{other}");
    let nowhere = dir.path().join("link.json");
    #[cfg(unix)]
    std::os::unix::fs::symlink(dir.path().join("unmounted"), &nowhere).unwrap();
    assert!(open(&clients, Some(nowhere)).is_err());
}

#[cfg(unix)]
#[test]
fn a_link_stays_one_and_two_of_them_are_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let [file, link, other] = ["usage.json", "link.json", "other.json"].map(|n| dir.path().join(n));
    let clients = client(Some(100), None);
    drop(open(&clients, Some(file.clone())).unwrap());
    for to in [&link, &other] {
        std::os::unix::fs::symlink("usage.json", to).unwrap();
    }
    let first = open(&clients, Some(link.clone())).unwrap();
    for path in [file.clone(), other] {
        let second = open(&clients, Some(path)).err().unwrap().to_string();
        assert!(second.contains("another process"), "{second}");
    }
    first.charge("client", ONE, 180).unwrap();
    drop(first);
    assert!(link.is_symlink());
    let usage = open(&clients, Some(file)).unwrap();
    assert_eq!(usage.charge("client", ONE, 180).unwrap().images, 2);
}

#[test]
fn those_who_are_no_longer_served_stay_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("usage.json");
    let text = r#"{ "server": "", "clients": { "gone": { "images": 7, "bits": 70 } } }"#;
    fs::write(&path, text).unwrap();
    drop(open(&client(Some(10), None), Some(path.clone())).unwrap());
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"gone\"") && text.contains("\"images\": 7"), "{text}");
    fs::write(&path, "{ broken").unwrap();
    let broken = open(&client(Some(10), None), Some(path)).err().unwrap();
    assert!(broken.to_string().contains("usage.json"), "{broken}");
}

#[test]
fn a_quota_is_one_for_all_models_and_bits_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("usage.json");
    let text = r#"{ "server": "server", "clients": { "client": { "images": 7, "bits": 70 } } }"#;
    fs::write(&path, text).unwrap();
    let usage = open(&client(Some(12), None), Some(path.clone())).unwrap();
    // Whose the earlier ones were is not known: they count for each.
    assert_eq!(usage.charge("client", ONE, 180).unwrap(), Used { images: 8, bits: 250 });
    assert_eq!(usage.charge("client", TWO, 2).unwrap(), Used { images: 9, bits: 72 });
    // All of it is there after a crash.
    crash(usage);
    let usage = open(&client(Some(13), None), Some(path)).unwrap();
    assert_eq!(usage.charge("client", TWO, 2).unwrap(), Used { images: 11, bits: 74 });
    assert_eq!(usage.charge("client", ONE, 180).unwrap(), Used { images: 9, bits: 430 });
    assert_eq!(usage.admit("client", ONE), Err(Refusal::Quota { used: 13, quota: 13 }));
    assert_eq!(usage.admit("client", TWO), Err(Refusal::Quota { used: 13, quota: 13 }));
}

#[test]
fn a_client_is_charged_for_the_models_that_it_may_use_alone() {
    let may = |models: &[&str]| {
        let models = models.iter().map(|&model| model.to_owned()).collect();
        let client = client(None, None).remove(0);
        [ServedClient { models: Some(models), ..client }]
    };
    let usage = open(&may(&["other", "third"]), None).unwrap();
    let refused = Refusal::OtherModel { asked: "model".into(), served: "other or third".into() };
    assert_eq!(usage.admit("client", ONE), Err(refused.clone()));
    assert_eq!(usage.allows("client", ONE, 0), Err(refused));
    assert!(usage.charge("client", ONE, 180).is_err());
    assert!(usage.admit("client", TWO).is_ok() && usage.charge("client", TWO, 1).is_ok());
    let allowed = usage.may("client").unwrap();
    assert!(allowed("third") && !allowed("model") && usage.may("nobody").is_err());
    // A link that stands asks again for each batch.
    usage.reload(&may(&["model"]), || Ok(())).unwrap();
    assert!(usage.admit("client", ONE).is_ok() && usage.admit("client", TWO).is_err());
}

#[test]
fn a_rate_makes_who_is_fast_wait() {
    let usage = open(&client(None, Some(6)), None).unwrap();
    for _ in 0..6 {
        assert_eq!(usage.admit("client", ONE), Ok(Duration::ZERO));
    }
    // Who is admitted has to wait for those before, used or not.
    for waits in 1..4 {
        let wait = usage.admit("client", ONE).unwrap().as_secs_f64();
        assert!((10.0 * f64::from(waits) - wait).abs() < 1.0, "{wait}");
    }
    assert!(open(&client(None, Some(0)), None).is_err());
}

#[test]
fn a_burst_gets_a_minutes_images_and_those_of_a_minutes_wait() {
    let usage = open(&client(None, Some(6)), None).unwrap();
    let waits: Vec<_> = (0..100).map(|_| usage.admit("client", ONE).unwrap()).collect();
    let at_once = waits.iter().filter(|wait| wait.is_zero()).count();
    let let_in = waits.iter().filter(|wait| **wait <= LONGEST).count();
    assert_eq!(at_once, 6);
    assert!((11..=12).contains(&let_in), "{let_in}");
    // Who was refused is not held against those who come later.
    let last = waits.last().unwrap().as_secs_f64();
    assert!((60.0..71.0).contains(&last), "{last}");
}

#[test]
fn who_leaves_batches_unused_is_refused() {
    let usage = open(&client(None, None), None).unwrap();
    usage.unused("client", 31);
    assert!(usage.admit("client", ONE).is_ok());
    usage.unused("client", 1);
    assert!(matches!(usage.admit("client", ONE), Err(Refusal::Rate(1..=2))));
    // A lost disk of a thousand batches is a minute's wait, as is one of a hundred.
    for batches in [100, 1000] {
        usage.unused("client", batches);
        assert!(matches!(usage.admit("client", ONE), Err(Refusal::Rate(60..=62))), "{batches}");
    }
}

#[cfg(unix)]
#[test]
fn links_and_pipes_in_the_place_of_its_files_are_not_followed_or_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let [path, lock, other] =
        ["usage.json", "usage.lock", "other"].map(|name| dir.path().join(name));
    fs::write(&other, "kept").unwrap();
    std::os::unix::fs::symlink(&other, &lock).unwrap();
    let clients = client(Some(100), None);
    let refused = open(&clients, Some(path.clone())).err().unwrap().to_string();
    assert!(refused.contains("usage.lock") && refused.contains("plain file"), "{refused}");
    assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
    fs::remove_file(&lock).unwrap();
    // By no program: whose process has the locks of other tests until it runs.
    let (mode, kind) = (rustix::fs::Mode::RUSR, rustix::fs::FileType::Fifo);
    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
    let refused = open(&clients, Some(path)).err().unwrap().to_string();
    assert!(refused.contains("plain file"), "{refused}");
    let own = open(&clients, Some(dir.path().join("quota.lock"))).err().unwrap().to_string();
    assert!(own.contains("usage_file"), "{own}");
}
