use sotto_crypto::Seed;
use sotto_protocols::{Role, batch::Batch, plan::Trace, weights::Weights};

use super::*;
use crate::config::Memory;

/// Batches of so many bytes, of which one in the making counts as six.
fn memory(batch: u64) -> Memory {
    Memory { batch, making: 6 }
}

/// Room for so many batches.
fn room(places: usize, share: usize) -> Arc<Room> {
    Arc::new(Room::new([places, share, 0], memory(1 << 20)))
}

/// Batches where links have all the memory that they like.
fn of(room: Arc<Room>) -> Arc<Made> {
    Made::new(room, Links::new(u64::MAX))
}

fn ready() -> Ready {
    let mut trace = Trace::new();
    let input = trace.input(&[1], 20, 4);
    let revealed = trace.reveal(input, 16);
    let plan = Arc::new(trace.finish(&[revealed]));
    let batch = Batch { id: 0, seed: Seed::from_bytes([1; 32]), corrections: None };
    let staged = batch.stage(&plan, Role::Client, &Weights::Plain(Vec::new())).unwrap();
    Ready { staged, tag: [0; 16], bytes: 1 }
}

fn is_busy(made: &Made, client: &str, link: u64) -> bool {
    matches!(made.begin(client, link), Err(Refusal::Busy(_)))
}

/// Lets time pass for a batch that waits.
fn age(made: &Made, id: u64) {
    let mut state = made.lock();
    let since = &mut state.entries.get_mut(&id).unwrap().since;
    *since = since.checked_sub(FRESH).expect("a clock that has run for minutes");
}

fn left(made: &Made, client: &str) -> usize {
    made.left().get(client).copied().unwrap_or(0)
}

#[test]
fn slots_are_shared_and_batches_are_their_clients() {
    // Two are made at once, one for each client.
    let made = of(room(14, 7));
    let a = made.begin("a", 1).unwrap();
    assert!(is_busy(&made, "a", 2), "one at a time");
    made.begin("b", 3).unwrap();
    assert!(is_busy(&made, "c", 4), "there is no memory to make a third");
    // It is not made yet; and it is nobody else's.
    assert!(made.take("a", a).is_none() && made.take("b", a).is_none());
    assert_eq!(made.ready("b", a, Duration::ZERO), Err(Refusal::Burnt(a)));
    made.release(1);
    assert_eq!(left(&made, "a"), 1);
    assert_eq!(made.ready("a", a, Duration::from_secs(9)), Err(Refusal::Burnt(a)));
    assert!(is_busy(&made, "a", 4), "it is another's turn");
    assert_eq!(made.begin("c", 5), Ok(2), "numbers do not come again");
}

#[test]
fn what_takes_more_to_make_is_made_less_at_once() {
    for (making, at_once) in [(6, 3), (14, 1)] {
        let made = of(Arc::new(Room::new([22, 11, 0], Memory { batch: 1, making })));
        let begun = (0..5).filter(|i| made.begin(&format!("client {i}"), *i).is_ok()).count();
        assert_eq!((begun, made.taken()), (at_once, making * at_once));
    }
}

#[test]
fn what_is_given_up_keeps_its_memory_and_is_charged() {
    let made = of(room(8, 8));
    let id = made.begin("a", 1).unwrap();
    for _ in 0..3 {
        assert_eq!(made.ready("a", id, Duration::ZERO), Err(Refusal::Burnt(id)));
        assert!(is_busy(&made, "a", 2) && is_busy(&made, "b", 3), "it is still being made");
    }
    assert_eq!(left(&made, "a"), 0);
    made.finish(id, ready());
    assert_eq!((left(&made, "a"), made.batches()), (1, [0, 0]));
    assert!(made.take("a", id).is_none());
    made.begin("b", 3).unwrap();
}

#[test]
fn every_batch_that_is_not_used_is_charged_once() {
    let made = of(room(20, 20));
    let [first, second, third] = [(); 3].map(|()| {
        let id = made.begin("a", 1).unwrap();
        made.finish(id, ready());
        id
    });
    // The first is passed over, the second used, the third goes with its link.
    assert!(made.ready("a", second, Duration::ZERO).is_ok());
    assert_eq!(left(&made, "a"), 1);
    assert_eq!(made.ready("a", first, Duration::ZERO), Err(Refusal::Burnt(first)));
    let (_, place) = made.take("a", second).unwrap();
    assert_eq!((made.batches(), made.of("a")), ([1, 1], 2));
    drop(place);
    made.release(1);
    assert_eq!((left(&made, "a"), made.of("a")), (1, 0));
    assert!(made.take("a", third).is_none());
    made.release(1);
    assert_eq!(left(&made, "a"), 0);
}

#[test]
fn old_batches_give_way_where_there_is_no_room_and_one_at_a_time() {
    let made = of(room(8, 3));
    let make = |client, link| {
        let id = made.begin(client, link).unwrap();
        made.finish(id, ready());
        age(&made, id);
        id
    };
    let [b, a] = [make("b", 1), make("a", 2)];
    // There is room: nothing gives way, whatever its age.
    assert_eq!(made.batches(), [2, 0]);
    // A third needs a place, and takes the asker's own.
    let again = made.begin("a", 2).unwrap();
    assert_eq!((left(&made, "a"), made.of("b")), (1, 1));
    made.finish(again, ready());
    assert!(made.ready("b", b, Duration::ZERO).is_ok() && made.take("a", a).is_none());
    // Somebody who has none takes another's.
    let c = made.begin("c", 3).unwrap();
    made.finish(c, ready());
    let _d = made.begin("d", 4).unwrap();
    assert_eq!(left(&made, "b"), 1);
}

#[test]
fn a_client_at_its_share_takes_nothing_of_others() {
    let made = of(room(40, 1));
    for (client, link) in [("a", 1), ("b", 2)] {
        let id = made.begin(client, link).unwrap();
        made.finish(id, ready());
    }
    age(&made, 1);
    assert!(is_busy(&made, "a", 1));
    assert_eq!((made.of("b"), left(&made, "b")), (1, 0));
}

#[test]
fn two_clients_do_not_hold_all_slots() {
    // Five at once, two for each, and one for whoever makes none.
    let made = of(room(32, 16));
    for client in ["a", "b"] {
        made.begin(client, 1).unwrap();
        made.begin(client, 1).unwrap();
        assert!(is_busy(&made, client, 1));
    }
    made.begin("c", 2).unwrap();
    assert!(is_busy(&made, "d", 3));
}

#[test]
fn one_slot_goes_round() {
    let made = of(room(8, 8));
    let mut now = "a";
    for _ in 0..4 {
        let other = if now == "a" { "b" } else { "a" };
        let id = made.begin(now, 1).unwrap();
        assert!(is_busy(&made, other, 2));
        made.finish(id, ready());
        drop(made.take(now, id));
        assert!(is_busy(&made, now, 1), "it is the other's turn");
        now = other;
    }
}

/// Two that ask all the time must not have a third wait for longer than its turn.
#[test]
fn who_asks_more_often_is_not_before_who_waits_for_longer() {
    let made = of(room(8, 8));
    let id = made.begin("a", 1).unwrap();
    assert!(is_busy(&made, "patient", 3));
    for _ in 0..9 {
        assert!(is_busy(&made, "b", 2));
    }
    made.finish(id, ready());
    drop(made.take("a", id));
    for greedy in ["b", "a", "b"] {
        assert!(is_busy(&made, greedy, 1), "it is the patient one's turn");
    }
    made.begin("patient", 3).unwrap();
}

#[test]
fn what_is_found_and_not_opened_has_one_place_and_grows_old() {
    let made = of(room(8, 4));
    let [tag, other] = [[1; 16], [2; 16]];
    let first = made.wake("a", 1, &tag).unwrap();
    // Over as many links as there are: one place, of the last one.
    let last = (2..9).fold(first, |_, link| made.wake("a", link, &tag).unwrap());
    made.release(1);
    assert_eq!((made.of("a"), left(&made, "a")), (1, 0));
    assert!(!made.opens("a", first) && !made.opens("b", last));
    // To ask again makes it no younger.
    age(&made, last);
    let again = made.wake("a", 9, &tag).unwrap();
    made.wake("b", 10, &tag).unwrap();
    made.wake("c", 11, &tag).unwrap();
    made.begin("d", 12).unwrap();
    assert_eq!((made.of("a"), left(&made, "a")), (0, 1), "it gave way, and is charged");
    assert!(!made.opens("a", again));
    // A link that ends with it is charged, too; one that opens it is not.
    made.wake("b", 10, &other).unwrap_err();
    made.release(10);
    assert_eq!(left(&made, "b"), 1);
    let id = made.wake("b", 10, &tag).unwrap();
    assert!(made.opens("b", id) && !made.opens("b", id));
    made.finish(id, ready());
    assert!(made.take("b", id).is_some());
    assert_eq!(left(&made, "b"), 0);
}

#[test]
fn who_finds_batches_on_its_disk_leaves_others_the_room_to_make_one() {
    let made = of(room(8, 4));
    let wake = |client, tag| made.wake(client, u64::from(tag), &[tag; 16]);
    wake("a", 1).unwrap();
    assert!((2..6).all(|tag| wake("a", tag).is_err()));
    // What it has in the making is no reason: it may wait for both.
    let id = made.begin("b", 9).unwrap();
    wake("b", 10).unwrap();
    made.finish(id, ready());
    drop(made.take("b", id));
    assert!(wake("b", 11).is_err());
    made.begin("c", 12).unwrap();
    // Where there are no others it has all.
    let made = of(room(8, 8));
    assert!((0..8).all(|tag| made.wake("a", 1, &[tag; 16]).is_ok()));
}
