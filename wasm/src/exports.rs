//! What the module exports. Bytes go in by the inbox and out by the outbox; both stay where they are until the next call.

#![expect(unsafe_code, reason = "names to export; nothing else here is unsafe")]

use std::cell::RefCell;

use crate::client::{Client, Turn};

/// An instance is one client's; it has one thread.
#[derive(Default)]
struct Instance {
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    client: Option<Client>,
}

thread_local! {
    static INSTANCE: RefCell<Instance> = RefCell::default();
}

/// What a call gave: 0 or more is the call's own.
const FAILED: i32 = -1;
const DONE: i32 = -2;

fn with<T>(work: impl FnOnce(&mut Instance) -> T) -> T {
    INSTANCE.with_borrow_mut(work)
}

/// Makes room for what is handed in next; where it is to be written.
#[unsafe(no_mangle)]
pub extern "C" fn inbox(len: usize) -> *mut u8 {
    with(|instance| {
        instance.inbox = vec![0; len];
        instance.inbox.as_mut_ptr()
    })
}

/// Where the last call's bytes are.
#[unsafe(no_mangle)]
pub extern "C" fn outbox() -> *const u8 {
    with(|instance| instance.outbox.as_ptr())
}

/// How many they are.
#[unsafe(no_mangle)]
pub extern "C" fn outbox_len() -> usize {
    with(|instance| instance.outbox.len())
}

/// Begins from what is in the inbox ([`Client::begin`]): 0, or -1 and the outbox says why.
#[unsafe(no_mangle)]
pub extern "C" fn begin() -> i32 {
    with(|instance| {
        let client = Client::begin(&std::mem::take(&mut instance.inbox));
        let begun = client.map(|client| instance.client = Some(client));
        said(instance, begun)
    })
}

/// The next turn: the outbox is to be sent, and so many bytes are due; or -2, and the outbox has the logits (f64).
#[unsafe(no_mangle)]
pub extern "C" fn turn() -> i32 {
    with(|instance| {
        let Some(client) = &mut instance.client else {
            return said(instance, Err("nothing was begun".into()));
        };
        match client.turn() {
            Turn::Exchange(send, expect) => {
                instance.outbox = send;
                i32::try_from(expect).expect("a message is below 2 GiB")
            }
            Turn::Done(logits) => {
                instance.outbox = logits.iter().flat_map(|x| x.to_le_bytes()).collect();
                instance.client = None;
                DONE
            }
        }
    })
}

/// Takes the server's message from the inbox: 0, or -1 and the outbox says why.
#[unsafe(no_mangle)]
pub extern "C" fn receive() -> i32 {
    with(|instance| {
        let message = std::mem::take(&mut instance.inbox);
        let client = instance.client.as_mut().ok_or("nothing was begun".to_owned());
        let received = client.and_then(|client| client.receive(&message));
        said(instance, received)
    })
}

fn said(instance: &mut Instance, done: Result<(), String>) -> i32 {
    match done {
        Ok(()) => 0,
        Err(why) => {
            instance.outbox = why.into_bytes();
            FAILED
        }
    }
}
