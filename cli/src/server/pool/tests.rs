//! What a client may hold, and for how long, on batches without a dealer.

use std::sync::mpsc;

use sotto_crypto::Seed;
use sotto_net::{Endpoint, Identity, Link, Profile};
use sotto_protocols::{Role, batch::Batch, plan::Trace};
use zeroize::Zeroizing;

use crate::{
    config::Peer,
    dealer_link::Dealer,
    messages::{self, Ask, CHUNK, DealerHello, DealerWelcome, Dealt, step},
};

use super::*;

/// What a pool of some ReLUs knows.
fn terms(relus: usize, places: usize, share: usize) -> Terms {
    let mut trace = Trace::new();
    let input = trace.input(&[relus], 20, 4);
    let opened = trace.open_signed(input, 16);
    let positive = trace.relu(opened, 16);
    let revealed = trace.reveal(positive, 16);
    let room = Room::new([places, share, 0], 1);
    Terms {
        plan: Arc::new(trace.finish(&[revealed])),
        weights: Arc::new(Weights::Plain(Vec::new())),
        room: Arc::new(room),
        store: None,
        server: "server".into(),
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
}

#[test]
fn the_last_place_is_for_somebody_who_has_none() {
    let pool = pool(4, 4, 2);
    let [a, b, c] = [(1, "a"), (2, "b"), (3, "c")].map(|(link, name)| holder(link, name));
    assert!(assign(&pool, &a).is_ok() && assign(&pool, &a).is_ok());
    assert!(assign(&pool, &b).is_ok());
    assert_eq!(assign(&pool, &b), Err(Refusal::Busy(4)));
    assert!(assign(&pool, &c).is_ok());
    // Who is alone has all.
    let pool = self::pool(2, 2, 2);
    assert!(assign(&pool, &a).is_ok() && assign(&pool, &a).is_ok());
}

#[test]
fn what_is_left_for_long_is_nobodys_whatever_the_connection_does() {
    let pool = pool(4, 4, 3);
    let (left, other) = (holder(1, "left"), holder(2, "other"));
    let ids = [(); 2].map(|()| assign(&pool, &left).unwrap());
    age(&pool, FRESH / 2);
    let fresh = assign(&pool, &other).unwrap();
    age(&pool, FRESH / 2 + Duration::from_secs(1));
    let ready = |holder, id| pool.ready(holder, id, Duration::ZERO, &mut |_, _| Ok(())).unwrap();
    assert_eq!(ready(&left, ids[0]), Err(Refusal::Burnt(ids[0])));
    assert!(pool.take(&left, ids[1]).is_none());
    assert!(ready(&other, fresh).is_ok());
    // Each is charged for once, whoever asks.
    let charged: Vec<_> = pool.left().into_iter().map(|(name, n)| (name.to_string(), n)).collect();
    assert_eq!(charged, [("left".to_owned(), 2)]);
    assert!(pool.left().is_empty());
    assert_eq!((pool.release(&left), pool.release(&other)), (0, 1));
}

#[test]
fn nothing_of_a_dealer_that_cheated_is_given_in_any_session() {
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
}

#[test]
fn less_room_burns_what_nobody_holds_and_what_leaves_keeps_nothing_ready() {
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
}

#[test]
fn those_who_wait_do_not_wake_each_other_without_end() {
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

#[test]
fn a_pool_that_is_closed_ends_whatever_its_dealer_still_sends() {
    let [ours, theirs] = ["server", "dealer"].map(|name| Identity::generate(name).unwrap());
    let bind = |us: &Identity, peer: &Identity| {
        let peers = [(peer.name().to_owned(), peer.certificate().clone())];
        Endpoint::bind("127.0.0.1:0".parse().unwrap(), us, &peers, &peers, Profile::loopback())
    };
    let (here, there) = (bind(&ours, &theirs).unwrap(), bind(&theirs, &ours).unwrap());
    let at = there.local_addr().to_string();
    let terms = Terms { room: Arc::new(Room::new([3, 2, 1], 1)), ..terms(400_000, 3, 2) };
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
