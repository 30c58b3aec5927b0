//! The handles: an emulator, its links, and how they give orders to the relay.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::link::{LinkState, Meters};
use super::relay::{Order, Relay};
use super::{LinkPlan, Statistics};
use crate::Error;

/// A running link.
#[derive(Clone)]
pub struct Link {
    number: usize,
    address: SocketAddr,
    meters: Arc<Meters>,
    control: Arc<Control>,
}

struct Control {
    orders: Mutex<mpsc::Sender<Order>>,
    wake: Arc<EventFd>,
}

impl Control {
    fn give(&self, order: Order) {
        // A relay that has ended takes no orders, and needs none.
        let _ = self.orders.lock().unwrap_or_else(PoisonError::into_inner).send(order);
        let _ = self.wake.write(1);
    }
}

/// Carries packets until it is dropped.
pub struct Emulator {
    control: Arc<Control>,
    seed: u64,
    links: usize,
    relay: Option<JoinHandle<()>>,
}

impl Emulator {
    /// Starts without a link. Losses and jitter follow from `seed` and the packets alone.
    ///
    /// # Errors
    /// [`Error::Io`] when the system refuses a thread.
    pub fn start(seed: u64) -> Result<Self, Error> {
        let io = |error: std::io::Error| Error::Io { what: "start the emulator".into(), error };
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = Arc::new(EventFd::from_flags(flags).map_err(|errno| io(errno.into()))?);
        let (orders, taken) = mpsc::channel();
        let relay = Relay::new(taken, Arc::clone(&wake));
        let thread = thread::Builder::new().name("sotto-emulator".into());
        let relay = thread.spawn(move || relay.run()).map_err(io)?;
        let control = Arc::new(Control { orders: Mutex::new(orders), wake });
        Ok(Self { control, seed, links: 0, relay: Some(relay) })
    }

    /// Adds a link.
    ///
    /// # Errors
    /// [`Error::Io`] when its address cannot be had.
    pub fn add(&mut self, plan: &LinkPlan) -> Result<Link, Error> {
        let io = |error| Error::Io { what: format!("listen at {}", plan.listen), error };
        let number = self.links;
        let seed = self.seed.wrapping_add(2 * number as u64);
        let state = LinkState::new(plan, seed).map_err(io)?;
        let (address, meters) = (state.address().map_err(io)?, Arc::clone(&state.meters));
        self.control.give(Order::Add(Box::new(state)));
        self.links += 1;
        Ok(Link { number, address, meters, control: Arc::clone(&self.control) })
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.control.give(Order::Stop);
        if let Some(relay) = self.relay.take() {
            // A panic in there was printed by its own thread.
            let _ = relay.join();
        }
    }
}

impl Link {
    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the link now, both ways, for so long; what is on its way still arrives. A duration of
    /// zero mends it.
    pub fn partition(&self, duration: Duration) {
        self.control.give(Order::Cut { link: self.number, duration });
    }

    /// Cuts the link, both ways, as soon as it has carried `bytes` in all to the target or back, until
    /// [`Link::partition`] says otherwise: at the same place in a conversation however busy the machine is.
    pub fn partition_at(&self, bytes: [u64; 2]) {
        self.control.give(Order::CutAt { link: self.number, bytes });
    }

    /// What happened so far.
    pub fn statistics(&self) -> Statistics {
        let [up, down] = self.meters.read();
        Statistics { up, down }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::{Direction, Path};

    const LOCAL: &str = "127.0.0.1:0";

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind(LOCAL).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket
    }

    /// A link to `target` without a limit.
    fn link(emulator: &mut Emulator, target: &UdpSocket) -> Link {
        let path = Path::symmetric(Direction::FREE);
        let target = target.local_addr().unwrap();
        emulator.add(&LinkPlan { listen: LOCAL.parse().unwrap(), target, path }).unwrap()
    }

    fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
        let mut buffer = [0; 2000];
        let (len, from) = socket.recv_from(&mut buffer).unwrap();
        (buffer[..len].to_vec(), from)
    }

    #[test]
    fn each_client_has_its_own_way_there_and_back() {
        let (target, clients) = (socket(), [socket(), socket()]);
        let mut emulator = Emulator::start(1).unwrap();
        let link = link(&mut emulator, &target);
        let mut seen = Vec::new();
        for (i, client) in clients.iter().enumerate() {
            client.send_to(&[i as u8; 100], link.address()).unwrap();
            let (packet, from) = receive(&target);
            assert_eq!(packet, vec![i as u8; 100]);
            seen.push(from);
        }
        assert_ne!(seen[0], seen[1]);
        for (i, client) in clients.iter().enumerate() {
            target.send_to(&[7 + i as u8; 50], seen[i]).unwrap();
            assert_eq!(receive(client), (vec![7 + i as u8; 50], link.address()));
        }
        let Statistics { up, down } = link.statistics();
        assert_eq!((up.packets, up.bytes), (2, 2 * 128));
        assert_eq!((down.packets, down.bytes), (2, 2 * 78));
    }

    #[test]
    fn a_cut_link_passes_nothing_until_it_is_mended() {
        let (target, client) = (socket(), socket());
        let mut emulator = Emulator::start(1).unwrap();
        let [whole, cut] = [(); 2].map(|()| link(&mut emulator, &target));
        cut.partition(Duration::from_secs(3600));
        // Orders are carried out in the round in which they are seen.
        while cut.statistics().up.cut == 0 {
            client.send_to(b"lost", cut.address()).unwrap();
            thread::yield_now();
        }
        client.send_to(b"whole", whole.address()).unwrap();
        while receive(&target).0 != b"whole" {}
        cut.partition(Duration::ZERO);
        let passed = cut.statistics().up.packets;
        while cut.statistics().up.packets == passed {
            client.send_to(b"mended", cut.address()).unwrap();
            thread::yield_now();
        }
        assert_eq!(receive(&target).0, b"mended");
    }

    #[test]
    fn a_link_is_cut_once_it_has_carried_enough() {
        let (target, client) = (socket(), socket());
        let mut emulator = Emulator::start(1).unwrap();
        let link = link(&mut emulator, &target);
        // A packet of 100 bytes counts 128.
        link.partition_at([250, u64::MAX]);
        // The order precedes the packets in the relay's round.
        for _ in 0..5 {
            client.send_to(&[1; 100], link.address()).unwrap();
        }
        while link.statistics().up.cut < 3 {
            thread::yield_now();
        }
        assert_eq!(link.statistics().up.packets, 2);
        link.partition(Duration::ZERO);
        let passed = link.statistics().up.packets;
        while link.statistics().up.packets == passed {
            client.send_to(&[2; 100], link.address()).unwrap();
            thread::yield_now();
        }
        let packets = [(); 3].map(|()| receive(&target).0[0]);
        assert_eq!(packets, [1, 1, 2]);
    }

    #[test]
    fn a_target_that_comes_back_is_reached() {
        let (first, client) = (socket(), socket());
        let mut emulator = Emulator::start(1).unwrap();
        let link = link(&mut emulator, &first);
        client.send_to(b"one", link.address()).unwrap();
        assert_eq!(receive(&first).0, b"one");
        let at = first.local_addr().unwrap();
        drop(first);
        // Refused; the link goes on.
        client.send_to(b"two", link.address()).unwrap();
        while link.statistics().up.packets < 2 {
            thread::yield_now();
        }
        let second = UdpSocket::bind(at).unwrap();
        second.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.send_to(b"three", link.address()).unwrap();
        while receive(&second).0 != b"three" {}
    }

    #[test]
    fn an_address_in_use_is_refused() {
        let taken = socket();
        let mut emulator = Emulator::start(1).unwrap();
        let listen = taken.local_addr().unwrap();
        let path = Path::symmetric(Direction::FREE);
        let refused = emulator.add(&LinkPlan { listen, target: listen, path });
        assert!(matches!(refused, Err(Error::Io { what, .. }) if what.contains("listen at")));
    }
}
