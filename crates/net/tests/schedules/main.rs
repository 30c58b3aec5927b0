//! What the two sides of a link share, under thousands of orders in which their threads may run.
//!
//! The files of the crate that wait for each other are built here a second time, on the locks of `shuttle`, which runs one
//! thread at a time and switches at every lock and wait. Its waits have no deadline: a wake-up that is lost is a deadlock, and
//! the failing order is printed.

#![expect(dead_code, reason = "the crate's files whole, of which these tests take a part")]

#[path = "../../src/backlog.rs"]
mod backlog;
#[path = "../../src/budget.rs"]
mod budget;
#[path = "../../src/failure.rs"]
mod failure;
#[path = "../../src/frame.rs"]
mod frame;
#[path = "../../src/inbox.rs"]
mod inbox;
mod sync {
    pub use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicU64};
}

use std::sync::{Arc, atomic::Ordering};
use std::time::Duration;

use shuttle::{
    future::block_on,
    sync::{atomic::AtomicBool, mpsc},
    thread,
};
use sotto_link::cost;
use sotto_net::printable;
pub use sotto_net::{Due, Error};

use crate::backlog::{Backlog, Full};
use crate::budget::Budget;
use crate::failure::Failure;
use crate::frame::{Frame, Header, Kind};
use crate::inbox::Inbox;

/// Orders that each test tries.
const ORDERS: usize = 1500;

/// Longer than any order takes.
const LONG: Duration = Duration::from_secs(600);

fn explored(test: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(test, ORDERS);
}

fn inbox() -> Arc<Inbox> {
    Arc::new(Inbox::new("peer".into()))
}

/// Takes a message of so many bytes in, as a link's reader does.
async fn read(inbox: &Inbox, step: u32, len: u64, (prefetch, budget): (u64, &Budget)) {
    inbox.expect(Kind::Message).unwrap();
    let header = Header { kind: Kind::Message, step, len };
    let held = inbox.admit(header, prefetch, budget).await;
    // The payload comes in pieces.
    thread::yield_now();
    inbox.deliver(Frame { step, payload: vec![step as u8; len as usize], _held: held });
}

fn take(inbox: &Inbox, step: u32, len: u64, spin: Duration) {
    let payload = inbox.take(step, Due::Exactly(len as usize), LONG, spin).unwrap();
    assert_eq!(payload, vec![step as u8; len as usize]);
}

/// Messages of these lengths, with room for so many bytes that nobody asked for.
fn crosses(lens: [u64; 4], prefetch: u64, spin: Duration) {
    explored(move || {
        let (inbox, budget) = (inbox(), Budget::new(1 << 20));
        let reader = Arc::clone(&inbox);
        let reads = thread::spawn(move || {
            block_on(async {
                for (step, len) in (0..).zip(lens) {
                    read(&reader, step, len, (prefetch, &budget)).await;
                }
            });
        });
        (0..).zip(lens).for_each(|(step, len)| take(&inbox, step, len, spin));
        reads.join().unwrap();
        assert_eq!(inbox.taken_in(), 4);
    });
}

#[test]
fn messages_come_in_order_with_room_for_all() {
    crosses([5, 0, 300, 7], 1 << 20, Duration::ZERO);
}

#[test]
fn messages_come_in_order_with_room_for_none() {
    crosses([5, 0, 300, 7], 0, Duration::ZERO);
}

#[test]
fn messages_come_in_order_with_room_for_some() {
    crosses([40, 300, 8, 9], cost(300), Duration::ZERO);
}

#[test]
fn who_spins_sees_what_comes() {
    crosses([5, 0, 300, 7], cost(300), Duration::from_micros(20));
}

/// Two links share what peers may make them hold; who waits for it gets it when the other's message is taken.
#[test]
fn links_share_a_budget() {
    explored(|| {
        let budget = Budget::new(cost(100));
        let links = [(); 2].map(|()| {
            let (inbox, budget) = (inbox(), budget.clone());
            let reader = Arc::clone(&inbox);
            let reads = thread::spawn(move || {
                block_on(async {
                    for step in 0..2 {
                        read(&reader, step, 100, (1 << 20, &budget)).await;
                    }
                });
            });
            (inbox, reads)
        });
        for (inbox, reads) in links {
            let takes = thread::spawn(move || {
                (0..2).for_each(|step| take(&inbox, step, 100, Duration::ZERO));
            });
            takes.join().unwrap();
            reads.join().unwrap();
        }
    });
}

#[test]
fn whoever_waits_learns_that_the_link_died() {
    explored(|| {
        let inbox = inbox();
        inbox.queue(0, 100, 1 << 20).unwrap();
        let waits = |wait: fn(&Inbox) -> Result<(), Error>| {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || wait(&inbox).unwrap_err())
        };
        let all = [
            waits(|inbox| inbox.take(0, Due::Exactly(1), LONG, Duration::ZERO).map(drop)),
            waits(|inbox| inbox.room(0, 0, (LONG, None))),
            waits(|inbox| inbox.await_fin(0, 1, LONG)),
        ];
        inbox.fail(Failure::gone("it left", "look"));
        inbox.fail(Failure::Garbage("later".into()));
        for waiting in all {
            let error = waiting.join().unwrap();
            assert!(error.to_string().contains("it left"), "{error}");
        }
        assert!(inbox.is_broken() && inbox.check(1).is_err());
    });
}

#[test]
fn a_message_that_came_before_the_link_died_is_taken() {
    explored(|| {
        let (inbox, budget) = (inbox(), Budget::new(1 << 20));
        let reader = Arc::clone(&inbox);
        let reads = thread::spawn(move || {
            block_on(read(&reader, 0, 30, (0, &budget)));
            reader.fail(Failure::Finished { received: 0 });
        });
        take(&inbox, 0, 30, Duration::ZERO);
        assert!(inbox.take(1, Due::Exactly(1), LONG, Duration::ZERO).is_err());
        reads.join().unwrap();
        assert!(!inbox.is_broken());
    });
}

#[test]
fn who_waits_for_room_goes_on_when_there_is_some() {
    explored(|| {
        let inbox = inbox();
        let (len, limit) = (100, cost(100) * 3);
        let (queued, to_write) = mpsc::channel();
        let writer = Arc::clone(&inbox);
        let sends = thread::spawn(move || {
            for step in 0..3 {
                writer.room(step, limit / 3, (LONG, None)).unwrap();
                writer.queue(step, len, limit).unwrap();
                queued.send(()).unwrap();
            }
            writer.room(3, 0, (LONG, None)).unwrap();
        });
        while to_write.recv().is_ok() {
            // In two parts, as the transport takes them.
            inbox.backlog.release(cost(len as u64) / 2);
            inbox.backlog.release(cost(len as u64).div_ceil(2));
        }
        sends.join().unwrap();
    });
}

#[test]
fn a_fin_is_answered_once_and_who_waits_for_it_goes_on() {
    explored(|| {
        let inbox = inbox();
        assert!(inbox.send_fin() && !inbox.send_fin());
        let reader = Arc::clone(&inbox);
        let reads = thread::spawn(move || {
            reader.expect(Kind::FinReceived).unwrap();
            reader.expect(Kind::FinReceived).unwrap_err();
        });
        inbox.await_fin(0, 0, LONG).unwrap();
        reads.join().unwrap();
        assert!(inbox.check(0).is_err(), "nothing is sent after a fin");
    });
}

/// Nobody asks for the second message before it is in, which has room as soon as the first one is taken.
#[test]
fn room_is_given_on_when_there_is_some() {
    explored(|| {
        let (inbox, budget) = (inbox(), Budget::new(1 << 20));
        let reader = Arc::clone(&inbox);
        let reads = thread::spawn(move || {
            block_on(async {
                for step in 0..2 {
                    read(&reader, step, 60, (cost(60), &budget)).await;
                }
            });
        });
        take(&inbox, 0, 60, Duration::ZERO);
        reads.join().unwrap();
        take(&inbox, 1, 60, Duration::ZERO);
    });
}

/// The link dies between a sender's look at it and its wait.
#[test]
fn who_looks_while_the_link_dies_looks_again() {
    explored(|| {
        let (backlog, dead) = (Arc::new(Backlog::default()), Arc::new(AtomicBool::new(false)));
        assert!(backlog.add(100, 1000).is_ok());
        let [waiting, looking] = [&backlog, &backlog].map(Arc::clone);
        let seen = Arc::clone(&dead);
        let waits = thread::spawn(move || {
            waiting.wait(0, LONG, None, || {
                let dead = seen.load(Ordering::Acquire);
                thread::yield_now();
                if dead { Err(()) } else { Ok(()) }
            })
        });
        dead.store(true, Ordering::Release);
        looking.wake();
        assert!(matches!(waits.join().unwrap(), Err(Full::Dead(()))));
    });
}
