//! What a client may hold, and for how long, on batches without a dealer; and that whoever waits is woken.
//!
//! Each test runs on real threads, and once more under hundreds of schedules ([`super::super::schedules`]), where no wait ends by
//! itself: a lock or a wake-up that is missing is a deadlock.

use std::sync::mpsc;

use sotto_crypto::Seed;
use sotto_net::{Endpoint, Identity, Link, Profile};
use sotto_protocols::{Role, batch::Batch, plan::Trace, seeds::deal_tag};
use zeroize::Zeroizing;

use crate::{
    config::{Memory, Peer},
    dealer_link::Dealer,
    messages::{self, Ask, CHUNK, DealerHello, DealerWelcome, Dealt, step},
};

use super::{
    super::sync::{REAL, explored},
    *,
};

const MEMORY: Memory = Memory { batch: 1, making: 0 };

/// What a pool of some ReLUs knows.
fn terms(relus: usize, places: usize, share: usize) -> Terms {
    let mut trace = Trace::new();
    let input = trace.input(&[relus], 20, 4);
    let opened = trace.open_signed(input, 16);
    let positive = trace.relu(opened, 16);
    let revealed = trace.reveal(positive, 16);
    let room = Room::new([places, share, 0], MEMORY);
    Terms {
        plan: Arc::new(trace.finish(&[revealed])),
        weights: Arc::new(Weights::Plain(Vec::new())),
        room: Arc::new(room),
        store: None,
        server: "server".into(),
        of: "of a test".into(),
        epoch: [1; 16],
        last: None,
        audit: None,
        trust: Arc::default(),
    }
}

/// A pool whose dealer is nowhere, with so many staged batches, numbered from 1.
fn pool(batches: u64, places: usize, share: usize) -> Pool {
    let terms = terms(1, places, share);
    let (plan, weights) = (Arc::clone(&terms.plan), Arc::clone(&terms.weights));
    let nobody = || Err(Error::Config("there is no dealer".into()));
    let pool = Pool::start(terms, Box::new(nobody)).unwrap();
    for id in 1..=batches {
        let seed = Seed::random().unwrap();
        let batch = Batch { id, seed, corrections: None };
        let staged = batch.stage(&plan, Role::Client, &weights).unwrap();
        let ticket = Zeroizing::new([0; 16]);
        let names = Names { id, ticket, tag: [0; 16], peer: [0; 32], corrections: 0 };
        let ready = Ready { staged, tag: [0; 16], bytes: 32 };
        pool.shared.lock().entries.insert(id, Entry::new(names, Stage::Staged(ready)));
    }
    pool
}

fn holder(link: u64, name: &str) -> Holder {
    Holder { link, name: name.into() }
}

/// Asks without patience.
fn assign(pool: &Pool, to: &Holder) -> Result<u64, Refusal> {
    let assigned = pool.assign(to, Duration::ZERO, &mut |_, _| Ok(())).unwrap();
    assigned.map(|assigned| assigned.id)
}

/// As if all that is held had been ready for so long.
fn age(pool: &Pool, by: Duration) {
    for entry in pool.shared.lock().entries.values_mut() {
        entry.since = entry.since.checked_sub(by).expect("a clock that has run for minutes");
    }
}

#[test]
fn what_a_client_evaluates_with_counts_as_its_own() {
    explored(|| {
        let pool = pool(6, 6, 3);
        let greedy = [1, 2, 3, 4].map(|link| holder(link, "greedy"));
        let mut places = Vec::new();
        for holder in &greedy[..3] {
            let id = assign(&pool, holder).unwrap();
            places.push(pool.take(holder, id).unwrap().1);
        }
        assert_eq!(assign(&pool, &greedy[3]), Err(Refusal::Busy(6)));
        assert!(pool.assign_ahead(&greedy[3], 1).is_empty());
        // An evaluation that is over frees its place.
        places.pop();
        assert!(assign(&pool, &greedy[3]).is_ok());
    });
}

#[test]
fn the_last_place_is_for_somebody_who_has_none() {
    explored(|| {
        let pool = pool(4, 4, 2);
        let [a, b, c] = [(1, "a"), (2, "b"), (3, "c")].map(|(link, name)| holder(link, name));
        assert!(assign(&pool, &a).is_ok() && assign(&pool, &a).is_ok());
        assert!(assign(&pool, &b).is_ok());
        assert_eq!(assign(&pool, &b), Err(Refusal::Busy(4)));
        assert!(assign(&pool, &c).is_ok());
        // Who is alone has all.
        let pool = self::pool(2, 2, 2);
        assert!(assign(&pool, &a).is_ok() && assign(&pool, &a).is_ok());
    });
}

#[test]
fn what_is_left_for_long_is_nobodys_whatever_the_connection_does() {
    explored(|| {
        let pool = pool(4, 4, 3);
        let (left, other) = (holder(1, "left"), holder(2, "other"));
        let ids = [(); 2].map(|()| assign(&pool, &left).unwrap());
        age(&pool, FRESH / 2);
        let fresh = assign(&pool, &other).unwrap();
        age(&pool, FRESH / 2 + Duration::from_secs(1));
        let ready =
            |holder, id| pool.ready(holder, id, Duration::ZERO, &mut |_, _| Ok(())).unwrap();
        assert_eq!(ready(&left, ids[0]), Err(Refusal::Burnt(ids[0])));
        assert!(pool.take(&left, ids[1]).is_none());
        assert!(ready(&other, fresh).is_ok());
        // Each is charged for once, whoever asks.
        let charged: Vec<_> =
            pool.left().into_iter().map(|(name, n)| (name.to_string(), n)).collect();
        assert_eq!(charged, [("left".to_owned(), 2)]);
        assert!(pool.left().is_empty());
        assert_eq!((pool.release(&left), pool.release(&other)), (0, 1));
    });
}

#[test]
fn nothing_of_a_dealer_that_cheated_is_given_in_any_session() {
    explored(|| {
        let pool = pool(3, 3, 2);
        let client = holder(1, "client");
        let id = assign(&pool, &client).unwrap();
        // Seen by another session's pool.
        pool.shared.terms.trust.lose("it lied".into());
        pool.shared.terms.trust.lose("later".into());
        assert!(pool.take(&client, id).is_none());
        let refused = pool.ready(&client, id, Duration::ZERO, &mut |_, _| Ok(())).unwrap();
        assert_eq!(refused, Err(Refusal::NoDealer("it lied".into())));
        assert_eq!(assign(&pool, &client), Err(Refusal::NoDealer("it lied".into())));
    });
}

#[test]
fn less_room_burns_what_nobody_holds_and_what_leaves_keeps_nothing_ready() {
    explored(|| {
        let pool = pool(5, 5, 3);
        let client = holder(1, "client");
        let id = assign(&pool, &client).unwrap();
        let room = &pool.shared.terms.room;
        room.keep(4);
        room.resize([3, 2]);
        pool.trim();
        assert_eq!((pool.in_memory(), pool.batches()), (3, [2, 1]));
        room.keep(1);
        pool.trim();
        assert_eq!((pool.in_memory(), pool.batches()), (2, [1, 1]));
        room.keep(0);
        pool.trim();
        assert_eq!((pool.in_memory(), pool.batches()), (1, [0, 1]));
        // What somebody holds is still its own.
        assert!(pool.take(&client, id).is_some());
    });
}

/// In time, which schedules do not know.
#[test]
fn those_who_wait_do_not_wake_each_other_without_end() {
    if !REAL {
        return;
    }
    let pool = pool(0, 4, 2);
    let wait = || {
        let mut looked = 0;
        let found = pool.wait(Duration::from_millis(400), &mut |_, _| Ok(()), |_| {
            looked += 1;
            None::<Result<(), Refusal>>
        });
        assert!(matches!(found, Ok(Err(Refusal::Exhausted(_)))));
        looked
    };
    let looked: Vec<u32> = thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(wait)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    // Each is woken by each that begins to wait, and by the time.
    assert!(looked.iter().all(|looked| *looked < 40), "{looked:?}");
}

/// More than a test takes.
const WAIT: Duration = Duration::from_secs(20);

/// A dealer that begins a batch and sends a piece of it each time that it is told to; gives what it sees of the server then.
fn dripping(at: &Endpoint, corrections: u64, go: &mpsc::Receiver<()>) -> sotto_net::Error {
    let mut link = at.accept(WAIT).unwrap();
    link.set_deadline(WAIT);
    let _: DealerHello = messages::recv(&mut link, step::HELLO).unwrap();
    messages::send(&mut link, step::WELCOME, &DealerWelcome::Ready).unwrap();
    let Ask::New { pad: Some(pad) } = messages::recv(&mut link, step::REQUEST).unwrap() else {
        panic!("a batch for memory is asked for")
    };
    let (ticket, seed) = (Zeroizing::new([0; 16]), Some(pad));
    let batch = Dealt::Batch { id: 1, ticket, tag: [0; 16], peer: [0; 32], seed, corrections };
    messages::send(&mut link, step::REPLY, &batch).unwrap();
    go.iter().for_each(|()| link.send(step::CORRECTIONS, vec![0; CHUNK]).unwrap());
    link.recv_upto(step::REQUEST, 1).unwrap_err()
}

/// Over sockets, which know no schedules.
#[test]
fn a_pool_that_is_closed_ends_whatever_its_dealer_still_sends() {
    if !REAL {
        return;
    }
    let [ours, theirs] = ["server", "dealer"].map(|name| Identity::generate(name).unwrap());
    let bind = |us: &Identity, peer: &Identity| {
        let peers = [(peer.name().to_owned(), peer.certificate().clone())];
        Endpoint::bind("127.0.0.1:0".parse().unwrap(), us, &peers, &peers, Profile::loopback())
    };
    let (here, there) = (bind(&ours, &theirs).unwrap(), bind(&theirs, &ours).unwrap());
    let at = there.local_addr().to_string();
    let terms = Terms { room: Arc::new(Room::new([3, 2, 1], MEMORY)), ..terms(400_000, 3, 2) };
    let corrections = terms.plan.correction_bytes() as u64;
    assert!(corrections > 3 * CHUNK as u64, "{corrections}");
    let dealer = Dealer {
        endpoint: Arc::new(here),
        peer: Peer::new("dealer", theirs.certificate().clone(), &at),
        plan: terms.plan.hash(),
        deadline: 3 * WAIT,
    };
    let (go, told) = mpsc::channel();
    let drips = thread::spawn(move || dripping(&there, corrections, &told));
    let pool = Pool::start(terms, Box::new(move || dealer.batches(None, [1; 16]))).unwrap();
    go.send(()).unwrap();
    let mut state = pool.shared.lock();
    while state.coming.0 == 0 {
        state = pool.shared.wait(state, WAIT);
    }
    drop(state);
    pool.close();
    go.send(()).unwrap();
    drop(go);
    // Before it would wait for a third piece.
    let seen = drips.join().unwrap();
    assert!(matches!(seen, sotto_net::Error::Link { .. }), "{seen}");
    pool.end();
    assert!(pool.shared.lock().entries.is_empty());
}

/// So long that nobody who is forgotten goes on.
const LONG: Duration = Duration::from_secs(600);

fn patient(pool: &Pool, to: &Holder) -> Result<u64, Refusal> {
    let assigned = pool.assign(to, LONG, &mut |_, _| Ok(())).unwrap();
    assigned.map(|assigned| assigned.id)
}

/// Runs this in a thread of its own.
fn aside<T: Send + 'static>(
    pool: &Arc<Pool>,
    work: impl FnOnce(&Pool) -> T + Send + 'static,
) -> JoinHandle<T> {
    let pool = Arc::clone(pool);
    thread::spawn(move || work(&pool))
}

#[test]
fn each_batch_is_one_connections_whoever_asks_at_the_same_time() {
    explored(|| {
        let pool = Arc::new(pool(3, 4, 4));
        let asks = [1, 2, 3].map(|link| {
            aside(&pool, move |pool| {
                let holder = holder(link, "client");
                let id = patient(pool, &holder).unwrap();
                let others = [1, 2, 3].map(|id| pool.take(&self::holder(9, "client"), id));
                assert!(others.iter().all(Option::is_none), "another connection's");
                let (_, place) = pool.take(&holder, id).expect("it is ours");
                assert!(pool.take(&holder, id).is_none(), "used once");
                drop(place);
                id
            })
        });
        let mut ids = asks.map(|asked| asked.join().unwrap());
        ids.sort_unstable();
        assert_eq!((ids, pool.batches()), ([1, 2, 3], [0, 0]));
    });
}

#[test]
fn who_waits_for_a_place_gets_it_when_an_evaluation_is_over() {
    explored(|| {
        let pool = Arc::new(pool(2, 1, 1));
        let first = holder(1, "first");
        let id = assign(&pool, &first).unwrap();
        let (_, place) = pool.take(&first, id).unwrap();
        let waits = aside(&pool, |pool| patient(pool, &holder(2, "second")));
        let over = aside(&pool, move |_| drop(place));
        assert!(waits.join().unwrap().is_ok());
        over.join().unwrap();
    });
}

#[test]
fn who_waits_for_a_place_gets_it_when_a_connection_is_gone() {
    explored(|| {
        let pool = Arc::new(pool(2, 1, 1));
        let first = holder(1, "first");
        assert!(assign(&pool, &first).is_ok());
        let waits = aside(&pool, |pool| patient(pool, &holder(2, "second")));
        assert_eq!(pool.release(&first), 1);
        assert!(waits.join().unwrap().is_ok());
    });
}

#[test]
fn whoever_waits_learns_that_the_pool_is_closed() {
    explored(|| {
        let pool = Arc::new(pool(1, 2, 2));
        let client = holder(1, "client");
        let id = assign(&pool, &client).unwrap();
        // Back to what it was before it was staged.
        pool.shared.lock().entries.get_mut(&id).unwrap().stage = Stage::Staging;
        let waits = [
            aside(&pool, |pool| patient(pool, &holder(2, "other")).unwrap_err()),
            aside(&pool, move |pool| {
                let ready = pool.ready(&client, id, LONG, &mut |_, _| Ok(()));
                ready.unwrap().unwrap_err()
            }),
        ];
        let stale = aside(&pool, |pool| pool.until_stale(LONG));
        pool.end();
        for waited in waits {
            let why = waited.join().unwrap();
            assert!(matches!(why, Refusal::Stale | Refusal::Burnt(_)), "{why:?}");
        }
        stale.join().unwrap();
        assert!(pool.is_stale());
    });
}

#[test]
fn whoever_waits_learns_that_there_will_be_no_dealer() {
    explored(|| {
        let nobody = || {
            let (peer, why, remedy) = ("dealer".into(), "another key".into(), "take it");
            Err(Error::Net(sotto_net::Error::Identity { peer, why, remedy }))
        };
        let pool = Arc::new(Pool::start(terms(1, 2, 2), Box::new(nobody)).unwrap());
        let waits = [1, 2].map(|link| aside(&pool, move |pool| patient(pool, &holder(link, "a"))));
        for waited in waits {
            let why = waited.join().unwrap();
            assert!(matches!(why, Err(Refusal::NoDealer(_))), "{why:?}");
        }
    });
}

/// A batch as the dealer gives it to the server, into memory.
fn give(pool: &Pool, id: u64) {
    let terms = &pool.shared.terms;
    let (seed, peer) = (Seed::from_bytes([id as u8; 32]), [0; 32]);
    let tag = deal_tag(&terms.server, &terms.epoch, id, [&seed.fingerprint(), &peer]);
    let names = Names { id, ticket: Zeroizing::new([0; 16]), tag, peer, corrections: 0 };
    let corrections = vec![0; terms.plan.correction_bytes()];
    let entry = Entry::new(names, Stage::Memory(seed, Some(corrections)));
    let mut state = pool.shared.lock();
    state.entries.insert(id, entry);
    state.moves += 1;
    pool.shared.changed.notify_all();
}

#[test]
fn what_the_dealer_gives_is_staged_for_whoever_waits() {
    explored(|| {
        let pool = Arc::new(pool(0, 4, 2));
        let waits = [1, 2].map(|link| {
            aside(&pool, move |pool| {
                let holder = holder(link, if link == 1 { "a" } else { "b" });
                let id = patient(pool, &holder).unwrap();
                let ready = pool.ready(&holder, id, LONG, &mut |_, _| Ok(())).unwrap();
                assert!(ready.is_ok(), "{ready:?}");
                assert!(pool.take(&holder, id).is_some());
                id
            })
        });
        give(&pool, 1);
        give(&pool, 2);
        let ids = waits.map(|waited| waited.join().unwrap());
        assert!(ids == [1, 2] || ids == [2, 1], "{ids:?}");
    });
}
