use std::{os::unix::fs::PermissionsExt, thread, time::Duration};

use sotto_net::{Link, local_pair};
use sotto_protocols::plan::{Trace, Traffic};

use super::*;
use crate::{
    keeping::{Lost, keep},
    messages::{self, step},
};

/// A plan with a few bytes of corrections.
fn plan() -> Plan {
    let mut trace = Trace::new();
    let input = trace.input(&[1], 20, 4);
    let opened = trace.open_signed(input, 16);
    let positive = trace.relu(opened, 16);
    let revealed = trace.reveal(positive, 16);
    trace.finish(&[revealed])
}

fn of(peer: &str) -> Of {
    Of { peer: peer.into(), plan: [1; 32], model: [2; 32] }
}

fn record(peer: &str, tag: u8) -> Record {
    let traffic = Traffic { from_server: 5, from_client: 6, flights: 7 };
    Record::new(of(peer), ([1; 16], [tag; 16]), traffic)
}

fn batch(byte: u8) -> Batch {
    let corrections = Some(vec![byte; plan().correction_bytes()]);
    Batch { id: 0, seed: Seed::from_bytes([byte; 32]), corrections }
}

fn key(byte: u8) -> Secret {
    Secret(Seed::from_bytes([byte; 32]))
}

fn open(at: &Path) -> Shelf {
    Shelf::open(&Place::whole(at), "server", &[9; 32]).unwrap()
}

/// Stores a batch of which all is made of one byte, under the key of the next one, with the key of the one after it.
fn put(shelf: &Shelf, byte: u8) {
    shelf.put(record("client", byte), batch(byte), &key(byte + 1), &key(byte + 2)).unwrap();
}

/// Uses a batch that [`put`] stored.
fn used(shelf: &Shelf, byte: u8) -> Result<Option<Batch>, Error> {
    let Some(taken) = shelf.take(&of("client"), &[byte; 16])? else { return Ok(None) };
    assert!(taken.key.0 == key(byte + 2).0);
    taken.open(3, &plan(), &key(byte + 1)).map(Some)
}

fn is_right(found: &Batch, byte: u8) -> bool {
    let due = batch(byte);
    found.id == 3 && found.seed == due.seed && found.corrections == due.corrections
}

fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    files::private_folder(to, "copy").unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Folders of a shelf: of seals, and of keys.
fn folders(base: &Path) -> [PathBuf; 2] {
    ["pool", "pool.keys"].map(|name| base.join(name))
}

/// What lies there but for the owner's name.
fn left(base: &Path) -> usize {
    let count =
        |at: &PathBuf| listed(at, "batch").unwrap().len() + listed(at, "key").unwrap().len();
    folders(base).iter().map(count).sum()
}

#[test]
fn a_batch_waits_over_restarts_and_is_used_once() {
    let dir = tempfile::tempdir().unwrap();
    let [pool, keys] = folders(dir.path());
    let shelf = open(&pool);
    [10, 20, 30].iter().for_each(|byte| put(&shelf, *byte));
    assert!(
        shelf.put(record("client", 10), batch(1), &key(1), &key(1)).is_err(),
        "its name is taken"
    );
    shelf.put(record("other", 40), batch(40), &key(41), &key(42)).unwrap();
    for (folder, mode) in [(&pool, 0o700), (&keys, 0o700)] {
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, mode);
        for entry in fs::read_dir(folder).unwrap() {
            let all = entry.unwrap().metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(all, 0o600);
        }
    }
    // Nothing of it is there to be read.
    let sealed = fs::read(shelf.sealed(&[10; 16])).unwrap();
    assert!(!sealed[16..].windows(8).any(|bytes| bytes == [10; 8]));
    drop(shelf);
    let shelf = open(&pool);
    assert_eq!((shelf.count("client"), shelf.count("other"), shelf.all()), (3, 1, 4));
    assert_eq!(shelf.first("client"), Some([10; 16]), "the oldest");
    assert!(shelf.take(&of("client"), &[40; 16]).unwrap().is_none(), "it is another's");
    assert!(is_right(&used(&shelf, 20).unwrap().unwrap(), 20));
    assert!(used(&shelf, 20).unwrap().is_none());
    assert!(shelf.burn("client", &[30; 16]).unwrap());
    assert!(!shelf.burn("client", &[30; 16]).unwrap());
    assert_eq!(left(dir.path()), 4);
    assert_eq!(shelf.retain(|record| record.of.peer == "client").unwrap(), 1);
    let id = shelf.id();
    assert_eq!(shelf.waits("client").tags, [[10; 16]]);
    drop(shelf);
    let shelf = open(&pool);
    assert_eq!((shelf.first("client"), shelf.all()), (Some([10; 16]), 1));
    assert_eq!((shelf.id(), shelf.waits("client").folder), (id, id));
    assert_eq!((shelf.retain(|_| false).unwrap(), left(dir.path())), (1, 0));
}

#[test]
fn batches_of_each_plan_are_counted_and_opened_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let [pool, _] = folders(dir.path());
    let shelf = open(&pool);
    put(&shelf, 10);
    let longer = Of { plan: [9; 32], ..of("client") };
    let another = Record { of: longer.clone(), ..record("client", 20) };
    shelf.put(another, batch(20), &key(21), &key(22)).unwrap();
    assert_eq!((shelf.count("client"), shelf.count_of(&longer)), (2, 1));
    assert_eq!(
        [&of("client"), &longer].map(|of| shelf.first_of(of)),
        [10, 20].map(|t| Some([t; 16]))
    );
    // A name of the one plan is none of the other: what is opened by another plan is of other shapes.
    assert!(shelf.has("client", &[20; 16]) && !shelf.is_of(&of("client"), &[20; 16]));
    assert!(shelf.take(&of("client"), &[20; 16]).unwrap().is_none());
    assert!(shelf.take(&longer, &[10; 16]).unwrap().is_none());
    assert_eq!(shelf.count("client"), 2, "nothing was taken");
    drop(shelf);
    let shelf = open(&pool);
    assert!(is_right(&used(&shelf, 10).unwrap().unwrap(), 10));
    assert!(shelf.take(&longer, &[20; 16]).unwrap().is_some());
    assert!(shelf.burn("client", &[20; 16]).is_ok_and(|burnt| !burnt));
}

#[test]
fn what_waits_for_too_long_is_burnt_and_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = open(&folders(dir.path())[0]);
    let day = Duration::from_secs(24 * 3600);
    let ages = [(10, LONGEST - day), (20, LONGEST + day), (30, Duration::ZERO)];
    for (tag, age) in ages {
        let fresh = record("client", tag);
        let stored = fresh.stored - age.as_micros() as u64;
        shelf.put(Record { stored, ..fresh }, batch(tag), &key(tag + 1), &key(tag + 2)).unwrap();
    }
    // By a clock that was right only later nobody knows how long it has waited.
    let fresh = record("other", 40);
    let stored = fresh.stored + day.as_micros() as u64;
    shelf.put(Record { stored, ..fresh }, batch(40), &key(41), &key(42)).unwrap();
    let gone = shelf.expire(LONGEST).unwrap();
    let due = [("client".to_owned(), 1), ("other".to_owned(), 1)];
    assert_eq!((gone, shelf.all()), (BTreeMap::from(due), 2));
    assert!(used(&shelf, 20).unwrap().is_none());
    assert_eq!(left(dir.path()), 4);
    assert!(is_right(&used(&shelf, 10).unwrap().unwrap(), 10));
}

#[test]
fn a_crash_at_any_moment_leaves_a_batch_whole_or_burnt() {
    let dir = tempfile::tempdir().unwrap();
    let [pool, keys] = folders(dir.path());
    let shelf = open(&pool);
    put(&shelf, 10);
    let [sealed, key] = [shelf.sealed(&[10; 16]), shelf.key(&[10; 16])];
    let bytes = [&sealed, &key].map(|path| fs::read(path).unwrap());
    drop(shelf);
    fs::write(pool.join("notes.txt"), "not ours").unwrap();
    // What is there of seal and keys when it begins again: half written, the first alone, the second alone as after its use.
    let states: [[Option<&str>; 2]; 5] = [
        [Some("part"), None],
        [Some("batch"), None],
        [Some("batch"), Some("part")],
        [None, Some("key")],
        [None, None],
    ];
    for [first, second] in states {
        for (path, ending, bytes) in [(&sealed, first, &bytes[0]), (&key, second, &bytes[1])] {
            drop(fs::remove_file(path));
            if let Some(ending) = ending {
                fs::write(path.with_extension(ending), bytes).unwrap();
            }
        }
        assert_eq!(open(&pool).all(), 0, "{first:?} {second:?}");
        assert_eq!(left(dir.path()), 0);
        assert_eq!(fs::read_dir(&keys).unwrap().count(), 1, "the folder's name");
    }
    for (path, bytes) in [(&sealed, &bytes[0]), (&key, &bytes[1])] {
        fs::write(path, bytes).unwrap();
    }
    assert!(is_right(&used(&open(&pool), 10).unwrap().unwrap(), 10));
    assert!(pool.join("notes.txt").exists());
    // Taken, and not opened before the end.
    let shelf = open(&pool);
    put(&shelf, 50);
    let taken = shelf.take(&of("client"), &[50; 16]).unwrap();
    std::mem::forget(taken);
    drop(shelf);
    assert_eq!((open(&pool).all(), left(dir.path())), (0, 0));
}

/// Of several models, each has a folder in the pool folder: who restores that restores no key.
#[test]
fn a_restored_folder_of_several_models_has_no_keys() {
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool");
    let saved = dir.path().join("saved");
    let open =
        |model: &str| Shelf::open(&Place::of_model(&pool, model), "server", &[9; 32]).unwrap();
    for model in ["x", "x.keys"] {
        let shelf = open(model);
        put(&shelf, 10);
        assert!(
            !shelf.keys.starts_with(fs::canonicalize(&pool).unwrap()),
            "{}",
            shelf.keys.display()
        );
        copy(&pool.join(model), &saved);
        assert!(used(&shelf, 10).unwrap().is_some());
        drop(shelf);
        copy(&saved, &pool.join(model));
        assert_eq!(open(model).all(), 0, "{model}");
    }
    // A folder is no key and no batch.
    let named = format!("{}.key", hex(&[7; 16]));
    let of_whole = Shelf::open(&Place::whole(&pool), "server", &[9; 32]).unwrap();
    fs::create_dir(of_whole.keys.join(named)).unwrap();
    fs::create_dir(pool.join("a.batch")).unwrap();
    drop(of_whole);
    assert_eq!(Shelf::open(&Place::whole(&pool), "server", &[9; 32]).unwrap().all(), 0);
    // Each has its own.
    let [x, y] = ["x", "y"].map(open);
    put(&x, 10);
    put(&y, 20);
    drop((x, y));
    assert_eq!(["x", "y"].map(|model| open(model).all()), [1, 1]);
}

#[test]
fn a_folder_that_is_restored_has_no_keys_and_with_them_not_the_peers() {
    let dir = tempfile::tempdir().unwrap();
    let [pool, keys] = folders(dir.path());
    let saved = ["saved", "saved.keys"].map(|name| dir.path().join(name));
    let shelf = open(&pool);
    put(&shelf, 10);
    copy(&pool, &saved[0]);
    copy(&keys, &saved[1]);
    assert!(used(&shelf, 10).unwrap().is_some());
    drop(shelf);
    copy(&saved[0], &pool);
    let shelf = open(&pool);
    assert_eq!((shelf.all(), left(dir.path())), (0, 0));
    drop(shelf);
    // With all of this party's: the peer has given its key away, and has none.
    copy(&saved[0], &pool);
    copy(&saved[1], &keys);
    let shelf = open(&pool);
    assert_eq!(shelf.all(), 1);
    let taken = shelf.take(&of("client"), &[10; 16]).unwrap().unwrap();
    assert!(matches!(taken.open(3, &plan(), &key(0)), Err(Error::Check(_))));
    assert_eq!((shelf.all(), left(dir.path())), (0, 0));
}

#[test]
fn any_change_of_any_file_burns_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let [pool, _] = folders(dir.path());
    let shelf = open(&pool);
    put(&shelf, 10);
    let [sealed, keys] = [shelf.sealed(&[10; 16]), shelf.key(&[10; 16])];
    let valid = [&sealed, &keys].map(|path| fs::read(path).unwrap());
    drop(shelf);
    let restore = || {
        fs::write(&sealed, &valid[0]).unwrap();
        fs::write(&keys, &valid[1]).unwrap();
    };
    for at in 0..valid[0].len() + valid[1].len() {
        restore();
        let (path, at) =
            if at < valid[0].len() { (&sealed, at) } else { (&keys, at - valid[0].len()) };
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 4;
        fs::write(path, &bytes).unwrap();
        let shelf = open(&pool);
        let found = used(&shelf, 10);
        assert!(matches!(found, Ok(None) | Err(Error::Check(_))), "{} {at}", path.display());
        assert_eq!(left(dir.path()), 0);
        drop(shelf);
        restore();
        bytes.truncate(at);
        fs::write(path, &bytes).unwrap();
        assert!(!matches!(used(&open(&pool), 10), Ok(Some(_))), "cut at {at}");
        assert_eq!(left(dir.path()), 0);
    }
}

#[test]
fn what_is_swapped_between_batches_parties_or_models_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let [pool, keys] = folders(dir.path());
    let shelf = open(&pool);
    // Under one key of the peer's: it may have drawn it twice.
    for tag in [10, 20] {
        shelf.put(record("client", tag), batch(tag), &key(5), &key(6)).unwrap();
    }
    fs::copy(shelf.sealed(&[10; 16]), shelf.sealed(&[20; 16])).unwrap();
    let taken = shelf.take(&of("client"), &[20; 16]).unwrap().unwrap();
    assert!(matches!(taken.open(3, &plan(), &key(5)), Err(Error::Check(_))));
    fs::copy(shelf.key(&[10; 16]), shelf.key(&[30; 16])).unwrap();
    fs::copy(shelf.sealed(&[10; 16]), shelf.sealed(&[30; 16])).unwrap();
    drop(shelf);
    let shelf = open(&pool);
    assert_eq!(shelf.all(), 1, "keys under another name are nobody's");
    // Those of another peer, plan or model: the name says what a key is of.
    let known = shelf.lock().values().next().unwrap().clone();
    for other in [
        Of { peer: "other".into(), ..of("client") },
        Of { plan: [7; 32], ..of("client") },
        Of { model: [7; 32], ..of("client") },
    ] {
        let other = Record { of: other, ..known.clone() };
        let ours = key(1);
        let seals = [&known, &other].map(|record| shelf.cipher(record, [&ours, &ours]));
        assert!(seals[0][0] != seals[1][0] && seals[0][1] != seals[1][1]);
    }
    drop(shelf);
    // Another party's folder, whose name is the same.
    let saved = dir.path().join("saved.keys");
    copy(&keys, &saved);
    assert_eq!(Shelf::open(&Place::whole(&pool), "server", &[8; 32]).unwrap().all(), 0);
    assert_eq!(left(dir.path()), 0);
    // Keys that are elsewhere.
    fs::remove_dir_all(&keys).unwrap();
    std::os::unix::fs::symlink(&saved, &keys).unwrap();
    let refused = Shelf::open(&Place::whole(&pool), "server", &[9; 32]).err().unwrap().to_string();
    assert!(refused.contains("pool.keys is a link"), "{refused}");
}

/// Has two parties store a batch, the second one on a disk that is full where so; gives what each says.
fn both(shelves: [&Shelf; 2], full: bool) -> [Option<Lost>; 2] {
    // Nothing can be written where a folder lies.
    let taken = shelves[1].sealed(&[10; 16]).with_extension("part");
    if full {
        fs::create_dir(&taken).unwrap();
    }
    let (mut server, mut client) = local_pair("server", "client");
    let pads = [key(71), key(72)];
    thread::scope(|scope| {
        let [a, b] = &pads;
        let theirs = scope.spawn(move || {
            keep(&mut client, shelves[1], [b, a], record("server", 10), batch(20)).unwrap()
        });
        let ours = keep(&mut server, shelves[0], [a, b], record("client", 10), batch(10)).unwrap();
        let theirs = theirs.join().unwrap();
        drop(fs::remove_dir(&taken));
        [ours, theirs]
    })
}

#[test]
fn two_parties_store_a_batch_both_or_neither_and_open_it_with_each_others_keys() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
    let server = Shelf::open(&Place::whole(a.join("pool")), "server", &[1; 32]).unwrap();
    let client = Shelf::open(&Place::whole(b.join("pool")), "client", &[2; 32]).unwrap();
    assert!(matches!(both([&server, &client], false), [None, None]));
    let ours = server.take(&of("client"), &[10; 16]).unwrap().unwrap();
    let theirs = client.take(&of("server"), &[10; 16]).unwrap().unwrap();
    let keys = [ours.key.clone(), theirs.key.clone()];
    assert!(is_right(&ours.open(3, &plan(), &keys[1]).unwrap(), 10));
    assert!(is_right(&theirs.open(3, &plan(), &keys[0]).unwrap(), 20));

    let [ours, theirs] = both([&server, &client], true);
    assert!(matches!(ours, Some(Lost::There)), "{ours:?}");
    let Some(Lost::Here(why)) = theirs else { panic!("its disk is full") };
    let why = why.to_string();
    assert!(
        ["cannot be stored", "free space", "pool_folder"].iter().all(|w| why.contains(w)),
        "{why}"
    );
    assert_eq!([&server, &client].map(Shelf::all), [0, 0]);
    assert_eq!([&a, &b].map(|base| listed(&base.join("pool"), "batch").unwrap().len()), [0, 0]);
}

/// While a process runs, which has seen a file there when it began.
#[test]
fn a_pipe_in_the_place_of_a_batch_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = open(&dir.path().join("pool"));
    put(&shelf, 3);
    let path = shelf.sealed(&[3; 16]);
    fs::remove_file(&path).unwrap();
    files::pipe(&path);
    let why = used(&shelf, 3).err().unwrap().to_string();
    assert!(why.contains("is burnt") && !path.exists(), "{why}");
}

#[test]
fn a_peer_that_vanishes_or_lies_while_a_batch_is_stored_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(&Place::whole(dir.path().join("pool")), "server", &[1; 32]).unwrap();
    // How far the peer goes: nothing, garbage, a key alone, a no.
    for phase in 0..4 {
        let (mut server, mut client) = local_pair("server", "client");
        let kept = thread::scope(|scope| {
            scope.spawn(move || match phase {
                0 => {}
                1 => client.send(step::KEEP, vec![1; 3]).unwrap(),
                _ => {
                    messages::send(&mut client, step::KEEP, &key(3)).unwrap();
                    let _: Secret = messages::recv(&mut client, step::KEEP).unwrap();
                    if phase == 3 {
                        messages::send(&mut client, step::KEPT, &false).unwrap();
                        let _: bool = messages::recv(&mut client, step::KEPT).unwrap();
                    }
                }
            });
            let tag = 10 + phase;
            keep(&mut server, &shelf, [&key(1), &key(2)], record("client", tag), batch(10))
        });
        match phase {
            3 => assert!(matches!(kept, Ok(Some(Lost::There)))),
            _ => assert!(matches!(kept, Err(Error::Net(_)))),
        }
        // What the peer may have stored stays: it opens with the peer's key alone, and is given up for a newer one.
        assert_eq!(shelf.count("client"), usize::from(phase >= 2) - usize::from(phase == 3));
        shelf.retain(|_| false).unwrap();
    }
}
