//! What a client may hold, and for how long, on batches without a dealer.

use sotto_crypto::Seed;
use sotto_protocols::{Role, batch::Batch, plan::Trace};
use zeroize::Zeroizing;

use super::*;

/// A pool whose dealer is nowhere, with so many staged batches, numbered from 1.
fn pool(batches: u64, places: usize, share: usize) -> Pool {
    let mut trace = Trace::new();
    let input = trace.input(&[1], 20, 4);
    let opened = trace.open_signed(input, 16);
    let positive = trace.relu(opened, 16);
    let revealed = trace.reveal(positive, 16);
    let terms = Terms {
        plan: Arc::new(trace.finish(&[revealed])),
        weights: Arc::new(Weights::Plain(Vec::new())),
        pool: 0,
        places,
        share,
        store: None,
        server: "server".into(),
        epoch: [1; 16],
        last: None,
        audit: None,
        trust: Arc::default(),
    };
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
